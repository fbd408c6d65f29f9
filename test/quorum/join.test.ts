import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PrivacyManager } from "@msec/chain";
import { utf8 } from "@msec/core";
import {
  ask,
  type NodeCard,
  type NodePlan,
  privacyOf,
  readPlan,
  runningProcesses,
  upNetwork,
  validatorsOf,
} from "@msec/quorum";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Machines, until } from "../support/network.ts";

// Four operators, two of them with a privacy manager, and a fifth that joins them while they run: by an invitation, a card and one
// command each.

const machines = new Machines();
const FOUNDERS = [1, 2, 3, 4];
const NEW = 5;
const folder = (n: number) => machines.folder(n);
const plan = (n: number) => readPlan(folder(n)).nodes.find((one) => one.name === machines.name(n)) as NodePlan;
const rpc = (n: number) => `http://127.0.0.1:${plan(n).rpc}`;
const peers = async (n: number) => Number(await ask<string>(rpc(n), "net_peerCount"));
const height = async (n: number) => Number(await ask<string>(rpc(n), "eth_blockNumber"));
const manager = (n: number) => {
  const { q2t, thirdParty } = privacyOf(plan(n)) as { q2t: string; thirdParty: string };
  return new PrivacyManager(q2t, thirdParty);
};

beforeAll(async () => {
  await machines.found({ observers: 0, members: 2 });
  await until(async () => (await height(1)) > 0, 60);
});

afterAll(() => machines.end());

test("a fifth organisation joins four that run: connected once each has taken in its card, level, and voted in", async () => {
  const invitation = join(machines.home, "invitation.json");
  await machines.msec(3, "invite", "--out", invitation);
  const { node } = await machines.msec<NodeCard>(NEW, "join", invitation, "--member");
  expect(node).toMatchObject({ name: "node-5", validator: true });
  await machines.msec(NEW, "up", "--node", "node-5");
  expect(await peers(NEW)).toBe(0);
  const pids = FOUNDERS.map((n) => runningProcesses(folder(n)));
  for (const n of FOUNDERS.slice(0, 2)) await machines.msec(n, "admit", folder(NEW).card);
  await until(async () => (await peers(NEW)) === 2, 60);
  // Those who have not taken it in do not let it in.
  await sleep(5000);
  expect(await peers(NEW)).toBe(2);
  for (const n of FOUNDERS) expect(await machines.msec(n, "admit", folder(NEW).card)).toEqual({ node, unaware: [] });
  await until(async () => (await peers(NEW)) === 4, 60);
  await until(async () => (await height(NEW)) >= (await height(1)) - 1, 60);
  for (const n of FOUNDERS.slice(0, 3)) await machines.msec(n, "vote", "node-5");
  await until(async () => (await validatorsOf(folder(NEW), "node-5")).includes(node.address), 30);
  const status = await machines.msec<{ nodes: object[] }>(1, "status");
  expect(status.nodes[0]).toMatchObject({ name: "node-1", here: true, peers: 4, validator: true });
  expect(status.nodes[4]).toMatchObject({ name: "node-5", here: false, block: null, validator: true });
  // Nothing was started anew for it.
  expect(FOUNDERS.map((n) => runningProcesses(folder(n)))).toEqual(pids);
});

test("its privacy manager sends to theirs and they to it; all have the same list of parties", async () => {
  const digests = [1, 2, NEW].map((n) =>
    createHash("sha256")
      .update(readFileSync(folder(n).parties))
      .digest("hex"),
  );
  expect(new Set(digests).size).toBe(1);
  const keys = await Promise.all([1, NEW].map(async (n) => (await manager(n).keys())[0] as string));
  for (const [from, to, key] of [
    [1, NEW, keys[1]],
    [NEW, 1, keys[0]],
  ] as [number, number, string][]) {
    const text = utf8(`from ${from} to ${to}`);
    const sent = await manager(from).send(text, { to: [key] });
    expect((await manager(to).receive(sent.key))?.payload).toEqual(text);
  }
});

test("a node and a manager that were killed come back as what they were", async () => {
  for (const pid of Object.values(runningProcesses(folder(NEW)))) process.kill(pid, "SIGKILL");
  await until(async () => Object.keys(runningProcesses(folder(NEW))).length === 0, 10);
  await upNetwork(folder(NEW).root, () => undefined, "node-5");
  await until(async () => (await height(NEW)) >= (await height(1)) - 1 && (await peers(NEW)) === 4, 60);
});
