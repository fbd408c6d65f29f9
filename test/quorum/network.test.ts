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
  upNetwork,
  validatorsOf,
} from "@msec/quorum";
import { Wallet } from "ethers";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Nodes, until } from "../support/network.ts";

// A real network of four validators, in the order of what may happen to it.

const root = mkdtempSync(join(tmpdir(), "msec-network-"));
const folder = new NetworkFolder(root);
let plan: NetworkPlan;

let nodes: Nodes;

beforeAll(async () => {
  plan = await initNetwork(root, { chainId: 20_261, validators: 4, observers: 0, members: 0, blockSeconds: 1 });
  nodes = new Nodes(folder, plan);
  await upNetwork(root, () => undefined);
});

afterAll(async () => {
  await downNetwork(root);
  rmSync(root, { recursive: true, force: true });
});

it("makes blocks of one chain on all nodes, and says how they are", async () => {
  const { nodes: all, validators } = await networkStatus(root);
  expect(validators).toHaveLength(4);
  expect(all.every(({ peers, validator, pid }) => peers === 3 && validator && pid !== null)).toBe(true);
  const at = `0x${(await nodes.height(1)).toString(16)}`;
  await until(async () => (await nodes.height(4)) >= Number(at), 10);
  const hashes = await Promise.all(
    [1, 2, 3, 4].map(
      async (n) => (await ask<{ hash: string }>(nodes.rpc(n), "eth_getBlockByNumber", [at, false])).hash,
    ),
  );
  expect(new Set(hashes).size).toBe(1);
});

it("refuses to come up twice", async () => {
  await expect(upNetwork(root, () => undefined)).rejects.toThrow("run already");
});

it("offers its users no operator's call", async () => {
  for (const method of ["admin_addPeer", "istanbul_propose", "personal_listAccounts", "debug_traceTransaction"])
    await expect(ask(nodes.rpc(1), method, [])).rejects.toThrow(/not (?:exist|available)/);
  await expect(askAsOperator(folder, "node-1", "admin_peers")).resolves.toHaveLength(3);
});

it("goes on when one of four is killed, and that one catches up", async () => {
  await nodes.kill(4);
  const before = await nodes.height(1);
  await until(async () => (await nodes.height(1)) > before + 5, 60);
  await nodes.start(4);
  await until(async () => (await nodes.height(4)) >= (await nodes.height(1)) - 1, 60);
});

it("goes on without one of four while transactions keep coming", async () => {
  await nodes.kill(4);
  const wallet = Wallet.createRandom();
  const transfer = { type: 0, chainId: plan.chainId, gasPrice: 0, gasLimit: 21_000, to: wallet.address };
  const before = await nodes.height(1);
  let nonce = 0;
  await until(
    async () => {
      const raw = await wallet.signTransaction({ ...transfer, nonce: nonce++ });
      await ask(nodes.rpc(1 + (nonce % 3)), "eth_sendRawTransaction", [raw]);
      return (await nodes.height(1)) > before + 8;
    },
    120,
    100,
  );
  await nodes.start(4);
  await nodes.level(4, 1);
});

it("stands still when two are killed, and goes on, without a fork, when they are back", async () => {
  await nodes.kill(3);
  await nodes.kill(4);
  await sleep(3000);
  const stopped = await nodes.height(1);
  await sleep(6000);
  expect(await nodes.height(1)).toBe(stopped);
  const { hash } = await ask<{ hash: string }>(nodes.rpc(1), "eth_getBlockByNumber", [
    `0x${stopped.toString(16)}`,
    false,
  ]);
  await nodes.start(3);
  await nodes.start(4);
  await until(async () => (await nodes.height(1)) > stopped + 3, 120);
  const after = await ask<{ hash: string }>(nodes.rpc(4), "eth_getBlockByNumber", [`0x${stopped.toString(16)}`, false]);
  expect(after.hash).toBe(hash);
});

it("takes back a validator whose disk was wiped", async () => {
  await nodes.kill(2);
  rmSync(join(folder.data("node-2"), "geth"), { recursive: true });
  await nodes.start(2);
  await until(async () => (await nodes.height(2)) >= (await nodes.height(1)) - 1, 60);
  expect(await validatorsOf(folder, "node-1")).toHaveLength(4);
});

it("takes in a fifth validator by vote, lets one leave, and never goes below four", async () => {
  const added = await addNode(root, true);
  expect(await validatorsOf(folder, "node-1")).toContain(added.address);
  const left = await removeValidator(root, "node-2");
  expect(left).toHaveLength(4);
  expect(left).not.toContain(plan.nodes[1]?.address);
  const before = await nodes.height(2);
  await until(async () => (await nodes.height(2)) > before + 2, 30);
  await expect(removeValidator(root, "node-3")).rejects.toThrow("add a node first");
  await expect(removeValidator(root, "node-9")).rejects.toThrow("there is no node-9");
  await expect(removeValidator(root, "node-2")).rejects.toThrow("no validator");
});
