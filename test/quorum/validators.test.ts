import { renameSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Hex } from "@msec/core";
import { isManager, managerOf, managerUrl, NetworkFolder, readPlan } from "@msec/quorum";
import { afterAll, beforeAll, expect, test } from "vitest";
import { anchoredPacks, anchoredReadings } from "../support/anchored.ts";
import { csvFile, openPlan, TestCity, until } from "../support/city.ts";

// The city on four GoQuorum validators with three privacy managers, an operator at each, when one and then two of them are killed. A device measures all
// the while. What the tests ask is asked of the first validator, which lives.

const ROWS = 6000;
let t: TestCity;
let device: Hex;
let rows: { tMs: number; row: number }[];

const node = (n: number) => `node-${n}`;
const config = (n: number) => new NetworkFolder(t.city.layout.network).config(node(n));

/** Kills a validator, whose supervisor finds no configuration to start it with until {@link back}. */
function away(n: number): void {
  renameSync(config(n), `${config(n)}.away`);
  t.signal(node(n), "SIGKILL");
}

const back = (n: number) => renameSync(`${config(n)}.away`, config(n));

const height = () => t.city.provider.getBlockNumber();

/** All four operators have read the chain to its end. */
const allLevel = () =>
  until("all four operators are level and well", async () => {
    const all = await Promise.all([1, 2, 3, 4].map((n) => t.status(n)));
    const newest = await t.chainEpoch();
    return all.every((s) => s.healthy && s.epoch >= newest - 1);
  });

beforeAll(async () => {
  t = await TestCity.up(
    (root) => {
      const made = csvFile(root, "one.csv", ROWS, 1000);
      rows = made.rows;
      return [openPlan("one", made.file, 10, 20)];
    },
    { network: "quorum", software: true },
  );
  device = t.streamOf("one");
  await until("the first epochs", async () => (await t.chainEpoch()) >= 2);
});

afterAll(async () => t?.stop());

test("three of its nodes have a privacy manager that answers", async () => {
  const { nodes } = readPlan(new NetworkFolder(t.city.layout.network));
  const managers = nodes.flatMap((one) => (one.manager ? [managerUrl(one.manager)] : []));
  expect(Object.keys(t.city.run.chain.pids).filter(isManager).sort()).toEqual([1, 2, 3].map((n) => managerOf(node(n))));
  const answers = await Promise.all(managers.map(async (url) => (await fetch(`${url}/upcheck`)).status));
  expect(answers).toEqual([200, 200, 200]);
});

test("one of four is killed: no effect on what is anchored", async () => {
  away(4);
  const [block, epoch] = [await height(), await t.chainEpoch()];
  // Each fourth block waits for the round of four seconds in which the dead one would have proposed.
  await until("two rounds of all four", async () => (await height()) >= block + 8, 40_000);
  expect(await t.chainEpoch()).toBeGreaterThanOrEqual(epoch + 3);
  // Its own operator says that it can't see the chain. The others can; where that one led, they say that another takes over.
  expect((await t.status(4)).problems.join()).toMatch(/the chain does not answer/);
  const { problems } = await t.status(1);
  expect(problems.filter((problem) => !problem.startsWith("the leader is silent"))).toEqual([]);
  back(4);
  await allLevel();
});

test("two of four are killed: the operators say so and wait; back up, everything is anchored once", async () => {
  away(3);
  away(4);
  await until("the chain stands still", async () => {
    const before = await height();
    await sleep(4_000);
    return (await height()) === before;
  });
  const [block, epoch] = [await height(), await t.chainEpoch()];
  await until("an operator with a living node says so", async () =>
    (await t.status(1)).problems.some((p) => p.startsWith("the chain makes no blocks")),
  );
  expect((await t.status(3)).problems.join()).toMatch(/the chain does not answer/);
  await sleep(10_000);
  expect([await height(), await t.chainEpoch()]).toEqual([block, epoch]);
  // However long it takes, an operator has one transaction waiting and no more.
  for (const { address } of t.city.run.operators.slice(0, 2)) {
    const count = (tag: string) => t.city.provider.getTransactionCount(address, tag);
    expect((await count("pending")) - (await count("latest"))).toBeLessThanOrEqual(1);
  }
  back(3);
  back(4);
  await until("the chain goes on", async () => (await t.chainEpoch()) > epoch + 2);
  await allLevel();

  const { packs } = await until("all operators agree", () => anchoredPacks(t));
  const anchored = (await anchoredReadings(t, device, packs)).filter((reading) => reading.n === "row");
  // Every row once and in order, as far as it goes.
  expect(anchored.map(({ v }) => Number(v))).toEqual(rows.slice(0, anchored.length).map(({ row }) => row));
  expect(anchored.length).toBeGreaterThan(0);
  expect(t.exits.filter((name) => !name.startsWith("node-"))).toEqual([]);
});
