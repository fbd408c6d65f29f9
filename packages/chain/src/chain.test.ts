import { createServer } from "node:http";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addressOfKey, type Config, fromHex, type Hex, quorum } from "@msec/core";
import { encodeBytes32String, id } from "ethers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../service/src/ports.ts";
import { EMBEDDED_CHAIN_ID, type EmbeddedChain, startChain } from "./anvil.ts";
import { isWhole } from "./anvil-state.ts";
import { contractsAt, SOURCES } from "./contracts.ts";
import { deployCity, type Founding, readDeployment, writeDeployment } from "./deploy.ts";
import { describeError } from "./errors.ts";
import { type ChainProvider, connectChain, embedded } from "./provider.ts";
import { Sender } from "./sender.ts";

const key = (n: number): Hex => `0x${n.toString(16).padStart(64, "0")}`;
const address = (n: number) => addressOfKey(fromHex(key(n)));
const organisation = (n: number): Hex => `0x${(0xa0 + n).toString(16).padStart(64, "0")}`;
const DEPLOYER = key(1000);
const POLL = { timeout: 30_000, interval: 100 };

const members = [11, 12, 13, 14].map(address).sort();
const founding: Founding = {
  committee: { q: quorum(4), members, organisations: members.map((_, i) => organisation(i)), fromEpoch: 1 },
  organisations: [
    { account: address(21), organisation: organisation(21) },
    { account: address(22), organisation: organisation(22) },
  ],
  registrars: [address(21), address(22)],
  threshold: 2,
  softwareCap: 10,
  balances: [
    { account: address(31), amount: 5_000_000n },
    { account: address(32), amount: 7n },
  ],
  // In no order that the contract would take.
  panel: [address(22), address(11), address(21), address(14)],
  caseSeconds: { commit: 180, reveal: 120 },
};

let folder: string;
let port: number;
let chain: EmbeddedChain;
let provider: ChainProvider;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "msec-chain-"));
  port = await freePort();
  chain = await startChain(folder, port);
  provider = connectChain(embedded(chain.rpc, chain.chainId));
});
afterAll(async () => {
  provider?.destroy();
  await chain?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The chain, for a program that dies before it sends a transaction of which `dies` is true. */
function cutWhen(dies: (raw: string) => boolean): ChainProvider {
  return new Proxy(provider, {
    get(target, name) {
      if (name === "send")
        return async (method: string, params: unknown[]) => {
          if (method === "eth_sendRawTransaction" && dies(params[0] as string)) throw new Error("the power went");
          return (await target.send(method, params)) as unknown;
        };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value as (...a: unknown[]) => unknown).bind(target) : value;
    },
  });
}

describe("deployCity", () => {
  test("goes on where it was cut off, and does nothing the second time", async () => {
    const sender = new Sender(DEPLOYER, provider, chain.chainId);
    const run = (dies: (raw: string) => boolean) => deployCity(cutWhen(dies), chain.chainId, DEPLOYER, founding);
    // A crash among the contracts, and at once another among what founds the city: what was sent waits in the pool.
    let left = 4;
    await expect(run(() => left-- === 0)).rejects.toThrow("the power went");
    expect(await sender.nonce()).toBe(4);
    const mint = id("mint(address,uint256)").slice(2, 10);
    let mints = 0;
    await expect(run((raw) => raw.includes(mint) && ++mints === 2)).rejects.toThrow("the power went");
    const deployment = await run(() => false);

    for (const at of Object.values(deployment.addresses)) expect(await provider.getCode(at)).not.toBe("0x");
    const { OracleCommittee, MSecToken, Escrow, Arbitration, DeviceRegistry, Directory, AccessManager } = contractsAt(
      deployment.addresses,
      provider,
    );
    expect(await OracleCommittee.configCount()).toBe(1n);
    const config = await OracleCommittee.configAt(1);
    expect(config.members.map((m) => m.toLowerCase())).toEqual((founding.committee as Config).members);
    expect(await MSecToken.balanceOf(address(31))).toBe(5_000_000n);
    expect(await MSecToken.totalSupply()).toBe(5_000_007n);
    expect(await Escrow.isTokenAllowed(deployment.addresses.MSecToken)).toBe(true);
    expect(await DeviceRegistry.isRegistrar(address(22))).toBe(true);
    expect(await Directory.organisationOf(address(21))).toBe(organisation(21));
    const market = await Directory.addressOf(encodeBytes32String("Marketplace"));
    expect(market.toLowerCase(), "the escrow lets this one open deals").toBe(deployment.addresses.Marketplace);
    const arbitration = await Escrow.arbitration();
    expect(arbitration.toLowerCase(), "rules on its complaints").toBe(deployment.addresses.Arbitration);
    const setPanel = Arbitration.interface.getFunction("setPanel").selector;
    const role = await AccessManager.getTargetFunctionRole(deployment.addresses.Arbitration, setPanel);
    expect((await AccessManager.hasRole(role, deployment.deployer)).isMember).toBe(true);
    expect((await AccessManager.hasRole(role, address(31))).isMember).toBe(false);

    const [seated, organisations] = await Arbitration.panelAt(await Arbitration.panelCount());
    expect([...seated].map((m) => m.toLowerCase()).sort()).toEqual([...(founding.panel as Hex[])].sort());
    expect([...organisations]).toEqual([...organisations].sort());
    expect([await Arbitration.commitSeconds(), await Arbitration.caseSeconds()]).toEqual([180n, 300n]);
    const stray = { ...founding, panel: [address(99)] };
    await expect(deployCity(provider, chain.chainId, key(1001), stray)).rejects.toThrow(
      "is to judge and is of no organisation",
    );

    const nonce = await sender.nonce();
    expect(await deployCity(provider, chain.chainId, DEPLOYER, founding)).toEqual(deployment);
    expect(await sender.nonce()).toBe(nonce);
    expect(await MSecToken.balanceOf(address(31))).toBe(5_000_000n);
  }, 240_000);

  test("the deployment's file is read back, and is absent before", () => {
    const file = join(folder, "deployment.json");
    expect(readDeployment(file)).toBeUndefined();
    const names = Object.keys(SOURCES) as (keyof typeof SOURCES)[];
    const deployment = {
      chainId: 1,
      deployer: address(1),
      addresses: Object.fromEntries(names.map((name, i) => [name, address(i + 1)])) as Record<
        keyof typeof SOURCES,
        Hex
      >,
    };
    writeDeployment(file, deployment);
    expect(readDeployment(file)).toEqual(deployment);
    expect(existsSync(`${file}.new`)).toBe(false);
  });
});

describe("Sender", () => {
  const to = address(77);

  test("the same bytes may be sent again while they wait and after they were mined", async () => {
    const sender = new Sender(key(2000), provider, chain.chainId);
    const signed = await sender.sign({ to, data: "0x", gasLimit: 30_000 }, await sender.nonce());
    await sender.broadcast(signed.raw);
    await sender.broadcast(signed.raw);
    expect((await sender.wait(signed.hash)).status).toBe(1);
    await sender.broadcast(signed.raw);
    expect(await sender.nonce()).toBe(signed.nonce + 1);
  });

  test("bytes are the same each time they are signed, so a crash before keeping them does no harm", async () => {
    const sender = new Sender(key(2001), provider, chain.chainId);
    const [a, b] = [await sender.sign({ to, data: "0x01" }, 7), await sender.sign({ to, data: "0x01" }, 7)];
    expect(a).toEqual(b);
    expect(a.hash).toMatch(/^0x[0-9a-f]{64}$/);
  });

  test("bytes that are no transaction are an error", async () => {
    const sender = new Sender(key(2002), provider, chain.chainId);
    await expect(sender.broadcast("0x1234")).rejects.toThrow();
  });

  test("transact spends no nonce on what a contract refuses, and throws that contract's error", async () => {
    const { addresses } = await deployCity(provider, chain.chainId, DEPLOYER, founding);
    const sender = new Sender(key(2003), provider, chain.chainId);
    const { MSecToken } = contractsAt({ MSecToken: addresses.MSecToken }, provider);
    const data = MSecToken.interface.encodeFunctionData("transfer", [to, 1]);
    const error = await sender.transact({ to: addresses.MSecToken, data }).then(
      () => undefined,
      (e: unknown) => e,
    );
    expect(describeError(error)).toMatch(/^ERC20InsufficientBalance\(0x[0-9a-fA-F]{40}, 0, 1\)$/);
    expect(await sender.nonce()).toBe(0);
  });

  test("every way in which a node says that it has the bytes already is fine; anything else is not", async () => {
    const answers = [
      "already known",
      "ALREADY_EXISTS: already known",
      "known transaction: 0x12",
      "transaction already imported",
      "nonce too low",
      "nonce too low: next nonce 5, tx nonce 3",
    ];
    let answer = "";
    const node = createServer((request, response) => {
      let body = "";
      request.on("data", (part) => (body += String(part)));
      request.on("end", () => {
        const given = JSON.parse(body) as { id: number } | { id: number }[];
        const reply = ({ id }: { id: number }) => ({ jsonrpc: "2.0", id, error: { code: -32000, message: answer } });
        response
          .writeHead(200, { "content-type": "application/json" })
          .end(JSON.stringify(Array.isArray(given) ? given.map(reply) : reply(given)));
      });
    });
    await new Promise<void>((resolve) => node.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(node.address() as { port: number }).port}`;
    const other = connectChain(embedded(url, chain.chainId));
    try {
      const sender = new Sender(key(2004), other, chain.chainId);
      const { raw } = await sender.sign({ to, data: "0x" }, 0);
      for (answer of answers) await expect(sender.broadcast(raw), answer).resolves.toBeUndefined();
      answer = "insufficient funds for gas * price + value";
      await expect(sender.broadcast(raw)).rejects.toThrow();
      answer = "transaction underpriced";
      await expect(sender.broadcast(raw)).rejects.toThrow();
    } finally {
      other.destroy();
      node.close();
    }
  });
});

describe("the embedded chain", () => {
  test("runs by itself at Istanbul's rules and gas price 0, on loopback", async () => {
    expect(chain.chainId).toBe(EMBEDDED_CHAIN_ID);
    expect(Number(await provider.send("eth_chainId", []))).toBe(EMBEDDED_CHAIN_ID);
    expect(BigInt((await provider.send("eth_gasPrice", [])) as string)).toBe(0n);
    expect((await provider.getBlock("latest"))?.baseFeePerGas ?? null).toBeNull();
    expect(new URL(chain.rpc).hostname).toBe("127.0.0.1");
    // PUSH0 (Shanghai) is no instruction here.
    await expect(provider.call({ data: "0x5f" })).rejects.toThrow();
    await expect(provider.call({ data: "0x6000" })).resolves.toBe("0x");
  });

  test("keeps blocks, receipts and contracts over a stop and a start", async () => {
    const sender = new Sender(key(3000), provider, chain.chainId);
    const receipt = await sender.transact({ to: address(78), data: "0x" });
    const { addresses } = await deployCity(provider, chain.chainId, DEPLOYER, founding);
    await chain.stop();
    await expect(fetch(chain.rpc, { method: "POST", body: "{}" })).rejects.toThrow();
    chain = await startChain(folder, port);
    expect((await provider.getTransactionReceipt(receipt.hash))?.blockHash).toBe(receipt.blockHash);
    expect(await sender.nonce()).toBe(1);
    const { MSecToken } = contractsAt({ MSecToken: addresses.MSecToken }, provider);
    expect(await MSecToken.balanceOf(address(31))).toBe(5_000_000n);
    expect((await sender.transact({ to: address(78), data: "0x" })).status).toBe(1);
  });

  test("accounts of a later block than the last one are not started from: the copy before is", async () => {
    const other = mkdtempSync(join(tmpdir(), "msec-chain-"));
    const [state, copy] = [join(other, "state.json"), join(other, "state.copy.json")];
    let second = await startChain(other, await freePort());
    const reader = connectChain(embedded(second.rpc, second.chainId));
    const sender = new Sender(key(3100), reader, second.chainId);
    try {
      const first = await sender.transact({ to: address(79), data: "0x" });
      await expect.poll(() => isWhole(copy) && readFileSync(copy, "utf8").includes(first.hash), POLL).toBe(true);
      const earlier = JSON.parse(readFileSync(copy, "utf8")) as { accounts: unknown };
      const lost = await sender.transact({ to: address(79), data: "0x" });
      const port = Number(new URL(second.rpc).port);
      await second.stop();
      expect(isWhole(state)).toBe(true);
      const { accounts } = JSON.parse(readFileSync(state, "utf8")) as { accounts: unknown };
      writeFileSync(state, JSON.stringify({ ...earlier, accounts }));
      expect(isWhole(state)).toBe(false);
      second = await startChain(other, port);
      expect(await sender.nonce()).toBe(1);
      expect((await reader.getTransactionReceipt(first.hash))?.status).toBe(1);
      expect(await reader.getTransactionReceipt(lost.hash)).toBeNull();
    } finally {
      reader.destroy();
      await second.stop();
      rmSync(other, { recursive: true, force: true });
    }
  }, 60_000);

  test("a start that fails says why", async () => {
    const other = mkdtempSync(join(tmpdir(), "msec-chain-"));
    for (const damaged of ["this is no state", '{"block": 7}']) {
      writeFileSync(join(other, "state.json"), damaged);
      await expect(startChain(other, await freePort())).rejects.toThrow(
        /is damaged, and there is no copy of it: restore/,
      );
    }
    writeFileSync(join(other, "state.json"), '{"accounts": {}, "transactions": []}');
    await expect(startChain(other, await freePort())).rejects.toThrow(/the embedded chain did not start: ./);
    rmSync(other, { recursive: true, force: true });
  });
});
