import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import * as net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ChainProvider, connectChain, PrivacyManager, PrivateSender, type Profile, Sender } from "@msec/chain";
import { type Hex, toHex } from "@msec/core";
import {
  ask,
  downNetwork,
  initNetwork,
  ipcPath,
  managerUrl,
  NetworkFolder,
  type NetworkPlan,
  type NodePlan,
  profileOf,
  upNetwork,
  validatorsOf,
} from "@msec/quorum";
import { readJson, writeJson } from "@msec/service";
import { decodeRlp, toUtf8String } from "ethers";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { npmTool } from "../support/npm-tool.ts";

// Quorum's own JavaScript client beside ours, on a real network with our privacy managers: where it is wrong or slow, and the
// tests for private transactions that its package ships, over HTTP and IPC, as an outside check.

const VERSION = "22.4.0";
/** What its own tests are written against. */
const THEIRS = {
  rpc: "http://localhost:22000",
  thirdParty: "http://localhost:9081",
  from: "BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=",
  to: "QfeDAys9MPDs2XHExtc84jKGHxZg/aj52DTh0vtA3Xc=",
};
/** Keeps one word: a call with data writes it. */
const CODE = "3615600c57600035600055005b60005460005260206000f3";
const WORD = `0x6018600c60003960186000f3${CODE}`;
const GAS = 1_000_000;

/** Its packages, or undefined where npm can't install them. */
const tool = installed();

function installed(): string | undefined {
  try {
    return npmTool(
      "web3js-quorum",
      { "web3js-quorum": VERSION, web3: "1.10.4", jest: "26.6.3" },
      // Without it six of its eight tests fail: it takes a function that later versions do not have.
      { "ethereumjs-tx": { "ethereumjs-util": "6.1.0" } },
    );
  } catch (error) {
    console.log(`skipped: ${(error as Error).message}`);
    return undefined;
  }
}

const root = mkdtempSync(join(tmpdir(), "msec-w3q-"));
const socket = join(tmpdir(), `msec-w3q-${process.pid}.sock`);
const random = (): Hex => toHex(new Uint8Array(randomBytes(32)));

type Calls = Record<string, (...args: unknown[]) => Promise<unknown>>;

interface Theirs {
  istanbul: Calls;
  ptm: Calls;
  raft: Calls;
  permission: Calls;
  eth: { getTransactionCount(address: string): Promise<number> };
  priv: {
    generateAndSendRawTransaction(
      options: object,
    ): Promise<{ status: boolean; transactionHash: Hex; blockNumber: number }>;
  };
}
interface Call {
  method: string;
  params: unknown[];
  at: number;
}

let plan: NetworkPlan;
let proxy: Server;
let asked: Call[] = [];
let heads: WebSocket;
/** When the node announced a block. */
const announcedAt = new Map<number, number>();
/** Their client as a folder of packages has it, asking the first node. */
let theirsIn: (folder: string) => Theirs;
let theirs: Theirs;
/** The same by the socket of the node's operator, and asking the manager at its own socket. */
let theirsByIpc: Theirs;
let closeIpc: () => void = () => undefined;
let provider: ChainProvider;
let manager: PrivacyManager;
let keys: string[];

const portsOf = (n: number) => (plan.nodes[n] as NodePlan).manager as NonNullable<NodePlan["manager"]>;

/** Passes everything on to a node, and keeps what was asked. */
function startProxy(target: string): Promise<string> {
  proxy = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += String(part)));
    request.on("end", () => {
      const parsed = JSON.parse(body) as Omit<Call, "at"> | Omit<Call, "at">[];
      for (const { method, params } of [parsed].flat()) asked.push({ method, params, at: performance.now() });
      fetch(target, { method: "POST", headers: { "content-type": "application/json" }, body })
        .then((answer) => answer.text())
        .then((text) => response.writeHead(200, { "content-type": "application/json" }).end(text))
        .catch(() => response.writeHead(502).end());
    });
  });
  return new Promise((resolve) =>
    proxy.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(proxy.address() as { port: number }).port}`)),
  );
}

beforeAll(async () => {
  if (!tool) return;
  plan = await initNetwork(root, { chainId: 20_261, validators: 4, observers: 0, members: 2, blockSeconds: 1 });
  // Their tests by IPC ask the manager at its Unix socket.
  const file = new NetworkFolder(root).managerConfig("node-1");
  const config = readJson<{ q2t: object }>(file) as { q2t: object };
  writeJson(file, { ...config, q2t: { ...config.q2t, socket } });
  await upNetwork(root, () => undefined);
  const profile = profileOf(plan, plan.nodes[0] as NodePlan);
  const url = await startProxy(profile.rpc);
  heads = new WebSocket(profile.ws as string);
  heads.onopen = () =>
    heads.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_subscribe", params: ["newHeads"] }));
  heads.onmessage = ({ data }) => {
    const { params } = JSON.parse(String(data)) as { params?: { result: { number: string } } };
    if (params) announcedAt.set(Number(params.result.number), performance.now());
  };
  keys = await Promise.all(
    [0, 1].map(
      async (n) => (await new PrivacyManager(`http://127.0.0.1:${portsOf(n).thirdParty}`).keys())[0] as string,
    ),
  );
  manager = new PrivacyManager(managerUrl(portsOf(0)), `http://127.0.0.1:${portsOf(0).thirdParty}`);
  provider = connectChain({ ...profile, rpc: url } satisfies Profile);
  theirsIn = (folder) => {
    const load = createRequire(join(folder, "package.json"));
    const Web3 = load("web3") as new (url: string) => object;
    const web3Quorum = load("web3js-quorum") as (web3: object, options: object, isQuorum: boolean) => Theirs;
    return web3Quorum(new Web3(url), { privateUrl: `http://127.0.0.1:${portsOf(0).thirdParty}` }, true);
  };
  theirs = theirsIn(tool);
  const load = createRequire(join(tool, "package.json"));
  const Web3 = load("web3") as {
    new (provider: object): object;
    providers: { IpcProvider: new (path: string, net: unknown) => { connection: { destroy(): void } } };
  };
  const web3Quorum = load("web3js-quorum") as (web3: object, options: object, isQuorum: boolean) => Theirs;
  const operator = new Web3.providers.IpcProvider(ipcPath(new NetworkFolder(root), "node-1"), net);
  closeIpc = () => operator.connection.destroy();
  theirsByIpc = web3Quorum(new Web3(operator), { ipcPath: socket }, true);
});

afterAll(async () => {
  provider?.destroy();
  closeIpc();
  heads?.close();
  proxy?.closeAllConnections();
  proxy?.close();
  if (tool) await downNetwork(root);
  for (const path of [root, socket]) rmSync(path, { recursive: true, force: true });
});

const requests = (method: string, hash: Hex) => asked.filter((c) => c.method === method && c.params[0] === hash);

/** Milliseconds between the announcement of a block and now, when a caller is told of it. */
const late = (block: number) => performance.now() - (announcedAt.get(block) as number);

/** A private contract by their client; how late after its block the caller is told. */
async function byTheirs(change: object = {}, client = theirs) {
  const options = {
    ...{ gasPrice: 0, gasLimit: GAS, to: "", value: 0, data: WORD, nonce: 0 },
    ...{ from: { privateKey: random() }, isPrivate: true, privateFrom: keys[0], privateFor: [keys[1]] },
    ...change,
  };
  const said = vi.spyOn(console, "log").mockImplementation(() => undefined);
  const receipt = await client.priv.generateAndSendRawTransaction(options).finally(() => said.mockRestore());
  return { hash: receipt.transactionHash, status: receipt.status, ms: late(receipt.blockNumber) };
}

/** The same by ours. */
async function byOurs() {
  const sender = new PrivateSender(random(), provider, manager);
  const { hash, raw } = await sender.sign({ data: WORD, gasLimit: GAS }, 0, keys[0]);
  await sender.broadcast(raw, { to: [keys[1] as string] }, keys[0]);
  const { status, blockNumber } = await provider.mined(hash);
  return { hash, status, ms: late(blockNumber) };
}

const median = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] as number;

describe.skipIf(!tool)("beside web3js-quorum", () => {
  test("it asks for a receipt once a second, ours when a block comes, so that its caller is told sooner", async () => {
    const ran = { theirs: [] as number[], ours: [] as number[] };
    for (let n = 0; n < 7; n++) {
      // Else each begins right after a block, and its polls fall into step with them.
      await sleep(1000 * Math.random());
      const one = await byTheirs();
      expect(one.status).toBe(true);
      const times = requests("eth_getTransactionReceipt", one.hash).map(({ at }) => at);
      for (const [i, at] of times.entries()) if (i > 0) expect(at - (times[i - 1] as number)).toBeGreaterThan(950);
      ran.theirs.push(one.ms);
      const from = await provider.getBlockNumber();
      const other = await byOurs();
      expect(other.status).toBe(1);
      // Once at the start and once a block; the socket's own opening is a chance more.
      const blocks = (await provider.getBlockNumber()) - from;
      expect(requests("eth_getTransactionReceipt", other.hash).length).toBeLessThanOrEqual(blocks + 3);
      ran.ours.push(other.ms);
    }
    console.log(
      `told after the block, median of 7: web3js-quorum ${Math.round(median(ran.theirs))} ms, ours ${Math.round(median(ran.ours))} ms`,
    );
    expect(median(ran.ours)).toBeLessThan(median(ran.theirs));
  });

  test("isPrivate: false sends, as a private transaction, the text of the data after a second 0x, which the node refuses; ours sends a public one by another class", async () => {
    asked = [];
    await expect(byTheirs({ isPrivate: false })).rejects.toThrow(/Returned error: /);
    const [sent] = asked.filter(({ method }) => method.startsWith("eth_send"));
    expect(sent?.method).toBe("eth_sendRawPrivateTransaction");
    const fields = decodeRlp(sent?.params[0] as string) as string[];
    expect(toUtf8String(fields[5] as string)).toBe(`0x${WORD}`);
    expect(["0x25", "0x26"]).toContain(fields[6]);

    const { contractAddress } = await new Sender(random(), provider, plan.chainId).transact({ data: WORD });
    const { rpc } = profileOf(plan, plan.nodes[3] as NodePlan);
    await vi.waitFor(
      async () => expect(await ask<string>(rpc, "eth_getCode", [contractAddress, "latest"])).toBe(`0x${CODE}`),
      20_000,
    );
  });

  test("as npm installs it, it can't make a contract; with a dependency held back it can", async () => {
    const plain = theirsIn(npmTool("web3js-quorum-plain", { "web3js-quorum": VERSION, web3: "1.10.4" }));
    asked = [];
    await expect(byTheirs({}, plain)).rejects.toThrow(/^Cannot convert string to buffer\. toBuffer only supports 0x-/);
    expect(asked.filter(({ method }) => method.startsWith("eth_send"))).toEqual([]);
    expect((await byTheirs()).status).toBe(true);
  });

  test("it does not tell the node which party sends; ours does", async () => {
    const sentBy = async (send: () => Promise<{ hash: Hex }>) => {
      asked = [];
      await send();
      const [call] = asked.filter(({ method }) => method === "eth_sendRawPrivateTransaction");
      return (call?.params[1] as { privateFrom?: string }).privateFrom;
    };
    expect(await sentBy(byTheirs)).toBeUndefined();
    expect(await sentBy(byOurs)).toBe(keys[0]);
  });
});

/** What each call does: "works", or what is said against it. */
async function outcomesOf(calls: Calls, wanted: Record<string, unknown[]>): Promise<Record<string, string>> {
  const outcomes: Record<string, string> = {};
  for (const [name, args] of Object.entries(wanted))
    outcomes[name] = await (calls[name] as Calls[string])(...args).then(
      () => "works",
      (error: Error) => error.message,
    );
  return outcomes;
}

describe.skipIf(!tool)("its namespaces for Quorum", () => {
  const NOT_THERE = expect.stringMatching(
    /^Returned error: the method \w+ does not exist\/is not available$/,
  ) as string;
  const all = (names: Iterable<string>, outcome: string) => Object.fromEntries([...names].map((n) => [n, outcome]));
  let block: { number: number; hash: string };
  let istanbul: Record<string, unknown[]>;

  beforeAll(async () => {
    await vi.waitFor(async () => expect(await provider.getBlockNumber()).toBeGreaterThan(5), 60_000);
    const number = (await provider.getBlockNumber()) - 1;
    block = { number, hash: (await provider.getBlock(number))?.hash as string };
    const stranger = `0x${"12".repeat(20)}`;
    const [from, to] = [number - 2, number].map((n) => `0x${n.toString(16)}`);
    istanbul = {
      ...{ nodeAddress: [], candidates: [], propose: [stranger, true], discard: [stranger] },
      ...{ getValidators: ["latest"], getSnapshot: ["latest"], isValidator: ["latest"], status: [from, to] },
      ...{ getValidatorsAtHash: [block.hash], getSnapshotAtHash: [block.hash] },
      ...{ getSignersFromBlock: [number], getSignersFromBlockByHash: [block.hash] },
    };
  });

  test("istanbul works by the socket of a node's operator, where votes are cast; by HTTP the node does not offer it", async () => {
    expect(await outcomesOf(theirsByIpc.istanbul, istanbul)).toEqual(all(Object.keys(istanbul), "works"));
    expect(await outcomesOf(theirs.istanbul, istanbul)).toEqual(all(Object.keys(istanbul), NOT_THERE));
    const addresses = plan.nodes.map(({ address }) => address).sort();
    const validators = (await theirsByIpc.istanbul.getValidators?.("latest")) as string[];
    expect(validators.map((one) => one.toLowerCase()).sort()).toEqual(addresses);
    expect(await theirsByIpc.istanbul.nodeAddress?.()).toBe(plan.nodes[0]?.address);
    expect(validators.sort()).toEqual((await validatorsOf(new NetworkFolder(root), "node-1")).sort());
  });

  test("istanbul.status does not take the numbers that its own documentation names", async () => {
    const status = (...range: unknown[]) => theirsByIpc.istanbul.status?.(...range);
    await expect(status(block.number - 2, block.number)).rejects.toThrow(/invalid argument 0: hex string without 0x/);
  });

  test("ptm works with our manager: by its server for applications all but send, by the node's socket all", async () => {
    const [data, privateFrom] = [WORD, keys[0]];
    const calls = {
      ...{ upCheck: [], keys: [], partyInfoKeys: [], storeRaw: [{ data, privateFrom }] },
      send: [{ data, privateFrom, privateFor: [keys[1]] }],
    };
    const works = all(Object.keys(calls), "works");
    expect(await outcomesOf(theirsByIpc.ptm, calls)).toEqual(works);
    // As a Tessera's: whoever reaches that server sends nothing and reads nothing.
    expect(await outcomesOf(theirs.ptm, calls)).toEqual({ ...works, send: expect.stringMatching(/^404 - /) as string });
    // It leaves the list as text; ours reads and checks it.
    expect(typeof (await theirs.ptm.keys?.())).toBe("string");
    expect(await manager.keys()).toEqual([keys[0]]);
    const key = (await theirsByIpc.ptm.send?.(...calls.send)) as string;
    expect(toHex((await manager.receive(`0x${key.replace(/^0x/, "")}`))?.payload as Uint8Array)).toBe(WORD);
  });

  // Subscriptions left out: a node of geth's line ends those of any namespace.
  test("priv is Besu's but for what it sends by itself; GoQuorum has not one of the others", async () => {
    const OURS = /^(generate|wait|subscriptionPolling|subscribeWithPooling|(un)?subscribe$)/;
    const names = Object.keys(theirs.priv).filter((one) => !OURS.test(one));
    expect(names.length).toBe(18);
    const count: Record<string, number> = { call: 3, getEeaTransactionCount: 3, getCode: 3 };
    const one = ["getPrivacyPrecompileAddress"];
    const single = /^(distribute|getPrivateTransaction|create|delete|find|getTransactionReceipt|sendRaw)/;
    const argumentsOf = (name: string) =>
      one.includes(name) ? [] : Array.from({ length: count[name] ?? (single.test(name) ? 1 : 2) }, () => "latest");
    const calls = Object.fromEntries(names.map((name) => [name, argumentsOf(name)]));
    expect(await outcomesOf(theirs.priv as unknown as Calls, calls)).toEqual(all(names, NOT_THERE));
  });

  test("raft and permission name what this network has not: it is QBFT, and the keepers let nodes in", async () => {
    const raft = { cluster: [], role: [], leader: [] };
    expect(await outcomesOf(theirsByIpc.raft, raft)).toEqual(all(Object.keys(raft), NOT_THERE));
    const permission = { orgList: [], acctList: [], nodeList: [], roleList: [] };
    expect(await outcomesOf(theirsByIpc.permission, permission)).toEqual(all(Object.keys(permission), NOT_THERE));
  });
});

test.skipIf(!tool)("the eight tests of private transactions that it ships pass with our managers", () => {
  if (!tool) return;
  // Not among packages, where its test runner looks for no tests.
  const copy = mkdtempSync(join(tmpdir(), "msec-w3q-theirs-"));
  try {
    const source = join(tool, "node_modules", "web3js-quorum");
    for (const part of ["src", "solidity", "integration-tests/quorum-privacy"])
      cpSync(join(source, part), join(copy, part), { recursive: true });
    symlinkSync(join(tool, "node_modules"), join(copy, "node_modules"));
    writeFileSync(
      join(copy, "package.json"),
      JSON.stringify({ jest: { testTimeout: 60_000, testEnvironment: "node" } }),
    );
    const changed = new Map([
      [THEIRS.rpc, profileOf(plan, plan.nodes[0] as NodePlan).rpc],
      [THEIRS.thirdParty, `http://127.0.0.1:${portsOf(0).thirdParty}`],
      [THEIRS.from, keys[0] as string],
      [THEIRS.to, keys[1] as string],
    ]);
    const helpers = join(copy, "integration-tests", "quorum-privacy", "helpers");
    for (const name of readdirSync(helpers)) {
      let text = readFileSync(join(helpers, name), "utf8");
      for (const [from, to] of changed) text = text.replaceAll(from, to);
      writeFileSync(join(helpers, name), text);
    }
    const out = join(copy, "result.json");
    const jest = join(tool, "node_modules", "jest", "bin", "jest.js");
    const { stderr } = spawnSync(
      process.execPath,
      [jest, "--runInBand", "--forceExit", "--json", `--outputFile=${out}`, "integration-tests/quorum-privacy"],
      { cwd: copy, encoding: "utf8", env: { ...process.env, IPC_PATH: socket } },
    );
    const result = JSON.parse(readFileSync(out, "utf8")) as { numPassedTests: number; numTotalTests: number };
    expect([result.numPassedTests, result.numTotalTests], stderr.slice(-3000)).toEqual([8, 8]);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
});
