import { type StreamPreimage, ZERO32 } from "@msec/core";
import { expect, test } from "vitest";
import type { Batch } from "./drivers/driver.ts";
import { type ClosedPack, Packer } from "./packer.ts";

const stream = (mode: 0 | 1 | 2, slotSeconds = 60): StreamPreimage => ({
  deviceId: ZERO32,
  ownerEpoch: 1,
  name: "s",
  schema: {
    quantities: [{ name: "a", unit: "Cel", text: "a" }],
    retainDays: 0,
    padCount: mode === 1 ? 2 : 0,
    padBytes: mode === 1 ? 110 : 0,
  },
  slotSeconds: mode === 2 ? 0 : slotSeconds,
  mode,
  salt: ZERO32,
});
const T0 = 1_700_000_040_000; // first millisecond of a minute
const batch = (tMs: number, n = 1, last = false): Batch => ({
  tMs,
  readings: Array.from({ length: n }, () => ({ name: "a", value: 1 })),
  position: `p${tMs - T0}`,
  last,
});
const packer = (
  mode: 0 | 1 | 2,
  recorded: boolean,
  limits = { maxReadings: 3, maxSeconds: 20 },
  after = { slot: -1, toMs: -1 },
) => new Packer(stream(mode), limits, recorded, after);
function feed(p: Packer, batches: Batch[]): ClosedPack[] {
  return batches.flatMap((raw) => {
    const b = p.check(raw);
    return [...p.before(b), ...p.add(b, b.tMs)];
  });
}
const counts = (packs: ClosedPack[]) => packs.map((pack) => pack.readings.length);

test("a pack keeps to its slot, maxReadings and maxSeconds, and rows stay whole", () => {
  const p = packer(0, true);
  const packs = feed(p, [
    batch(T0),
    batch(T0 + 1, 2),
    batch(T0 + 2, 2),
    batch(T0 + 3, 2),
    batch(T0 + 30_000),
    batch(T0 + 60_000),
  ]);
  expect(counts(packs)).toEqual([3, 2, 2, 1]);
  expect(packs.map((pack) => pack.position)).toEqual(["p1", "p2", "p3", "p30000"]);
  expect(counts(p.finish(true))).toEqual([1]);
  expect(p.done).toBe(true);
});

test("the last row's pack carries the end", () => {
  expect(feed(packer(0, true), [batch(T0), batch(T0 + 1, 1, true)])).toMatchObject([{ end: true, position: "p1" }]);
});

test("a recorded row that goes back in time is refused, except in a data set", () => {
  expect(() => feed(packer(0, true), [batch(T0 + 5), batch(T0)])).toThrow(
    /sort the file, or make the stream a data set/,
  );
  expect(counts(feed(packer(2, true), [batch(T0 + 5_000_000), batch(T0, 2)]))).toEqual([3]);
});

test("a clock set back a little holds the time, further back it is refused", () => {
  const p = packer(0, false);
  feed(p, [batch(T0 + 5_000)]);
  expect(p.check(batch(T0 + 1_000)).tMs).toBe(T0 + 5_000);
  expect(() => p.check(batch(T0 - 1_000))).toThrow(/set the clock/);
});

test("the clock closes a live pack after maxSeconds", () => {
  const p = packer(0, false);
  feed(p, [batch(T0)]);
  expect(p.dueAt).toBe(T0 + 20_000);
  expect(p.due(T0 + 19_999)).toEqual([]);
  expect(counts(p.due(T0 + 20_000))).toEqual([1]);
  expect(p.dueAt).toBeNull();
});

test("sealed and recorded: exactly one pack a slot between the first row and the last, also after a restart", () => {
  const packs = feed(packer(1, true), [
    batch(T0),
    batch(T0 + 180_000),
    batch(T0 + 190_000),
    batch(T0 + 240_000, 1, true),
  ]);
  expect(counts(packs)).toEqual([1, 0, 0, 2, 1]);
  expect(packs.map((pack) => pack.slot - packs[0]!.slot)).toEqual([0, 1, 2, 3, 4]);
  expect(packs.map((pack) => pack.end)).toEqual([false, false, false, false, true]);
  const again = packer(1, true, undefined, { slot: packs[1]!.slot, toMs: T0 + 119_999 });
  expect(counts(feed(again, [batch(T0 + 180_000, 1, true)]))).toEqual([0, 1]);
});

test("sealed and live: a pack each slot while running, none for the time before", () => {
  const p = packer(1, false, undefined, { slot: T0 / 60_000 - 100, toMs: T0 - 99 * 60_000 - 1 });
  expect(p.due(T0 + 10_000)).toEqual([]);
  expect(p.dueAt).toBe(T0 + 60_000);
  feed(p, [batch(T0 + 20_000)]);
  expect(counts(p.due(T0 + 185_000))).toEqual([1, 0, 0]);
  p.finish(true);
  expect(p.due(T0 + 240_000)).toMatchObject([{ end: true }]);
  expect(p.done).toBe(true);
});

test("sealed rows beyond padCount or padBytes are refused before anything is changed", () => {
  const p = packer(1, true);
  feed(p, [batch(T0), batch(T0 + 1)]);
  expect(() => p.check(batch(T0 + 2))).toThrow(/make a new stream with larger padCount and padBytes/);
  expect(counts(p.finish(false))).toEqual([2]);
  const wide = new Packer(
    { ...stream(1), schema: { ...stream(1).schema, padCount: 9 } },
    { maxReadings: 9, maxSeconds: 9 },
    true,
    { slot: -1, toMs: -1 },
  );
  expect(() => feed(wide, [batch(T0, 4)])).toThrow(/sealed stream has room for 9 and 110/);
});

test("a row too large for any pack is refused, many small ones are spread", () => {
  const p = packer(0, true, { maxReadings: 10_000, maxSeconds: 1e6 });
  expect(() => p.check(batch(T0, 4_000))).toThrow(/do not fit a pack/);
  expect(
    feed(
      p,
      Array.from({ length: 60 }, (_, i) => batch(T0 + i, 100)),
    ).length,
  ).toBeGreaterThan(1);
});
