import { deviceCredentials, packsTopic, readTopic, rightsOf } from "@msec/broker";
import {
  consentDomain,
  cborEncode,
  encodeCose,
  encodeHeader,
  encodeMessage,
  encodeNodes,
  encodeProtected,
  decodeCose,
  ENROL,
  fromBase64,
  fromHex,
  type Header,
  type Hex,
  HOLDERS,
  keyHash,
  signTyped,
  sigStructure,
  toBase64,
  toHex,
  ZERO32,
} from "@msec/core";
import { Sender } from "@msec/chain";
import { seedMessage } from "@msec/device";
import sodium from "libsodium-wrappers";
import mqtt, { type MqttClient } from "mqtt";
import { organisationId } from "../../apps/cli/src/city/layout.ts";
import { type City } from "../../apps/cli/src/city/up.ts";
import { type Built, TestStream } from "../../packages/core/test/city.ts";

await sodium.ready;

const HOUR_MS = 3_600_000;
export const SLOT0 = Math.floor(Date.UTC(2024, 0, 1) / 60_000);

/** A device made by hand: enrolled like any other, and signs and sends whatever a test wants. */
export class HandDevice extends TestStream {
  readonly city: City;
  #client: MqttClient | undefined;
  readonly refused: { headerDigest: Hex; reason: number; message: string; operator: string }[] = [];
  readonly receipts = new Map<string, number>();

  constructor(city: City, mode = 0, slotSeconds = 60) {
    super(mode, slotSeconds);
    this.city = city;
  }

  /** Enrolled, registered, its seed with all operators, connected. */
  static async make(city: City, options: { mode?: number; register?: boolean } = {}): Promise<HandDevice> {
    const device = new HandDevice(city, options.mode);
    await device.enrol();
    if (options.register !== false) await device.register();
    await device.connect();
    return device;
  }

  async enrol(): Promise<void> {
    const { people, run, contracts, provider } = this.city;
    const { deployment } = run;
    const enrol = {
      deviceId: this.preimage.deviceId,
      ekHash: ZERO32,
      akName: ZERO32,
      keyAlg: 1,
      keyHash: keyHash(this.key.spki),
      owner: people.city.address,
      organisation: organisationId("city"),
      policyId: ZERO32,
      evidenceDigest: ZERO32,
      nonce: await contracts.DeviceRegistry.nonceOf(this.preimage.deviceId),
      deadline: Date.now() + HOUR_MS,
    };
    const domain = {
      name: "DeviceRegistry",
      chainId: deployment.chainId,
      verifyingContract: deployment.addresses.DeviceRegistry,
    };
    const registrars = [...people.registrars].sort((a, b) => (a.address < b.address ? -1 : 1));
    const data = contracts.DeviceRegistry.interface.encodeFunctionData("enrol", [
      enrol,
      toHex(this.key.spki),
      signTyped(fromHex(people.city.key), domain, ENROL, enrol),
      registrars.map((r) => signTyped(fromHex(r.key), domain, ENROL, enrol)),
    ]);
    await new Sender(people.deployer.key, provider, deployment.chainId).transact({
      to: deployment.addresses.DeviceRegistry,
      data,
    });
  }

  /** Makes the stream known to every operator and hands each its seed. */
  async register(): Promise<void> {
    const { people, run } = this.city;
    const { deployment } = run;
    const chosen = this.preimage.mode === 1 ? people.operators.slice(0, 2) : people.operators;
    const holders = { streamId: this.id, version: 1, holders: chosen.map((o) => o.address) };
    const domain = consentDomain(deployment.chainId, deployment.addresses.ConsentRegistry);
    const holdersSignature = signTyped(fromHex(people.city.key), domain, HOLDERS, holders);
    const keys = [{ keyEpoch: 1, spki: toBase64(this.key.spki) }];
    for (const { url, address } of run.operators) {
      await post(`${url}/streams`, { preimage: this.preimage, keys, holders, holdersSignature });
      if (!holders.holders.includes(address)) continue;
      const info = (await (await fetch(`${url}/info`)).json()) as { sealKey: string };
      const sealed = sodium.crypto_box_seal(encodeNodes(this.frontier), fromBase64(info.sealKey));
      await post(`${url}/streams/${this.id}/seed`, {
        sealed: toBase64(sealed),
        keyEpoch: 1,
        signature: toBase64(this.key.sign(seedMessage(this.id, address, sealed))),
      });
    }
  }

  async connect(): Promise<void> {
    const { broker } = this.city.run;
    const { spki, sign } = this.key;
    const self = {
      deviceId: this.preimage.deviceId,
      spki: () => Promise.resolve(spki),
      sign: (message: Uint8Array) => Promise.resolve(sign(message)),
    };
    const credentials = await deviceCredentials(self, broker);
    this.#client = await mqtt.connectAsync(broker, {
      clientId: self.deviceId,
      ...credentials,
      protocolVersion: 4,
      reconnectPeriod: 0,
    });
    this.#client.on("message", (topic, payload) => {
      const said = readTopic(topic);
      if (payload.length === 0 || (said?.kind !== "receipts" && said?.kind !== "refused")) return;
      const { operator } = said;
      const { receipt, refused, message } = JSON.parse(payload.toString()) as {
        receipt?: { seq: number };
        refused?: { headerDigest: Hex; reason: number };
        message?: string;
      };
      if (receipt) this.receipts.set(operator, receipt.seq);
      if (refused) this.refused.push({ ...refused, message: message ?? "", operator });
    });
    await this.#client.subscribeAsync(rightsOf({ kind: "device", id: self.deviceId }).subscribe, { qos: 1 });
  }

  get connected(): boolean {
    return this.#client?.connected ?? false;
  }

  async send(...built: { cose: Uint8Array; content: Uint8Array }[]): Promise<void> {
    for (const { cose, content } of built) await this.sendBytes(encodeMessage(cose, content));
  }

  /** Sends without waiting in between. */
  async flood(built: { cose: Uint8Array; content: Uint8Array }[]): Promise<void> {
    await Promise.all(built.map(({ cose, content }) => this.sendBytes(encodeMessage(cose, content))));
  }

  async sendBytes(message: Uint8Array, topic = packsTopic(this.preimage.deviceId, this.id)): Promise<void> {
    await this.#client?.publishAsync(topic, Buffer.from(message), { qos: 1 });
  }

  /** The first slot that the line has not reached, and those after it. */
  free(after = 0): number {
    const last = this.packs[this.packs.length - 1]?.signed.header;
    return (last ? Math.floor(last.fromMs / 60_000) + 1 : SLOT0) + after;
  }

  /** A pack with one reading in a slot of its own; not noted as sent. */
  pack(slot = this.free(), override: Parameters<TestStream["prepare"]>[1] = {}, value = 1): Built {
    const tMs = slot * 60_000 + 500;
    const built = this.add([{ n: "CO", u: "mg/m3", v: value, tMs }], { slot, ...override });
    this.packs.pop();
    return built;
  }

  /** Signs a header as it is, right or wrong, over a content. */
  signed(header: Header, content: Uint8Array): Built {
    const bytes = encodeHeader(header);
    const kid = encodeProtected(keyHash(this.key.spki));
    const cose = encodeCose(kid, bytes, this.key.sign(sigStructure(kid, bytes)));
    return { cose, content, signed: decodeCose(cose) };
  }

  async close(): Promise<void> {
    await this.#client?.endAsync(true);
  }
}

async function post(url: string, body: unknown): Promise<void> {
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${url} answers ${response.status}: ${await response.text()}`);
}

/** A COSE whose protected header has its key id twice: not deterministic CBOR. */
export function duplicateKeys(built: Built): Uint8Array {
  const kid = encodeProtected(built.signed.keyHash);
  const entry = kid.slice(3);
  const twice = new Uint8Array([0xa3, ...kid.slice(1, 3), ...entry, ...entry]);
  const payload = encodeHeader(built.signed.header);
  return cborEncode([twice, new Map(), payload, built.signed.signature]);
}
