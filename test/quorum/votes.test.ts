import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  askAsOperator,
  backupNetwork,
  type Ballot,
  castVote,
  downNetwork,
  initNetwork,
  NetworkFolder,
  type NetworkPlan,
  restoreNetwork,
  upNetwork,
  validatorsOf,
} from "@msec/quorum";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../support/network.ts";

// Four validators and a node that is to become one, each in a folder of its own as on a machine of its own: no operator has another's
// folder, key or socket, and each votes at its own node.

const home = mkdtempSync(join(tmpdir(), "msec-votes-"));
const main = fileURLToPath(new URL("../../apps/cli/src/main.ts", import.meta.url));
const NODES = [1, 2, 3, 4, 5];
const machine = (n: number) => join(home, `machine-${n}`);
const name = (n: number) => `node-${n}`;
let plan: NetworkPlan;

beforeAll(async () => {
  const [made, backup, wrapping] = ["made", "backup", "wrapping.json"].map((part) => join(home, part)) as [
    string,
    string,
    string,
  ];
  plan = await initNetwork(made, { chainId: 20_261, validators: 4, observers: 1, members: 0, blockSeconds: 1 });
  await backupNetwork(made, backup, { wrappingOut: wrapping, chainData: false });
  for (const n of NODES) await restoreNetwork(machine(n), backup, wrapping, [name(n)]);
  await Promise.all(NODES.map((n) => upNetwork(machine(n), () => undefined, name(n))));
});

afterAll(async () => {
  for (const n of NODES) await downNetwork(machine(n));
  rmSync(home, { recursive: true, force: true });
});

const addressOf = (n: number) => plan.nodes[n - 1]?.address as string;
const validatorsAt = (n: number) => validatorsOf(new NetworkFolder(machine(n)), name(n));
const candidatesAt = (n: number) => askAsOperator(new NetworkFolder(machine(n)), name(n), "istanbul_candidates");

function msec(n: number, ...args: string[]): Promise<Ballot> {
  return new Promise((resolve, reject) => {
    const command = [main, "network", ...args, "--dir", machine(n), "--json"];
    execFile(process.execPath, ["--disable-warning=ExperimentalWarning", ...command], (error, out) =>
      error ? reject(new Error(out)) : resolve(JSON.parse(out) as Ballot),
    );
  });
}

test("operators vote a node in, each by one command at its own node, at whatever time", async () => {
  expect(await msec(1, "vote", "node-5")).toEqual({ address: addressOf(5), votes: 1, needed: 3, decided: false });
  expect(await castVote(machine(1), "node-5", true)).toMatchObject({ votes: 1, decided: false });
  expect(await castVote(machine(2), addressOf(5), true)).toMatchObject({ votes: 2, decided: false });
  expect(await validatorsAt(4)).toHaveLength(4);
  expect(await castVote(machine(3), "node-5", true)).toMatchObject({ decided: true });
  await until(async () => (await validatorsAt(5)).includes(addressOf(5)), 30);
  // Who comes late has nothing to do.
  expect(await castVote(machine(4), "node-5", true)).toMatchObject({ decided: true });
});

test("and another one out; a vote that is decided does not stand for ever", async () => {
  expect(await candidatesAt(1)).toEqual({ [addressOf(5)]: true });
  for (const [n, votes] of [
    [1, 1],
    [5, 2],
  ] as const)
    expect(await castVote(machine(n), "node-4", false)).toMatchObject({ votes, needed: 3, decided: false });
  expect(await candidatesAt(1)).toEqual({ [addressOf(4)]: false });
  expect(await castVote(machine(2), "node-4", false)).toMatchObject({ decided: true });
  await until(async () => !(await validatorsAt(3)).includes(addressOf(4)), 30);
  expect(await candidatesAt(2)).toEqual({});
});

test("it is refused to whoever is no validator, of a name that nobody has, and where the chain would be left with three", async () => {
  await expect(castVote(machine(4), "node-4", true)).rejects.toThrow(/node-4 is no validator: validators alone vote/);
  await expect(castVote(machine(1), "node-9", true)).rejects.toThrow(/node-9 is no address and no node of this plan/);
  await expect(castVote(machine(1), "node-4", false)).rejects.toThrow(/node-4 is no validator/);
  await expect(castVote(machine(1), "node-3", false)).rejects.toThrow(/3 validators would be left/);
});
