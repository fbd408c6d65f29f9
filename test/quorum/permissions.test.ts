import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type ChainProvider,
  connectChain,
  contractsAt,
  deployCity,
  type Deployment,
  embedded,
  Sender,
} from "@msec/chain";
import { type Hex } from "@msec/core";
import {
  addNode,
  ask,
  askAsOperator,
  downNetwork,
  enodeOf,
  followDirectory,
  initNetwork,
  NetworkFolder,
  type NetworkPlan,
  type NodePlan,
  readPlan,
  upNetwork,
} from "@msec/quorum";
import { readJson, writeJson } from "@msec/service";
import { afterAll, beforeAll, expect, it } from "vitest";
import { address, key, smallCity } from "../support/founding.ts";
import { until } from "../support/network.ts";

// Four validators and an observer that follow the Directory of a city.

const root = mkdtempSync(join(tmpdir(), "msec-permissions-"));
const folder = new NetworkFolder(root);
const [DEPLOYER, USER, FUNDS] = [1000, 31, 1_000_000n];
const NOBODY = key(0);

let plan: NetworkPlan;
let provider: ChainProvider;
let deployment: Deployment;
let admin: Sender;

const node = (n: number) => plan.nodes[n - 1] as NodePlan;
const height = async () => Number(await ask<string>(`http://127.0.0.1:${node(1).rpc}`, "eth_blockNumber"));
const peers = async (n: number) =>
  (await askAsOperator<{ enode: string }[]>(folder, `node-${n}`, "admin_peers")).map(
    ({ enode }) => plan.nodes.find(({ publicKey }) => enode.includes(publicKey))?.name,
  );

/** @returns The block in which the Directory says so. */
async function setOrganisation(account: Hex, organisation: Hex): Promise<number> {
  const { Directory } = contractsAt(deployment.addresses, provider);
  const data = Directory.interface.encodeFunctionData("setOrganisation", [account, organisation]);
  return (await admin.transact({ to: deployment.addresses.Directory, data })).blockNumber;
}

beforeAll(async () => {
  plan = await initNetwork(root, { chainId: 20_261, validators: 4, observers: 1, members: 0, blockSeconds: 1 });
  // The first organisation's edge takes two transactions of an account, and then none for long.
  const edge = folder.edgeConfig("node-1");
  writeJson(edge, { ...readJson<object>(edge), account: { perSecond: 0.001, burst: 2 } });
  await upNetwork(root, () => undefined);
  provider = connectChain(embedded(`http://127.0.0.1:${node(1).rpc}`, plan.chainId));
  admin = new Sender(key(DEPLOYER), provider, plan.chainId);
  deployment = await deployCity(provider, plan.chainId, key(DEPLOYER), smallCity(address(USER), FUNDS));
});

afterAll(async () => {
  provider?.destroy();
  await downNetwork(root);
  rmSync(root, { recursive: true, force: true });
});

it("follows no Directory that would stop the chain", async () => {
  await expect(followDirectory(root, deployment.addresses.Directory)).rejects.toThrow(node(1).address);
  await expect(followDirectory(root, address(77))).rejects.toThrow("there is no Directory");
  expect(readPlan(folder).directory).toBeUndefined();
});

it("follows one that names the nodes' accounts, and nobody loses a peer", async () => {
  for (const [i, one] of plan.nodes.entries()) await setOrganisation(one.address, key(100 + i));
  await followDirectory(root, deployment.addresses.Directory);
  plan = readPlan(folder);
  await sleep(3000);
  for (const n of [1, 2, 3, 4, 5]) expect(await peers(n)).toHaveLength(4);
});

it.each([
  ["validator", 4],
  ["observer", 5],
])(
  "a %s whose organisation leaves is without connections within two blocks, and dialled when it returns",
  async (_, n) => {
    const removedAt = await setOrganisation(node(n).address, NOBODY);
    await until(async () => (await peers(n)).length === 0, 20, 50);
    const blocks = (await height()) - removedAt;
    console.log(`node-${n} was without connections ${blocks} blocks later`);
    expect(blocks).toBeLessThanOrEqual(2);
    // It tries to come back by itself, and is not let in.
    await sleep(5000);
    expect(await peers(n)).toEqual([]);
    for (const one of [1, 2, 3])
      expect(readFileSync(join(folder.data(`node-${one}`), "permissioned-nodes.json"), "utf8")).not.toContain(
        enodeOf(node(n)),
      );
    const before = await height();
    await until(async () => (await height()) > before + 1, 60);
    const returnedAt = await setOrganisation(node(n).address, key(100));
    await until(async () => (await peers(n)).length === 4, 30);
    console.log(`and was dialled again ${(await height()) - returnedAt} blocks after it returned`);
    const rpc = `http://127.0.0.1:${node(n).rpc}`;
    await until(async () => Number(await ask<string>(rpc, "eth_blockNumber")) >= (await height()) - 1, 60);
  },
);

it("keeps the validators without whom the chain would stop, and says so", async () => {
  await setOrganisation(node(3).address, NOBODY);
  await until(async () => (await peers(3)).length === 0, 20);
  await setOrganisation(node(4).address, NOBODY);
  const before = await height();
  await until(async () => (await height()) > before + 3, 60);
  const status = (await (await fetch(`http://127.0.0.1:${node(1).keeper}/status`)).json()) as { problems: string[] };
  expect(status.problems.join()).toContain("node-3, node-4");
  for (const n of [3, 4]) await setOrganisation(node(n).address, key(100));
  await until(async () => (await peers(3)).length === 4, 30);
});

it("takes in a new node once its account is in the Directory", async () => {
  await expect(addNode(root, false)).rejects.toThrow(/put the account 0x[0-9a-f]{40} of node-6/);
  plan = readPlan(folder);
  await setOrganisation(node(6).address, key(106));
  expect((await addNode(root, false)).name).toBe("node-6");
  await until(async () => (await peers(6)).length === 5, 30);
});

it("lets a user whom one edge refuses leave by another's, and takes no operator's call at either", async () => {
  const { Escrow, MSecToken } = contractsAt(deployment.addresses, provider);
  const { Escrow: escrow, MSecToken: token } = deployment.addresses;
  const at = (n: number) => connectChain(embedded(`http://127.0.0.1:${node(n).edge?.port}`, plan.chainId));
  const [first, second] = [at(1), at(2)];
  const by = (edge: ChainProvider) => new Sender(key(USER), edge, plan.chainId);
  try {
    await expect(first.send("admin_peers", [])).rejects.toThrow("not offered");
    await by(first).transact({ to: token, data: MSecToken.interface.encodeFunctionData("approve", [escrow, FUNDS]) });
    await by(first).transact({
      to: escrow,
      data: Escrow.interface.encodeFunctionData("depositBond", [token, FUNDS]),
    });
    const withdrawal = { to: escrow, data: Escrow.interface.encodeFunctionData("withdrawBond", [token, FUNDS]) };
    await expect(by(first).transact(withdrawal)).rejects.toThrow("too many transactions");
    await by(second).transact(withdrawal);
    expect(await MSecToken.balanceOf(address(USER))).toBe(FUNDS);
  } finally {
    first.destroy();
    second.destroy();
  }
});
