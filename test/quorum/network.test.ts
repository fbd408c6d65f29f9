import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  addNode,
  askAsOperator,
  ask,
  downNetwork,
  initNetwork,
  NetworkFolder,
  type NetworkPlan,
  networkStatus,
  removeValidator,
  requireBinary,
  runningNodes,
  startNode,
  upNetwork,
  validatorsOf,
} from "@msec/quorum";
import { writeJson } from "@msec/service";
import { afterAll, beforeAll, expect, it } from "vitest";

// A real network of four validators, in the order of what may happen to it.

const root = mkdtempSync(join(tmpdir(), "msec-network-"));
const folder = new NetworkFolder(root);
let plan: NetworkPlan;

const rpc = (n: number) => `http://127.0.0.1:${plan.nodes[n - 1]?.rpc}`;
const height = async (n: number) => Number(await ask<string>(rpc(n), "eth_blockNumber"));
const pidOf = (n: number) => runningNodes(folder)[`node-${n}`] as number;

async function kill(n: number): Promise<void> {
  process.kill(pidOf(n), "SIGKILL");
  while (pidOf(n) !== undefined) await sleep(50);
}

async function start(n: number): Promise<void> {
  const node = plan.nodes[n - 1] as NetworkPlan["nodes"][number];
  const { pid } = await startNode(folder, node, requireBinary());
  writeJson(folder.run, { ...runningNodes(folder), [node.name]: pid });
}

async function until(holds: () => Promise<boolean>, seconds: number): Promise<void> {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(200)) if (await holds()) return;
  throw new Error(`not so within ${seconds} s`);
}

beforeAll(async () => {
  plan = await initNetwork(root, { chainId: 20_261, validators: 4, observers: 0, members: 0, blockSeconds: 1 });
  await upNetwork(root, () => undefined);
});

afterAll(async () => {
  await downNetwork(root);
  rmSync(root, { recursive: true, force: true });
});

it("makes blocks of one chain on all nodes, and says how they are", async () => {
  const { nodes, validators } = await networkStatus(root);
  expect(validators).toHaveLength(4);
  expect(nodes.every(({ peers, validator, pid }) => peers === 3 && validator && pid !== null)).toBe(true);
  const at = `0x${(await height(1)).toString(16)}`;
  await until(async () => (await height(4)) >= Number(at), 10);
  const hashes = await Promise.all(
    [1, 2, 3, 4].map(async (n) => (await ask<{ hash: string }>(rpc(n), "eth_getBlockByNumber", [at, false])).hash),
  );
  expect(new Set(hashes).size).toBe(1);
});

it("refuses to come up twice", async () => {
  await expect(upNetwork(root, () => undefined)).rejects.toThrow("run already");
});

it("offers its users no operator's call", async () => {
  for (const method of ["admin_addPeer", "istanbul_propose", "personal_listAccounts", "debug_traceTransaction"])
    await expect(ask(rpc(1), method, [])).rejects.toThrow(/not (?:exist|available)/);
  await expect(askAsOperator(folder, "node-1", "admin_peers")).resolves.toHaveLength(3);
});

it("goes on when one of four is killed, and that one catches up", async () => {
  await kill(4);
  const before = await height(1);
  await until(async () => (await height(1)) > before + 5, 60);
  await start(4);
  await until(async () => (await height(4)) >= (await height(1)) - 1, 60);
});

it("stands still when two are killed, and goes on, without a fork, when they are back", async () => {
  await kill(3);
  await kill(4);
  await sleep(3000);
  const stopped = await height(1);
  await sleep(6000);
  expect(await height(1)).toBe(stopped);
  const { hash } = await ask<{ hash: string }>(rpc(1), "eth_getBlockByNumber", [`0x${stopped.toString(16)}`, false]);
  await start(3);
  await start(4);
  await until(async () => (await height(1)) > stopped + 3, 120);
  const after = await ask<{ hash: string }>(rpc(4), "eth_getBlockByNumber", [`0x${stopped.toString(16)}`, false]);
  expect(after.hash).toBe(hash);
});

it("takes back a validator whose disk was wiped", async () => {
  await kill(2);
  rmSync(join(folder.data("node-2"), "geth"), { recursive: true });
  await start(2);
  await until(async () => (await height(2)) >= (await height(1)) - 1, 60);
  expect(await validatorsOf(folder, "node-1")).toHaveLength(4);
});

it("takes in a fifth validator by vote, lets one leave, and never goes below four", async () => {
  const added = await addNode(root, true);
  expect(await validatorsOf(folder, "node-1")).toContain(added.address);
  const left = await removeValidator(root, "node-2");
  expect(left).toHaveLength(4);
  expect(left).not.toContain(plan.nodes[1]?.address);
  const before = await height(2);
  await until(async () => (await height(2)) > before + 2, 30);
  await expect(removeValidator(root, "node-3")).rejects.toThrow("add a node first");
  await expect(removeValidator(root, "node-9")).rejects.toThrow("there is no node-9");
  await expect(removeValidator(root, "node-2")).rejects.toThrow("no validator");
});
