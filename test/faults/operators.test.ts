import { type Hex, REFUSAL_NUMBERS } from "@msec/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type StreamInfo } from "@msec/trade";
import { anchoredPacks, anchoredReadings } from "../support/anchored.ts";
import { csvFile, openPlan, settled, TestCity, until } from "../support/city.ts";
import { LyingOperator } from "../support/operator.ts";

// Operators that are silent, dead or lying, among four. Two devices measure all the while.

const ROWS = 6000;
let t: TestCity;
let one: Hex;
let two: Hex;
let rows: { tMs: number; row: number }[];

beforeAll(async () => {
  t = await TestCity.up((root) => {
    const made = csvFile(root, "one.csv", ROWS, 1000);
    rows = made.rows;
    return [openPlan("one", made.file, 10, 20), openPlan("two", csvFile(root, "two.csv", ROWS, 1000).file, 10, 20)];
  });
  one = t.streamOf("one");
  two = t.streamOf("two");
  await until("the first epochs", async () => (await t.chainEpoch()) >= 2);
});

afterAll(async () => t?.stop());

const seqOf = async (stream: Hex, n = alive()[0] as number) =>
  (await t.get<StreamInfo>(n, `/streams/${stream}`)).head?.seq ?? 0;
const down = new Set<number>();
const alive = () => [1, 2, 3, 4].filter((n) => !down.has(n));
const numberOf = (name: string) => Number(name.split("-")[1]);

/** Waits until all four operators answer and have every epoch. */
const allBack = () =>
  until("all four have caught up", async () => {
    const newest = await t.chainEpoch();
    const all = await Promise.all([1, 2, 3, 4].map((n) => t.status(n)));
    return all.every((s) => s.epoch >= newest - 1);
  });

/** Seconds for which the longest pause between two epochs lasted, over a time. */
async function longestPause(ms: number): Promise<number> {
  const end = Date.now() + ms;
  let last = await t.chainEpoch();
  let since = Date.now();
  let longest = 0;
  while (Date.now() < end) {
    const now = await t.chainEpoch();
    if (now > last) {
      longest = Math.max(longest, Date.now() - since);
      since = Date.now();
      last = now;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return Math.max(longest, Date.now() - since) / 1000;
}

describe("operators that are away", () => {
  test("one of four hangs: no visible effect on anchoring", async () => {
    const leader = numberOf(await t.leader());
    const victim = alive().find((n) => n !== leader) as number;
    t.signal(`operator-${victim}`, "SIGSTOP");
    down.add(victim);
    try {
      const before = await seqOf(one, leader);
      expect(await longestPause(8_000)).toBeLessThan(5);
      expect(await seqOf(one, leader)).toBeGreaterThan(before + 4);
    } finally {
      t.signal(`operator-${victim}`, "SIGCONT");
      down.delete(victim);
    }
    await until(
      "the one that hung has caught up",
      async () => (await t.status(victim)).epoch >= (await t.chainEpoch()) - 1,
    );
  });

  test("two of four are dead: anchoring stops and says so; it goes on, without loss, when they are back", async () => {
    const leader = numberOf(await t.leader());
    const [a, b] = alive().filter((n) => n !== leader) as [number, number];
    const watching = alive().find((n) => n !== a && n !== b) as number;
    let before: number;
    try {
      for (const n of [a, b]) {
        await t.city.processes.halt(`operator-${n}`);
        down.add(n);
      }
      const status = await until("the status says so", async () => {
        const now = await t.status(watching);
        return now.problems.some((p) => /2 of 4 operators do not answer: anchoring stops/.test(p)) && now;
      });
      expect(status.healthy).toBe(false);
      // What three had signed before is still on its way. Longer than a round of views, so that the living and the returning count
      // different ones.
      before = await settled("no epoch comes", () => t.chainEpoch(), 10_000);
    } finally {
      for (const n of [a, b]) {
        t.city.processes.resume(`operator-${n}`);
        down.delete(n);
      }
    }
    await until("anchoring goes on", async () => (await t.chainEpoch()) > before + 2);
    await until("the status is healthy again", async () => (await t.status(watching)).healthy);
    const { epochs } = await until("all operators agree", () => anchoredPacks(t));
    expect(epochs.length).toBeGreaterThan(before);
  });
});

describe("an operator that lies", () => {
  test("a false root is never on chain, and the others say who proposed it", async () => {
    const leader = numberOf(await t.leader());
    await t.city.processes.halt(`operator-${leader}`);
    down.add(leader);
    const liar = await LyingOperator.inPlaceOf(t, leader);
    try {
      const bent = `0x${"66".repeat(32)}` as Hex;
      const { epoch, answers, signatures } = await until("a proposal that is judged", async () => {
        const packs = await liar.ready();
        if (packs.length === 0) return undefined;
        const made = await liar.propose(packs, (e) => ({ ...e, root: bent }));
        const judged = made.answers.every(({ answer }) => /root, counts/.test(answer.refusal?.message ?? ""));
        return judged ? made : undefined;
      });
      expect(signatures).toHaveLength(1);
      expect(answers).toHaveLength(3);
      await expect(liar.anchor(epoch, signatures)).rejects.toThrow();
      for (const n of liar.others) {
        const { refusedProposals } = await t.status(n);
        const named = refusedProposals.filter((r) => r.operator === liar.account.address && r.reason === "epoch");
        expect(named[0]?.times, `operator ${n} names the liar`).toBeGreaterThan(0);
      }
      // It answers nothing but nonsense when asked, and others lead on.
      liar.answer = () => ({ bad: 7, omitted: { a: 1 } });
      const before = await seqOf(one);
      await until("the others anchor without it", async () => (await seqOf(one)) > before + 3);
      for (const { hash } of (await anchoredBy(liar)).slice(-5)) expect(hash).not.toBe(LyingOperator.hashOf(epoch));
    } finally {
      await liar.leave();
      t.city.processes.resume(`operator-${leader}`);
      down.delete(leader);
    }
    expect(t.exits, "nonsense ends no process").toEqual([]);
    await until("the honest one is back", async () => (await t.status(leader)).epoch >= (await t.chainEpoch()) - 1);
  });

  async function anchoredBy(liar: LyingOperator): Promise<{ hash: Hex }[]> {
    const newest = await t.chainEpoch();
    const n = liar.others[0] as number;
    return Promise.all(
      Array.from({ length: Math.min(5, newest) }, (_, i) =>
        until(`epoch ${newest - i}`, () => t.get<{ hash: Hex }>(n, `/epochs/${newest - i}`)),
      ),
    );
  }

  test("a leader that leaves out a device is refused, and the device's packs are in after it", async () => {
    const leader = numberOf(await t.leader());
    await t.city.processes.halt(`operator-${leader}`);
    down.add(leader);
    const liar = await LyingOperator.inPlaceOf(t, leader);
    try {
      let led = 0;
      let omitted = 0;
      const before = await seqOf(two);
      await until("the others miss what it leaves out", async () => {
        const packs = await liar.ready((id) => id !== two);
        if (packs.length === 0) return undefined;
        const { epoch, answers, signatures } = await liar.propose(packs);
        omitted = answers.filter(({ answer }) => (answer.omitted?.length ?? 0) > 0).length;
        if (omitted >= 2) return true;
        if (signatures.length >= 3) {
          await liar.anchor(epoch, signatures);
          led++;
        }
        return undefined;
      });
      expect(led, "it led for some epochs").toBeGreaterThan(0);
      expect(led, "and not for a whole term").toBeLessThan(30);
      for (const n of liar.others) {
        const { refusedProposals } = await t.status(n);
        if (refusedProposals.some((r) => r.operator === liar.account.address && r.reason === "completeness")) omitted++;
      }
      expect(omitted).toBeGreaterThanOrEqual(4);
      await until("the device that was left out is in", async () => (await seqOf(two)) > before + 3);
    } finally {
      await liar.leave();
      t.city.processes.resume(`operator-${leader}`);
      down.delete(leader);
    }
  });

  test("one that calls honest headers bad delays nobody's packs", async () => {
    await allBack();
    const leader = numberOf(await t.leader());
    const n = alive().find((m) => m !== leader) as number;
    await t.city.processes.halt(`operator-${n}`);
    down.add(n);
    const liar = await LyingOperator.inPlaceOf(t, n);
    liar.answer = ({ headerDigests }) => ({
      bad: headerDigests.map((headerDigest) => ({ headerDigest, reason: REFUSAL_NUMBERS["bad-signature"] })),
      omitted: headerDigests,
    });
    try {
      const before = [await seqOf(one, leader), await seqOf(two, leader)] as const;
      expect(await longestPause(8_000)).toBeLessThan(6);
      expect(liar.asked).toBeGreaterThan(0);
      expect(await seqOf(one, leader)).toBeGreaterThan(before[0] + 4);
      expect(await seqOf(two, leader)).toBeGreaterThan(before[1] + 4);
    } finally {
      await liar.leave();
      t.city.processes.resume(`operator-${n}`);
      down.delete(n);
    }
  });

  test("after all that, what is anchored is one line of the file without a row missing or twice", async () => {
    await allBack();
    const { packs } = await until("all operators agree", () => anchoredPacks(t));
    const readings = (await anchoredReadings(t, one, packs)).filter((r) => r.n === "row");
    expect(readings.length).toBeGreaterThan(200);
    expect(readings.map((r) => r.v)).toEqual(rows.slice(0, readings.length).map((r) => r.row));
    expect(t.exits).toEqual([]);
  });
});
