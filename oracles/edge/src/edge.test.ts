import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  type ChainProvider,
  connectChain,
  contractsAt,
  deployCity,
  type Deployment,
  embedded,
  EMBEDDED_CHAIN_ID,
  type EmbeddedChain,
  Sender,
  startChain,
} from "@msec/chain";
import { freePort, writeJson } from "@msec/service";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { address, key, smallCity } from "../../../test/support/founding.ts";
import { CODES, Edge, type EdgeOptions, type Reply } from "./edge.ts";

const [DEPLOYER, USER] = [1000, 31];
const FUNDS = 1_000_000n;

const folder = mkdtempSync(join(tmpdir(), "msec-edge-"));
let chain: EmbeddedChain;
let provider: ChainProvider;
let deployment: Deployment;

beforeAll(async () => {
  chain = await startChain(join(folder, "chain"), await freePort());
  provider = connectChain(embedded(chain.rpc, chain.chainId));
  deployment = await deployCity(provider, chain.chainId, key(DEPLOYER), smallCity(address(USER), FUNDS));
});
afterAll(async () => {
  provider?.destroy();
  await chain?.stop();
  rmSync(folder, { recursive: true, force: true });
});

let now = 0;
const counted: string[] = [];
const LOCAL = "127.0.0.1";

/** An edge of this chain whose clock stands still. */
function edgeWith(change: Partial<EdgeOptions> = {}): Edge {
  const options = {
    ...{ node: chain.rpc, chainId: EMBEDDED_CHAIN_ID, privateState: false },
    ...{ connection: { perSecond: 10, burst: 1000 }, account: { perSecond: 1, burst: 3 } },
    ...{ largestBatch: 50, inFlight: 100 },
    ...change,
  };
  return new Edge(
    options,
    (method, outcome) => counted.push(`${method} ${outcome}`),
    () => now,
  );
}
const rpc = (method: string, params: unknown[] = [], id: unknown = 1) => ({ jsonrpc: "2.0", id, method, params });
const one = async (edge: Edge, method: string, params: unknown[] = [], from = LOCAL) =>
  (await edge.answer(rpc(method, params), from)) as Reply & {
    result?: unknown;
    error?: { code: number; message: string };
  };
const sign = async (n: number, nonce: number, chainId: number = EMBEDDED_CHAIN_ID) =>
  (await new Sender(key(n), provider, chainId).sign({ to: address(99), data: "0x" }, nonce)).raw;

describe("an edge", () => {
  it("passes reads on, in batches too, each with its own id, and keeps refusals apart", async () => {
    const edge = edgeWith();
    expect(await one(edge, "eth_chainId")).toEqual({
      ...{ jsonrpc: "2.0", id: 1 },
      result: `0x${EMBEDDED_CHAIN_ID.toString(16)}`,
    });
    const batch = await edge.answer(
      [rpc("eth_chainId", [], "a"), rpc("personal_listAccounts", [], 7), {}, rpc("eth_getCode", ["bad", "x"], null)],
      LOCAL,
    );
    expect(batch).toMatchObject([
      { id: "a", result: `0x${EMBEDDED_CHAIN_ID.toString(16)}` },
      { id: 7, error: { code: CODES.method, message: expect.stringContaining("not offered") } },
      { id: null, error: { code: CODES.invalid } },
      { id: null, error: { code: CODES.params } },
    ]);
    expect(counted).toEqual(expect.arrayContaining(["eth_chainId answered", "other method", "eth_getCode node-error"]));
  });

  it.each([
    "eth_sendTransaction",
    "eth_accounts",
    "admin_peers",
    "txpool_content",
    "debug_traceTransaction",
    "toString",
  ])("does not offer %s", async (method) => expect((await one(edgeWith(), method)).error?.code).toBe(CODES.method));

  it.each(["eth_sendRawPrivateTransaction", "eth_getQuorumPayload", "eth_distributePrivateTransaction"])(
    "does not offer GoQuorum's %s",
    async (method) => expect((await one(edgeWith(), method)).error?.code).toBe(CODES.method),
  );

  it("of a node with a privacy manager shows no state, log or receipt, and takes transactions", async () => {
    const edge = edgeWith({ privateState: true });
    for (const method of ["eth_call", "eth_getLogs", "eth_getTransactionReceipt", "eth_getStorageAt", "eth_getCode"])
      expect((await one(edge, method)).error).toMatchObject({
        code: CODES.method,
        message: expect.stringContaining("without a privacy manager"),
      });
    expect(await one(edge, "eth_sendRawTransaction", [await sign(50, 0)])).toHaveProperty("result");
  });

  it("limits what one address asks, calls counting more, and lets go with time; others are not touched", async () => {
    const edge = edgeWith({ connection: { perSecond: 10, burst: 10 } });
    const call = [{ to: address(1), data: "0x" }, "latest"];
    expect(await one(edge, "eth_call", call)).toHaveProperty("result");
    expect(await one(edge, "eth_call", call)).toHaveProperty("result");
    expect((await one(edge, "eth_chainId")).error).toMatchObject({
      code: CODES.limit,
      message: expect.stringContaining("another organisation's edge"),
      data: { retryAfterSeconds: 1 },
    });
    expect(await one(edge, "eth_chainId", [], "10.0.0.9")).toHaveProperty("result");
    now += 0.5;
    expect(await one(edge, "eth_call", call)).toHaveProperty("result");
    expect((await one(edge, "eth_call", call)).error?.code).toBe(CODES.limit);
  });

  it("counts an IPv6 network of 64 bits as one address, and IPv4 in either form as the same", async () => {
    const edge = edgeWith({ connection: { perSecond: 1, burst: 1 } });
    expect(await one(edge, "eth_chainId", [], "2001:db8:1:2:aaaa::1")).toHaveProperty("result");
    expect((await one(edge, "eth_chainId", [], "2001:db8:1:2:bbbb::7")).error?.code).toBe(CODES.limit);
    expect(await one(edge, "eth_chainId", [], "2001:db8:1:3::1")).toHaveProperty("result");
    expect(await one(edge, "eth_chainId", [], "::ffff:10.1.1.1")).toHaveProperty("result");
    expect((await one(edge, "eth_chainId", [], "10.1.1.1")).error?.code).toBe(CODES.limit);
  });

  it("limits the transactions of an account wherever they come from, and no other account's", async () => {
    const edge = edgeWith();
    const send = async (n: number, nonce: number, from: string) =>
      one(edge, "eth_sendRawTransaction", [await sign(n, nonce)], from);
    for (const nonce of [0, 1, 2]) expect(await send(51, nonce, `10.0.0.${nonce}`)).toHaveProperty("result");
    expect((await send(51, 3, "10.0.0.9")).error).toMatchObject({
      code: CODES.limit,
      message: expect.stringContaining(address(51)),
    });
    expect(await send(52, 0, "10.0.0.9")).toHaveProperty("result");
    now += 1;
    expect(await send(51, 3, "10.0.0.9")).toHaveProperty("result");
  });

  it("does not count what the node has already, so that nobody uses up an account's quota with its own transactions", async () => {
    const edge = edgeWith();
    const old = await sign(57, 0);
    expect(await one(edge, "eth_sendRawTransaction", [old])).toHaveProperty("result");
    for (let i = 0; i < 5; i++)
      expect((await one(edge, "eth_sendRawTransaction", [old], "10.0.0.8")).error?.code).not.toBe(CODES.limit);
    const away = edgeWith({ node: `http://127.0.0.1:${await freePort()}` });
    for (let i = 0; i < 5; i++) expect((await one(away, "eth_sendRawTransaction", [old])).error?.code).toBe(CODES.away);
    for (const nonce of [1, 2])
      expect(await one(edge, "eth_sendRawTransaction", [await sign(57, nonce)])).toHaveProperty("result");
    expect((await one(edge, "eth_sendRawTransaction", [await sign(57, 3)])).error?.code).toBe(CODES.limit);
  });

  it("passes on no transaction for another chain, no private one and nothing unsigned", async () => {
    const edge = edgeWith();
    for (const params of [[await sign(53, 0, 5)], [await sign(53, 0, 1)], ["0xc0"], [7], []])
      expect((await one(edge, "eth_sendRawTransaction", params)).error?.code).toBe(CODES.params);
    expect(await provider.getTransactionCount(address(53), "pending")).toBe(0);
  });

  it("refuses batches beyond its limit, and says when too much waits for the node or it is away", async () => {
    const edge = edgeWith({ largestBatch: 3 });
    expect(
      await edge.answer(
        Array.from({ length: 4 }, () => rpc("eth_chainId")),
        LOCAL,
      ),
    ).toMatchObject({
      error: { code: CODES.invalid, message: expect.stringContaining("1 to 3") },
    });
    expect(await edge.answer([], LOCAL)).toMatchObject({ error: { code: CODES.invalid } });
    const busy = edgeWith({ inFlight: 2 });
    const all = await Promise.all([1, 2, 3].map(() => one(busy, "eth_chainId")));
    expect(all.filter(({ error }) => error?.code === CODES.limit)).toHaveLength(1);
    expect(await one(busy, "eth_chainId")).toHaveProperty("result");
    const alone = edgeWith({ node: `http://127.0.0.1:${await freePort()}` });
    expect((await one(alone, "eth_chainId")).error).toMatchObject({
      code: CODES.away,
      message: expect.stringContaining("another organisation's edge"),
    });
  });
});

describe("edges as processes", () => {
  const running: ChildProcess[] = [];
  afterEach(async () => {
    for (const child of running.splice(0)) {
      child.kill("SIGTERM");
      await new Promise((resolve) => child.on("exit", resolve));
    }
  });

  async function start(config: object): Promise<{ url: string; health: string }> {
    const [own, health] = [await freePort(), await freePort()];
    const file = join(folder, `edge-${own}.json`);
    writeJson(file, {
      ...{ name: "edge", node: chain.rpc, chainId: EMBEDDED_CHAIN_ID, privateState: false, port: own },
      health: { port: health },
      ...{ logLevel: "error", ...config },
    });
    const main = fileURLToPath(new URL("./main.ts", import.meta.url));
    running.push(spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, file], { stdio: "inherit" }));
    const at = `http://127.0.0.1:${health}`;
    for (let i = 0; i < 300; i++) {
      if ((await fetch(`${at}/status`).catch(() => undefined))?.ok) break;
      await sleep(100);
    }
    return { url: `http://127.0.0.1:${own}`, health: at };
  }

  it("let whoever one of them refuses leave with their bond by another", async () => {
    const [strict, open] = [await start({ account: { perSecond: 0.001, burst: 2 } }), await start({})];
    const { Escrow, MSecToken } = contractsAt(deployment.addresses, provider);
    const calls = [
      {
        to: deployment.addresses.MSecToken,
        data: MSecToken.interface.encodeFunctionData("approve", [deployment.addresses.Escrow, FUNDS]),
      },
      {
        to: deployment.addresses.Escrow,
        data: Escrow.interface.encodeFunctionData("depositBond", [deployment.addresses.MSecToken, FUNDS]),
      },
    ];
    const at = (url: string) => connectChain(embedded(url, EMBEDDED_CHAIN_ID));
    const [byStrict, byOpen] = [at(strict.url), at(open.url)];
    try {
      for (const call of calls) await new Sender(key(USER), byStrict, EMBEDDED_CHAIN_ID).transact(call);
      expect(await MSecToken.balanceOf(address(USER))).toBe(0n);
      const withdrawal = {
        to: deployment.addresses.Escrow,
        data: Escrow.interface.encodeFunctionData("withdrawBond", [deployment.addresses.MSecToken, FUNDS]),
      };
      await expect(new Sender(key(USER), byStrict, EMBEDDED_CHAIN_ID).transact(withdrawal)).rejects.toThrow(
        "too many transactions",
      );
      await new Sender(key(USER), byOpen, EMBEDDED_CHAIN_ID).transact(withdrawal);
      expect(await MSecToken.balanceOf(address(USER))).toBe(FUNDS);
    } finally {
      byStrict.destroy();
      byOpen.destroy();
    }
    const metrics = await (await fetch(`${strict.health}/metrics`)).text();
    expect(metrics).toMatch(/msec_edge_requests_total\{method="eth_sendRawTransaction",outcome="account"\} 1/);
  });

  it("answer what is no JSON, or too large, as JSON-RPC does", async () => {
    const { url, health } = await start({ largestBody: 2048 });
    const post = async (body: string) => {
      const response = await fetch(url, { method: "POST", body });
      return { status: response.status, ...((await response.json()) as { error: { code: number; message: string } }) };
    };
    expect(await post("{")).toMatchObject({ status: 400, error: { code: CODES.malformed } });
    expect(await post(`"${"x".repeat(3000)}"`)).toMatchObject({
      status: 413,
      error: { code: CODES.invalid, message: expect.stringContaining("2 KiB") },
    });
    expect(await (await fetch(`${health}/status`)).json()).toMatchObject({ healthy: true });
  });
});
