import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ChainProvider,
  connectChain,
  contractsAt,
  type Deployment,
  deployCity,
  type EmbeddedChain,
  embedded,
  type Founding,
  manifestOf,
  Sender,
  startChain,
  writeManifest,
} from "@msec/chain";
import { addressOfKey, fromHex, type Hex } from "@msec/core";
import { freePort } from "@msec/service";
import { AbiCoder, keccak256, toBeHex } from "ethers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Decoder } from "../decode.ts";
import { Reader } from "../reader.ts";
import { audit as shape } from "../shapes.ts";
import { Store } from "../store.ts";
import { TestDatabases } from "../testbed.ts";
import { type Audit, Auditor } from "./auditor.ts";

// On a chain of contracts that are really there, whose memory a test can damage.

const key = (n: number) => `0x${n.toString(16).padStart(64, "0")}` as Hex;
const [DEPLOYER, DELIVERER] = [key(0xd0d1), key(0xd0d2)];
const deliverer = addressOfKey(fromHex(DELIVERER));
const founding: Founding = {
  committee: { q: 1, members: [`0x${"00".repeat(19)}0b`], organisations: [key(12)], fromEpoch: 1 },
  organisations: [{ account: deliverer, organisation: key(22) }],
  registrars: [deliverer],
  threshold: 1,
  softwareCap: 10,
  balances: [{ account: deliverer, amount: 1_000n }],
};

let folder: string;
let chain: EmbeddedChain;
let provider: ChainProvider;
let deployment: Deployment;
let databases: TestDatabases;
let store: Store;
let reader: Reader;
let manifest: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "msec-audit-"));
  chain = await startChain(folder, await freePort());
  provider = connectChain(embedded(chain.rpc, chain.chainId));
  deployment = await deployCity(provider, chain.chainId, DEPLOYER, founding);
  manifest = join(folder, "manifest.json");
  writeManifest(manifest, await manifestOf(provider, chain.chainId, DEPLOYER, founding));
  databases = await TestDatabases.start();
  const { addresses } = deployment;
  store = await Store.open(await databases.open("audit"), { chainId: chain.chainId, addresses }, false);
  reader = new Reader(provider, new Decoder(addresses), store, 0, () => undefined);
  const { MSecToken, Escrow } = contractsAt(addresses, provider);
  const sender = new Sender(DELIVERER, provider, chain.chainId);
  await sender.transact({
    to: addresses.MSecToken,
    data: MSecToken.interface.encodeFunctionData("approve", [addresses.Escrow, 500n]),
  });
  await sender.transact({
    to: addresses.Escrow,
    data: Escrow.interface.encodeFunctionData("depositBond", [addresses.MSecToken, 500n]),
  });
}, 180_000);
afterAll(async () => {
  provider?.destroy();
  await databases?.stop();
  await chain?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What a fresh auditor finds now. */
async function audit(file: string | undefined = manifest): Promise<Audit> {
  await reader.tick();
  const found = await new Auditor(provider, deployment.addresses, store, file).now();
  expect(shape.safeParse(found).error).toBeUndefined();
  return found;
}
const finding = (found: Audit, id: string) => {
  const one = found.invariants.find((invariant) => invariant.id === id);
  if (!one) throw new Error(`there is no invariant ${id}`);
  return { ...one, figures: Object.fromEntries(one.figures.map(({ name, value }) => [name, value])) };
};

/** Writes into a contract's memory what no transaction could, and puts it back after the work. */
async function damaged(address: Hex, slot: string, value: bigint, work: () => Promise<void>): Promise<void> {
  const before = await provider.getStorage(address, slot);
  const set = async (word: string) => {
    await provider.send("anvil_setStorageAt", [address, slot, word]);
    await provider.send("evm_mine", []);
  };
  await set(toBeHex(value, 32));
  try {
    await work();
  } finally {
    await set(before);
  }
}
const inMapping = (owner: string, slot: number) =>
  keccak256(AbiCoder.defaultAbiCoder().encode(["address", "uint256"], [owner, slot]));

test("a city as it was founded: every contract is this build's, every invariant holds, all of one block", async () => {
  const found = await audit();
  expect(found.contracts.map(({ verdict }) => verdict)).toEqual(Array(14).fill("holds"));
  expect(found.invariants.filter(({ verdict }) => verdict !== "holds")).toEqual([]);
  expect(found.invariants.map(({ id }) => id)).toEqual([
    ...["escrow-covered", "escrow-books", "subscription-covered", "subscription-books", "supply", "epochs-linked"],
    ...["committee", "modules", "tombstones", "devices"],
  ]);
  expect(found.accessDifferences).toEqual([]);
  expect(found.access?.roles.find(({ name }) => name === "GOVERNOR")?.members).toHaveLength(1);
  expect(finding(found, "escrow-covered").figures).toMatchObject({ balance: "500", held: "500", freeBonds: "500" });
  expect(finding(found, "supply").figures).toMatchObject({ supply: "1000", minted: "1000", burnt: "0" });
  const [asked] = finding(found, "supply").calls;
  expect(await provider.call({ to: asked?.to, data: asked?.data, blockTag: found.block })).toBe(asked?.result);
});

test("many who ask are answered by one evaluation", async () => {
  const auditor = new Auditor(provider, deployment.addresses, store, manifest);
  const [a, b] = await Promise.all([auditor.now(), auditor.now()]);
  expect(a).toBe(b);
  expect(await auditor.now()).toBe(a);
});

test("tokens that are missing break the rule, and say by how much", async () => {
  const { MSecToken, Escrow } = deployment.addresses;
  const slot = inMapping(Escrow, 0);
  expect(BigInt(await provider.getStorage(MSecToken, slot))).toBe(500n);
  await damaged(MSecToken, slot, 499n, async () => {
    const covered = finding(await audit(), "escrow-covered");
    expect(covered).toMatchObject({ verdict: "broken", reason: "short" });
    expect(covered.figures).toMatchObject({ balance: "499", held: "500", surplus: "-1" });
  });
  expect(finding(await audit(), "escrow-covered").verdict).toBe("holds");
});

test("tokens that nobody minted break the rule", async () => {
  await damaged(deployment.addresses.MSecToken, toBeHex(2, 32), 1_001n, async () => {
    expect(finding(await audit(), "supply")).toMatchObject({ verdict: "broken", reason: "minted" });
  });
});

test("tokens that somebody gives are a surplus, and no violation", async () => {
  const { addresses } = deployment;
  const { MSecToken } = contractsAt(addresses, provider);
  await new Sender(DELIVERER, provider, chain.chainId).transact({
    to: addresses.MSecToken,
    data: MSecToken.interface.encodeFunctionData("transfer", [addresses.Escrow, 7n]),
  });
  const found = await audit();
  expect(finding(found, "escrow-covered")).toMatchObject({ verdict: "holds", reason: "surplus" });
  expect(finding(found, "escrow-covered").figures).toMatchObject({ balance: "507", held: "500", surplus: "7" });
  expect(finding(found, "escrow-books").verdict).toBe("holds");
});

test("a contract with other code is named, and so is a module whose code changed", async () => {
  const { Marketplace } = deployment.addresses;
  const code = await provider.getCode(Marketplace);
  await provider.send("anvil_setCode", [Marketplace, `${code.slice(0, -2)}00`]);
  await provider.send("evm_mine", []);
  try {
    const found = await audit();
    expect(found.contracts.filter(({ verdict }) => verdict !== "holds").map(({ name }) => name)).toEqual([
      "Marketplace",
    ]);
    expect(finding(found, "modules")).toMatchObject({ verdict: "broken", reason: "code" });
  } finally {
    await provider.send("anvil_setCode", [Marketplace, code]);
    await provider.send("evm_mine", []);
  }
});

test("what can't be told is not taken for right", async () => {
  const without = await audit(join(folder, "none.json"));
  expect(without.contracts.every(({ verdict, reason }) => verdict === "unknown" && reason === "no-manifest")).toBe(
    true,
  );
  await store.db.query("alter table events rename to events_away");
  try {
    const { invariants } = await new Auditor(provider, deployment.addresses, store, manifest).now();
    // The committee alone is asked of no event.
    expect(invariants.filter(({ verdict }) => verdict === "holds").map(({ id }) => id)).toEqual(["committee"]);
    expect(finding({ invariants } as Audit, "supply").reason).toMatch(/events/);
  } finally {
    await store.db.query("alter table events_away rename to events");
  }
});
