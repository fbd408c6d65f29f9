import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { PrivacyManager } from "@msec/chain";
import { utf8 } from "@msec/core";
import {
  ask,
  backupNetwork,
  downNetwork,
  initNetwork,
  NetworkFolder,
  type NodeCard,
  type NodePlan,
  privacyOf,
  readPlan,
  restoreNetwork,
  runningProcesses,
  upNetwork,
  validatorsOf,
} from "@msec/quorum";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../support/network.ts";

// Four operators, two of them with a privacy manager, each with a folder of its own as on a machine of its own, and a fifth that joins
// them while they run: by an invitation, a card and one command each.

const home = mkdtempSync(join(tmpdir(), "msec-join-"));
const main = fileURLToPath(new URL("../../apps/cli/src/main.ts", import.meta.url));
const FOUNDERS = [1, 2, 3, 4];
const NEW = 5;
const machine = (n: number) => join(home, `machine-${n}`);
const folder = (n: number) => new NetworkFolder(machine(n));
const name = (n: number) => `node-${n}`;
const plan = (n: number) => readPlan(folder(n)).nodes.find((one) => one.name === name(n)) as NodePlan;
const rpc = (n: number) => `http://127.0.0.1:${plan(n).rpc}`;
const peers = async (n: number) => Number(await ask<string>(rpc(n), "net_peerCount"));
const height = async (n: number) => Number(await ask<string>(rpc(n), "eth_blockNumber"));
const manager = (n: number) => {
  const { q2t, thirdParty } = privacyOf(plan(n)) as { q2t: string; thirdParty: string };
  return new PrivacyManager(q2t, thirdParty);
};

beforeAll(async () => {
  const [made, backup, wrapping] = ["made", "backup", "wrapping.json"].map((part) => join(home, part)) as [
    string,
    string,
    string,
  ];
  await initNetwork(made, { chainId: 20_261, validators: 4, observers: 0, members: 2, blockSeconds: 1 });
  await backupNetwork(made, backup, { wrappingOut: wrapping, chainData: false });
  for (const n of FOUNDERS) await restoreNetwork(machine(n), backup, wrapping, [name(n)]);
  await Promise.all(FOUNDERS.map((n) => upNetwork(machine(n), () => undefined, name(n))));
  await until(async () => (await height(1)) > 0, 60);
});

afterAll(async () => {
  for (const n of [...FOUNDERS, NEW]) await downNetwork(machine(n)).catch(() => undefined);
  rmSync(home, { recursive: true, force: true });
});

function msec<T>(n: number, ...args: string[]): Promise<T> {
  return new Promise((resolve, reject) => {
    const command = [main, "network", ...args, "--dir", machine(n), "--json"];
    execFile(process.execPath, ["--disable-warning=ExperimentalWarning", ...command], (error, out, problem) =>
      error ? reject(new Error(out + problem)) : resolve(JSON.parse(out) as T),
    );
  });
}

test("a fifth organisation joins four that run: connected once each has taken in its card, level, and voted in", async () => {
  const invitation = join(home, "invitation.json");
  await msec(3, "invite", "--out", invitation);
  const { node } = await msec<NodeCard>(NEW, "join", invitation, "--member");
  expect(node).toMatchObject({ name: "node-5", validator: true });
  await msec(NEW, "up", "--node", "node-5");
  expect(await peers(NEW)).toBe(0);
  const pids = FOUNDERS.map((n) => runningProcesses(folder(n)));
  for (const n of FOUNDERS.slice(0, 2)) await msec(n, "admit", folder(NEW).card);
  await until(async () => (await peers(NEW)) === 2, 60);
  // Those who have not taken it in do not let it in.
  await sleep(5000);
  expect(await peers(NEW)).toBe(2);
  for (const n of FOUNDERS) expect(await msec(n, "admit", folder(NEW).card)).toEqual({ node, unaware: [] });
  await until(async () => (await peers(NEW)) === 4, 60);
  await until(async () => (await height(NEW)) >= (await height(1)) - 1, 60);
  for (const n of FOUNDERS.slice(0, 3)) await msec(n, "vote", "node-5");
  await until(async () => (await validatorsOf(folder(NEW), "node-5")).includes(node.address), 30);
  const status = await msec<{ nodes: object[] }>(1, "status");
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

test("a node and its machine that were killed come back as what they were", async () => {
  await downNetwork(machine(NEW));
  await upNetwork(machine(NEW), () => undefined, "node-5");
  await until(async () => (await height(NEW)) >= (await height(1)) - 1 && (await peers(NEW)) === 4, 60);
});
