import { type ChildProcess, spawn } from "node:child_process";
import { createServer as createHttp, type Server } from "node:http";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer as createTcp, type AddressInfo, type Server as TcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTopic, receiptsTopic, refusedTopic } from "@msec/broker";
import {
  addressOfKey,
  anchorDomain,
  consentDomain,
  checkFollows,
  checkHeader,
  checkSignature,
  decodeCose,
  decodeMessage,
  decodeNodes,
  FLAG,
  fromBase64,
  HEAD,
  headerSlot,
  type Hex,
  HOLDERS,
  leafNode,
  MODE,
  openPack,
  RECEIPT,
  recoverTyped,
  REFUSED,
  type SenmlRecord,
  type SignedHeader,
  signTyped,
  streamId,
  type StreamPreimage,
  toBase64,
  toHex,
  type TreeNode,
  valueText,
} from "@msec/core";
import { Aedes } from "aedes";
import { createPublicKey, verify } from "node:crypto";
import sodium from "libsodium-wrappers";
import type { ConfigInput, StreamStatus } from "../src/index.ts";
import { seedMessage } from "../src/index.ts";

const MAIN = new URL("../src/main.ts", import.meta.url).pathname;
const CHAIN = { chainId: 31337, anchor: `0x${"a1".repeat(20)}` as Hex };
const DOMAIN = anchorDomain(CHAIN.chainId, CHAIN.anchor);
const CONSENT = consentDomain(CHAIN.chainId, `0x${"c0".repeat(20)}`);
const OWNER = new Uint8Array(32).fill(7);

export const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `condition` holds; the error says what was waited for. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 60_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited ${ms} ms for: ${what}`);
    await wait(25);
  }
}

export interface Accepted {
  signed: SignedHeader;
  content: Uint8Array;
  message: Uint8Array;
  readings: SenmlRecord[];
}

/** What the operators know of one stream. They agree on everything, but each signs for itself. */
export class CityStream {
  readonly preimage: StreamPreimage;
  readonly keys: { keyEpoch: number; spki: string }[];
  frontier: TreeNode[] = [];
  seededBy = new Set<Hex>();
  registrations = 0;
  /** The line: anchored headers first, then those that are held. */
  line: Accepted[] = [];
  anchored = 0;
  /** Every header ever signed, by seq. */
  seen = new Map<number, Hex>();
  equivocations: number[] = [];
  messages = 0;
  constructor(preimage: StreamPreimage, keys: { keyEpoch: number; spki: string }[]) {
    this.preimage = preimage;
    this.keys = keys;
  }
  get readings(): SenmlRecord[] {
    return this.line.flatMap((pack) => pack.readings);
  }
  /** "time name value" of every reading of the line. */
  get rows(): string[] {
    return this.readings.map((r) => `${r.tMs} ${r.n} ${valueText(r)}`);
  }
}

/** A broker, a committee with keys in memory, and agents as processes of their own, on loopback and in one folder. */
export class City {
  readonly dir: string;
  readonly keys: Uint8Array[];
  readonly members: Hex[];
  readonly streams = new Map<Hex, CityStream>();
  /** Which operators send receipts, and whether what arrives is anchored at once. */
  receipting: Set<number>;
  anchoring = true;
  refuse: ((pack: Accepted) => number | undefined) | undefined;
  /** Called when a break arrives, before anything is done with it. */
  beforeBreak: ((stream: CityStream) => void) | undefined;
  refusing: Set<number>;
  faultsSeen: string[] = [];
  readonly agents: Agent[] = [];
  #box: { publicKey: Uint8Array; privateKey: Uint8Array }[] = [];
  #aedes: Aedes | undefined;
  #tcp: TcpServer | undefined;
  #sockets = new Set<Socket>();
  #http: Server | undefined;
  #retained = new Map<string, string>();
  #published: Promise<void> = Promise.resolve();
  mqttPort = 0;
  httpPort = 0;

  private constructor(dir: string, n: number) {
    this.dir = dir;
    this.keys = Array.from({ length: n }, (_, i) => new Uint8Array(32).fill(i + 1));
    this.members = this.keys.map(addressOfKey);
    this.receipting = new Set(this.keys.keys());
    this.refusing = new Set(this.keys.keys());
  }

  static async start(n = 4): Promise<City> {
    const city = new City(await mkdtemp(join(tmpdir(), "msec-device-")), n);
    await sodium.ready;
    city.#box = city.keys.map(() => sodium.crypto_box_keypair());
    await city.#startHttp();
    await city.brokerUp();
    return city;
  }

  async brokerUp(): Promise<void> {
    this.#aedes = await Aedes.createBroker();
    this.#aedes.on("publish", (packet, client) => {
      const topic = readTopic(packet.topic);
      if (client && topic?.kind === "packs")
        this.#arrive(topic.streamId as Hex, new Uint8Array(packet.payload as Buffer));
    });
    this.#tcp = createTcp((socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      this.#aedes?.handle(socket);
    });
    await new Promise<void>((resolve) => this.#tcp?.listen(this.mqttPort, "127.0.0.1", resolve));
    this.mqttPort = (this.#tcp.address() as AddressInfo).port;
    for (const [topic, payload] of this.#retained) this.publish(topic, payload, true);
  }

  async brokerDown(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => (this.#tcp ? this.#tcp.close(resolve) : resolve(undefined)));
    await new Promise<void>((resolve) => (this.#aedes ? this.#aedes.close(() => resolve()) : resolve()));
    this.#aedes = this.#tcp = undefined;
  }

  async stop(): Promise<void> {
    for (const agent of this.agents) await agent.kill();
    await this.brokerDown();
    await new Promise((resolve) => this.#http?.close(resolve));
    await rm(this.dir, { recursive: true, force: true });
  }

  /**
   * One after the other: where a retained QoS 1 message is overtaken by one that is not retained, aedes 1.2.0 takes the
   * retained one for a duplicate and drops it.
   */
  publish(topic: string, payload: string, retain = false): void {
    if (retain) this.#retained.set(topic, payload);
    const packet = { cmd: "publish", qos: 1, dup: false, retain, topic, payload: Buffer.from(payload) } as const;
    this.#published = this.#published.then(
      () => new Promise((resolve) => (this.#aedes ? this.#aedes.publish(packet, () => resolve()) : resolve())),
    );
  }

  #arrive(id: Hex, message: Uint8Array): void {
    const stream = this.streams.get(id);
    if (!stream) return void this.faultsSeen.push("pack of an unknown stream");
    stream.messages++;
    try {
      const { cose, content } = decodeMessage(message);
      const signed = decodeCose(cose);
      checkSignature(signed, fromBase64(stream.keys.find((k) => k.keyEpoch === signed.header.keyEpoch)?.spki));
      checkHeader(stream.preimage, signed.header, content.length);
      const { seq, previous } = signed.header;
      const known = stream.seen.get(seq);
      if (known !== undefined && known !== signed.headerDigest) stream.equivocations.push(seq);
      stream.seen.set(seq, signed.headerDigest);
      if (stream.line.some((pack) => pack.signed.headerDigest === signed.headerDigest)) return this.receipt(stream);
      if ((signed.header.flags & FLAG.break) !== 0) this.beforeBreak?.(stream);
      const head = stream.line[stream.anchored - 1];
      const leaf = leafNode(stream.frontier, headerSlot(stream.preimage, signed.header));
      const { readings } = openPack(stream.preimage, signed.header, leaf, content);
      const pack = { signed, content, message, readings };
      const reason = this.refuse?.(pack);
      if (reason !== undefined) return this.#refuse(id, signed, reason);
      const breaks =
        (signed.header.flags & FLAG.break) !== 0 &&
        previous === (head?.signed.headerDigest ?? toHex(new Uint8Array(32)));
      if (breaks) stream.line.length = stream.anchored;
      const last = stream.line.at(-1);
      if (!breaks && last && previous !== last.signed.headerDigest) return;
      checkFollows(
        stream.preimage,
        last && { header: last.signed.header, headerDigest: last.signed.headerDigest },
        signed.header,
      );
      stream.line.push(pack);
      if (this.anchoring) stream.anchored = stream.line.length;
      this.receipt(stream);
    } catch (error) {
      this.faultsSeen.push((error as Error).message);
    }
  }

  /** Everyone who gives receipts receipts the end of the line. */
  receipt(stream: CityStream): void {
    const last = stream.line.at(-1)?.signed;
    if (last) for (const i of this.receipting) this.receiptFrom(this.keys[i] as Uint8Array, last);
  }

  receiptFrom(
    key: Uint8Array,
    signed: SignedHeader,
    overrides: { headerDigest?: Hex; signer?: Uint8Array } = {},
  ): void {
    const { streamId: id, keyEpoch, seq } = signed.header;
    const headerDigest = overrides.headerDigest ?? signed.headerDigest;
    const receipt = { streamId: id, keyEpoch, seq, headerDigest, atMs: Date.now() };
    const signature = signTyped(overrides.signer ?? key, DOMAIN, RECEIPT, receipt);
    const { deviceId } = (this.streams.get(id) as CityStream).preimage;
    this.publish(receiptsTopic(deviceId, id, addressOfKey(key)), JSON.stringify({ receipt, signature }), true);
  }

  #refuse(id: Hex, signed: SignedHeader, reason: number): void {
    const refused = { headerDigest: signed.headerDigest, reason };
    const { keyEpoch, seq } = signed.header;
    for (const i of this.refusing) {
      const key = this.keys[i] as Uint8Array;
      const signature = signTyped(key, DOMAIN, REFUSED, refused);
      const payload = { refused, signature, keyEpoch, seq, message: "test" };
      const { deviceId } = (this.streams.get(id) as CityStream).preimage;
      this.publish(refusedTopic(deviceId, id, addressOfKey(key)), JSON.stringify(payload));
    }
  }

  async #startHttp(): Promise<void> {
    this.#http = createHttp(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const [, op = "", ...rest] = (request.url ?? "").split("/");
      try {
        const body = chunks.length > 0 ? (JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>) : {};
        const [status, answer] = this.#answer(Number(op.slice(2)), request.method ?? "", rest, body);
        response.writeHead(status).end(answer === undefined ? "" : JSON.stringify(answer));
      } catch (error) {
        this.faultsSeen.push((error as Error).message);
        response.writeHead(400).end((error as Error).message);
      }
    });
    await new Promise<void>((resolve) => this.#http?.listen(0, "127.0.0.1", resolve));
    this.httpPort = (this.#http.address() as AddressInfo).port;
  }

  #answer(i: number, method: string, path: string[], body: Record<string, unknown>): [number, unknown?] {
    const address = this.members[i] as Hex;
    const box = this.#box[i] as { publicKey: Uint8Array; privateKey: Uint8Array };
    if (path[0] === "info")
      return [200, { address, organisation: `org${i}`, sealKey: toBase64(box.publicKey), ...CHAIN }];
    if (method === "POST" && path.length === 1) {
      const preimage = body.preimage as StreamPreimage;
      const id = streamId(preimage);
      const holders = body.holders as { streamId: Hex; version: number; holders: Hex[] };
      const signer = recoverTyped(CONSENT, HOLDERS, holders, body.holdersSignature as Hex);
      if (signer !== addressOfKey(OWNER)) throw new Error("holders are not signed by the owner");
      const stream = this.streams.get(id) ?? new CityStream(preimage, body.keys as never);
      stream.registrations++;
      this.streams.set(id, stream);
      return [204];
    }
    const stream = this.streams.get(path[1] as Hex);
    if (!stream) return [404, { error: "unknown stream" }];
    if (path[2] === "seed") {
      if (stream.seededBy.has(address)) return [409];
      const sealed = fromBase64(body.sealed);
      const spki = fromBase64(stream.keys[0]?.spki);
      const fits = verify(
        "sha256",
        seedMessage(path[1] as Hex, address, sealed),
        { key: createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }), dsaEncoding: "ieee-p1363" },
        fromBase64(body.signature),
      );
      if (!fits) throw new Error("the seed's signature does not fit");
      stream.frontier = decodeNodes(sodium.crypto_box_seal_open(sealed, box.publicKey, box.privateKey));
      stream.seededBy.add(address);
      return [204];
    }
    const last = stream.line.at(-1)?.signed;
    if (path[2] === "highest") return [200, { cose: last ? toBase64(last.cose) : null }];
    const head = stream.line[stream.anchored - 1]?.signed;
    if (!head) return [200, { head: null, signature: null }];
    const { keyEpoch, seq } = head.header;
    const struct = { streamId: path[1] as Hex, epoch: 1, keyEpoch, seq, headerDigest: head.headerDigest };
    return [200, { head: struct, signature: signTyped(this.keys[i] as Uint8Array, DOMAIN, HEAD, struct) }];
  }

  config(streams: ConfigInput["streams"], extra: Partial<ConfigInput> = {}): ConfigInput {
    return {
      name: "gateway",
      dataDir: "data",
      ownerEpoch: 1,
      chain: CHAIN,
      committee: {
        members: this.members.map((address, i) => ({
          address,
          organisation: `org${i}`,
          url: `http://127.0.0.1:${this.httpPort}/op${i}`,
        })),
      },
      mqtt: { url: `mqtt://127.0.0.1:${this.mqttPort}`, resendSeconds: 0.5, maxBackoffSeconds: 0.5 },
      pollSeconds: 0.2,
      statusSeconds: 0.5,
      streams,
      ...extra,
    };
  }

  /** Writes the configuration, runs `init` and lets the owner sign the holders of every stream. */
  async device(config: ConfigInput, init = (agent: Agent) => agent.command("init")): Promise<Agent> {
    const path = join(this.dir, "config.json");
    await writeFile(path, JSON.stringify(config));
    const agent = new Agent(path, join(this.dir, config.dataDir));
    this.agents.push(agent);
    const made = JSON.parse(await init(agent)) as { streams: { streamId: Hex; preimage: StreamPreimage }[] };
    for (const { streamId: id, preimage } of made.streams) {
      const input = config.streams.find((s) => s.name === preimage.name);
      const holders = preimage.mode === MODE.sealed ? (input?.holders as Hex[]) : this.members;
      const struct = { streamId: id, version: 1, holders };
      const holdersSignature = signTyped(OWNER, CONSENT, HOLDERS, struct);
      await writeFile(
        join(agent.dataDir, "streams", `${id}.holders.json`),
        JSON.stringify({ holders: struct, holdersSignature }),
      );
      agent.streams.push(id);
    }
    return agent;
  }

  stream(agent: Agent, i = 0): CityStream | undefined {
    return this.streams.get(agent.streams[i] as Hex);
  }
}

/** The agent as a process of its own. */
export class Agent {
  readonly configPath: string;
  readonly dataDir: string;
  readonly streams: Hex[] = [];
  log = "";
  #child: ChildProcess | undefined;
  #exit: Promise<number | null> = Promise.resolve(0);
  constructor(configPath: string, dataDir: string) {
    this.configPath = configPath;
    this.dataDir = dataDir;
  }

  async command(...args: string[]): Promise<string> {
    const child = spawn(process.execPath, [MAIN, ...args, "--config", this.configPath]);
    let out = "";
    let err = "";
    child.stdout.on("data", (d: Buffer) => (out += d.toString()));
    child.stderr.on("data", (d: Buffer) => (err += d.toString()));
    const code = await new Promise((resolve) => child.on("close", resolve));
    if (code !== 0) throw new Error(err);
    return out;
  }

  start(...args: string[]): void {
    const child = spawn(process.execPath, [MAIN, "run", "--config", this.configPath, ...args]);
    this.#child = child;
    const keep = (d: Buffer) => (this.log += d.toString());
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    this.#exit = new Promise((resolve) => child.on("close", (code) => resolve(code)));
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<number | null> {
    this.#child?.kill(signal);
    return this.exited();
  }

  exited(): Promise<number | null> {
    return this.#exit;
  }

  async status(i = 0): Promise<StreamStatus | undefined> {
    const text = await readFile(join(this.dataDir, "status.json"), "utf8").catch(() => "{}");
    return (JSON.parse(text) as { streams?: StreamStatus[] }).streams?.[i];
  }
}

/** Rows of a made-up air station, one every `stepSeconds`; every fifth CO is missing and marked −200. */
export function airRows(count: number, stepSeconds = 600): { csv: string; readings: string[] } {
  const lines = ["Date,Time,CO,T"];
  const readings: string[] = [];
  for (let i = 0; i < count; i++) {
    const at = new Date(Date.UTC(2024, 2, 10) + i * stepSeconds * 1000);
    const [date = "", time = ""] = at.toISOString().slice(0, 19).split("T");
    const co = i % 5 === 4 ? "-200" : `${(i % 37) / 10}`;
    const t = `${((i * 7) % 300) / 10}`;
    lines.push(`${date.split("-").reverse().join("/")},${time},${co},${t}`);
    if (co !== "-200") readings.push(`${at.getTime()} CO ${co}`);
    readings.push(`${at.getTime()} T ${t}`);
  }
  return { csv: `${lines.join("\r\n")}\r\n`, readings };
}
