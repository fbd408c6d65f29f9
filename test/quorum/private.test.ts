import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type ChainProvider,
  connectChain,
  contractPrivacyOf,
  PRIVACY,
  PrivacyManager,
  type PrivateFor,
  PrivateSender,
  quorumPayload,
} from "@msec/chain";
import { type Hex, toHex } from "@msec/core";
import { connect, startPostgres } from "@msec/companion-db";
import {
  backupNetwork,
  databaseName,
  downNetwork,
  initNetwork,
  managerOf,
  managerUrl,
  NetworkFolder,
  type NetworkPlan,
  type NodePlan,
  profileOf,
  recoverPayloads,
  restoreNetwork,
  runningNodes,
  runningProcesses,
  startManager,
  upNetwork,
} from "@msec/quorum";
import { writeJson } from "@msec/service";
import { getCreateAddress } from "ethers";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

// Private transactions on four GoQuorum validators, three of which have a privacy manager of ours. Parties are the first two.

const root = mkdtempSync(join(tmpdir(), "msec-private-"));
const folder = new NetworkFolder(root);
/**
 * Keeps one word: a call with data writes it, one without reads it. Nothing in it depends on the block, as flag 3 demands:
 * what a transaction leads to is agreed before its block is made.
 */
const WORD = "0x6018600c60003960186000f33615600c57600035600055005b60005460005260206000f3";

interface Side {
  node: NodePlan;
  key: string;
  provider: ChainProvider;
  sender: PrivateSender;
}

let plan: NetworkPlan;
let sides: Side[];

beforeAll(async () => {
  plan = await initNetwork(root, { chainId: 20_261, validators: 4, observers: 0, members: 3, blockSeconds: 1 });
  await upNetwork(root, () => undefined);
  sides = await Promise.all(
    plan.nodes.slice(0, 3).map(async (node) => {
      const ports = node.manager as NonNullable<NodePlan["manager"]>;
      const provider = connectChain(profileOf(plan, node));
      const client = new PrivacyManager(managerUrl(ports), `http://127.0.0.1:${ports.thirdParty}`);
      const [key] = await client.keys();
      return {
        node,
        key: key as string,
        provider,
        sender: new PrivateSender(toHex(new Uint8Array(randomBytes(32))), provider, client),
      };
    }),
  );
});

afterAll(async () => {
  for (const { provider } of sides ?? []) provider.destroy();
  await downNetwork(root);
  rmSync(root, { recursive: true, force: true });
});

async function endNode(name: string): Promise<void> {
  process.kill(runningNodes(folder)[name] as number, "SIGINT");
  while (runningNodes(folder)[name] !== undefined) await sleep(50);
}

/** Files below a folder that hold some bytes. */
const filesWith = (where: string, bytes: Buffer): string[] =>
  readdirSync(where, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => readFileSync(file).includes(bytes));

/** Every row of every table of a manager's database, as text: bytes are hex there. */
async function dumpOf(node: string): Promise<string> {
  const database = connect(await (await startPostgres(folder.postgres)).database(databaseName(node)));
  try {
    const { rows: tables } = await database.query<{ name: string }>(
      "select table_name as name from information_schema.tables where table_schema = 'public'",
    );
    const rows = await Promise.all(
      tables.map(({ name }) => database.query<{ row: string }>(`select to_jsonb(t)::text as row from "${name}" t`)),
    );
    return tables.map(({ name }, i) => [`"${name}"`, ...rows[i]!.rows.map(({ row }) => row)].join("\n")).join("\n");
  } finally {
    await database.end();
  }
}

async function endManager({ node }: Side, signal: NodeJS.Signals): Promise<void> {
  const pid = () => runningProcesses(folder)[managerOf(node.name)];
  process.kill(pid() as number, signal);
  while (pid() !== undefined) await sleep(20);
}

/** Starts a manager again. */
async function beginManager({ node }: Side): Promise<void> {
  const url = await (await startPostgres(folder.postgres)).database(databaseName(node.name));
  const { pid } = await startManager(folder, node, url);
  writeJson(folder.run, { ...runningProcesses(folder), [managerOf(node.name)]: pid });
}

const side = (n: number) => sides[n] as Side;

/** A private transaction, once it is in a block; what it did at its sender. */
async function send(from: Side, call: { to?: Hex; data: string }, privateFor: PrivateFor) {
  const nonce = await from.provider.getTransactionCount(from.sender.address, "pending");
  const signed = await from.sender.sign({ gasLimit: 3_000_000, ...call }, nonce);
  await from.sender.broadcast(signed.raw, privateFor);
  const receipt = await from.provider.mined(signed.hash);
  return { ...signed, receipt };
}

async function deploy(privateFor: PrivateFor): Promise<{ address: Hex; key: Hex }> {
  const from = side(0);
  const nonce = await from.provider.getTransactionCount(from.sender.address, "pending");
  const { key } = await send(from, { data: WORD }, privateFor);
  return { address: getCreateAddress({ from: from.sender.address, nonce }).toLowerCase() as Hex, key };
}

const write = (to: Hex, value: Hex) => ({ to, data: value });

/** The word, as one side's node knows it; undefined where it has no such contract. */
async function wordAt(at: Side, to: Hex): Promise<string | undefined> {
  const answer = await at.provider.call({ to, data: "0x" });
  return answer === "0x" ? undefined : answer;
}

/** Until all nodes have the block that one of them has. */
async function level(): Promise<void> {
  const height = await side(0).provider.getBlockNumber();
  for (const { provider } of sides) while ((await provider.getBlockNumber()) < height) await sleep(100);
}

describe.each([
  ["standard", PRIVACY.standard],
  ["party protection", PRIVACY.partyProtection],
  ["mandatory parties", PRIVACY.mandatoryParties],
  ["state validation", PRIVACY.stateValidation],
] as const)("a contract of flag %s", (_, flag) => {
  const value = toHex(new Uint8Array(randomBytes(32)));
  const among = (): PrivateFor => ({
    to: [side(1).key],
    flag,
    ...(flag === PRIVACY.mandatoryParties ? { mandatory: [side(1).key] } : {}),
  });

  it("is written by its parties, and nobody else has it", async () => {
    const { address, key } = await deploy(among());
    const { receipt } = await send(side(0), write(address, value), among());
    expect(receipt.status).toBe(1);
    await level();
    expect(await wordAt(side(0), address)).toBe(value);
    expect(await wordAt(side(1), address)).toBe(value);
    expect(await wordAt(side(2), address)).toBeUndefined();
    expect(await quorumPayload(side(1).provider, key)).toBeDefined();
    expect(await quorumPayload(side(2).provider, key)).toBeUndefined();
    const known = await contractPrivacyOf(side(1).provider, address);
    if (flag === PRIVACY.standard) expect(known).toBeUndefined();
    else expect(known).toMatchObject({ flag, creationKey: key });
  });
});

describe("whoever is no party", () => {
  const value = toHex(new Uint8Array(randomBytes(32)));

  it("writes to a contract of flag 0: that is why agreements never use it", async () => {
    const { address } = await deploy({ to: [side(1).key] });
    await send(side(2), write(address, value), { to: [side(1).key] });
    await level();
    expect(await wordAt(side(1), address)).toBe(value);
  });

  it("can't write to one of flag 1", async () => {
    const { address } = await deploy({ to: [side(1).key], flag: PRIVACY.partyProtection });
    await expect(
      send(side(2), write(address, value), { to: [side(1).key], flag: PRIVACY.partyProtection }),
    ).rejects.toThrow(/node does not take/);
    await send(side(2), write(address, value), { to: [side(1).key] }).catch(() => undefined);
    await level();
    expect(await wordAt(side(1), address)).toBe(`0x${"00".repeat(32)}`);
  });

  it("finds nothing of a private transaction in its node's files, its database, its logs or by RPC; a party's have it", async () => {
    const secret = toHex(new Uint8Array(randomBytes(32)));
    const { address } = await deploy({ to: [side(1).key], flag: PRIVACY.partyProtection });
    const { key, hash } = await send(side(0), write(address, secret), {
      to: [side(1).key],
      flag: PRIVACY.partyProtection,
    });
    await level();
    const stranger = side(2);
    expect((await stranger.provider.getTransaction(hash))?.data).toBe(key);
    expect(await quorumPayload(stranger.provider, key)).toBeUndefined();
    // What a node has in memory only, it writes when it is told to end.
    for (const name of ["node-2", "node-3"]) await endNode(name);
    const bytes = Buffer.from(secret.slice(2), "hex");
    const payload = Buffer.from(key.slice(2), "hex").toString("base64");
    const forms = [bytes, Buffer.from(bytes.toString("hex")), Buffer.from(bytes.toString("base64"))];
    expect(filesWith(folder.data("node-2"), bytes)).not.toEqual([]);
    for (const form of forms) expect(filesWith(folder.node("node-3"), form)).toEqual([]);
    const logs = [folder.log("node-3"), folder.edgeLog("node-3"), folder.managerLog("node-3")];
    expect(logs.map((log) => existsSync(log))).toEqual([true, true, true]);
    const [ofParty, ofStranger] = [await dumpOf("node-2"), await dumpOf("node-3")];
    expect(ofParty).toContain(payload);
    expect(ofStranger).toContain('"payloads"');
    for (const text of [payload, key.slice(2), ...forms.slice(1).map(String)]) expect(ofStranger).not.toContain(text);
    for (const name of ["node-2", "node-3"]) await upNetwork(root, () => undefined, name);
    await level();
    expect(await wordAt(side(1), address)).toBe(secret);
  });
});

describe("a privacy manager that is away", () => {
  it("is named; the transaction is not on the chain, no nonce is used, and a retry has one effect", async () => {
    const value = toHex(new Uint8Array(randomBytes(32)));
    const among = { to: [side(1).key], flag: PRIVACY.partyProtection };
    const { address } = await deploy(among);
    const from = side(0);
    await endManager(side(1), "SIGTERM");
    const nonce = await from.provider.getTransactionCount(from.sender.address, "pending");
    const signed = await from.sender.sign({ ...write(address, value), gasLimit: 3_000_000 }, nonce);
    await expect(from.sender.broadcast(signed.raw, among)).rejects.toThrow(/node-2/);
    expect(await from.provider.getTransactionCount(from.sender.address, "pending")).toBe(nonce);
    await beginManager(side(1));
    await from.sender.broadcast(signed.raw, among);
    await from.sender.broadcast(signed.raw, among);
    expect((await from.provider.mined(signed.hash)).status).toBe(1);
    await level();
    expect(await wordAt(side(1), address)).toBe(value);
    expect(await from.provider.getTransactionCount(from.sender.address, "pending")).toBe(nonce + 1);
  });

  it("for as long as a restart takes, while a private block comes, its node lives, and has what came", async () => {
    const among = { to: [side(1).key], flag: PRIVACY.partyProtection };
    const [from, party, third] = [side(0), side(1), side(2)];
    const { address } = await deploy(among);
    const before = runningNodes(folder);
    // A manager is started within the five seconds that its node waits.
    await startPostgres(folder.postgres);
    const attempt = async () => {
      const value = toHex(new Uint8Array(randomBytes(32)));
      const nonce = await from.provider.getTransactionCount(from.sender.address, "pending");
      const { raw, hash } = await from.sender.sign({ ...write(address, value), gasLimit: 3_000_000 }, nonce);
      await from.sender.broadcast(raw, among);
      await endManager(party, "SIGKILL");
      const tooLate = await third.provider.getTransactionReceipt(hash);
      const { blockNumber } = await third.provider.mined(hash);
      const came = performance.now();
      // It stands before that block for as long as it can't ask.
      const stands = (await party.provider.getBlockNumber()) < blockNumber;
      await beginManager(party);
      return { value, ms: performance.now() - came, held: !tooLate && stands };
    };
    let tried = await attempt();
    for (let n = 1; !tried.held && n < 10; n++) tried = await attempt();
    console.log(`the manager was back ${Math.round(tried.ms)} ms after the block came`);
    expect(tried.held, "the manager was away when the block came").toBe(true);
    expect(tried.ms).toBeLessThan(5000);
    await sleep(6000);
    await level();
    expect(runningNodes(folder)).toEqual(before);
    expect(await wordAt(party, address)).toBe(tried.value);
  });
});

describe("a machine that was lost with its keys, its blocks and its payloads", () => {
  it("comes back from a backup and from what the other party holds", async () => {
    const among = { to: [side(1).key], flag: PRIVACY.partyProtection };
    const [before, after] = [1, 2].map(() => toHex(new Uint8Array(randomBytes(32)))) as [Hex, Hex];
    const { address } = await deploy(among);
    await send(side(0), write(address, before), among);
    const [out, wrapping] = [join(root, "backup"), join(root, "wrapping.json")];
    await backupNetwork(root, out, { nodes: ["node-2"], wrappingOut: wrapping, chainData: false });
    const { key } = await send(side(0), write(address, after), among);
    await level();

    await endManager(side(1), "SIGKILL");
    for (const [name, pid] of Object.entries(runningProcesses(folder)))
      if (name.startsWith("node-2")) process.kill(pid, "SIGKILL");
    while (Object.keys(runningProcesses(folder)).some((name) => name.startsWith("node-2"))) await sleep(50);
    rmSync(folder.node("node-2"), { recursive: true });
    const server = connect(await (await startPostgres(folder.postgres)).database("postgres"));
    await server.query("drop database node_2 with (force)");
    await server.end();

    await restoreNetwork(root, out, wrapping, ["node-2"]);
    const heard: string[] = [];
    await recoverPayloads(root, "node-2", (line) => heard.push(line));
    console.log(`recovered: ${heard.join(", ")}`);
    await upNetwork(root, () => undefined, "node-2");
    await level();
    expect(await quorumPayload(side(1).provider, key)).toBeDefined();
    expect(await wordAt(side(1), address)).toBe(after);
    // It is a party as before.
    const again = toHex(new Uint8Array(randomBytes(32)));
    await send(side(0), write(address, again), among);
    await level();
    expect(await wordAt(side(1), address)).toBe(again);
  });
});
