import { expect, test } from "vitest";
import { TestStream } from "../../../packages/core/test/city.ts";
import { type StreamInfo } from "@msec/trade";
import { Problem } from "./problem.ts";
import { slotsBetween, slotsToErase } from "./slots.ts";

const info = (change: Partial<StreamInfo> = {}, mode = 0, slotSeconds = 3600) =>
  ({
    preimage: new TestStream(mode, slotSeconds).preimage,
    firstSlot: 300_000,
    lastSlot: 300_050,
    ...change,
  }) as StreamInfo;
const HOUR = 3_600_000;
const iso = (slot: number) => new Date(slot * HOUR).toISOString();

function problem(work: () => unknown): Problem {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(Problem);
    return error as Problem;
  }
  throw new Error("it was taken");
}

test("without times: everything that is anchored, but for the newest slot, which may not be full", () => {
  expect(slotsBetween(info(), undefined, undefined)).toEqual([300_000, 300_049]);
  expect(slotsBetween(info({ lastSlot: 300_000 }), undefined, undefined)).toEqual([300_000, 300_000]);
});

test("a time stands for the slot that it lies in, UTC unless it says otherwise", () => {
  const slots = (from: string, to: string) => slotsBetween(info(), from, to);
  expect(slots("2004-03-10", "2004-03-11")).toEqual([Date.UTC(2004, 2, 10) / HOUR, Date.UTC(2004, 2, 11) / HOUR]);
  const at = Date.UTC(2004, 2, 10, 18) / HOUR;
  for (const text of ["2004-03-10T18:00", "2004-03-10 18:00", "2004-03-10T18:59:59Z", "2004-03-10T20:30+02:00"])
    expect(slots(text, text)).toEqual([at, at]);
  expect(slots(iso(300_003), iso(300_003))).toEqual([300_003, 300_003]);
});

test("one of the two may be left out", () => {
  expect(slotsBetween(info(), iso(300_010), undefined)).toEqual([300_010, 300_049]);
  expect(slotsBetween(info(), undefined, iso(300_010))).toEqual([300_000, 300_010]);
});

test("what is not clearly a time is wrong use, never a guess: keys may be destroyed by it", () => {
  for (const text of [
    "yesterday",
    "5",
    "10/03/2004",
    "2004-02-31",
    "2004-13-01",
    "2004-03-10T25:00",
    "March 2004",
    "",
    " ",
  ]) {
    const { exitCode, message } = problem(() => slotsBetween(info(), text, undefined));
    expect([text, exitCode]).toEqual([text, 2]);
    expect(message).toContain("is not a time: write it as");
  }
});

test("a window that ends before it starts is wrong use", () => {
  expect(problem(() => slotsBetween(info(), iso(300_020), iso(300_010)))).toMatchObject({
    exitCode: 2,
    message: "the window ends before it starts: --to lies before --from",
  });
});

test("a stream of which nothing is anchored says so; it may work later", () => {
  expect(problem(() => slotsBetween(info({ firstSlot: null, lastSlot: null }), undefined, undefined))).toMatchObject({
    exitCode: 1,
  });
});

test("a data set is one slot, and times for it are wrong use", () => {
  expect(slotsBetween(info({}, 2), undefined, undefined)).toEqual([0, 0]);
  expect(problem(() => slotsBetween(info({}, 2), iso(300_000), undefined))).toMatchObject({
    exitCode: 2,
    message: "a data set is one whole and has no times: leave out --from and --to",
  });
});

test("what is erased is said outright: times, or all", () => {
  const times = { from: iso(300_003), to: iso(300_004) };
  expect(slotsToErase(info(), { ...times, all: false })).toEqual([300_003, 300_004]);
  expect(slotsToErase(info(), { all: true })).toEqual([0, 0xffffffff]);
  expect(slotsToErase(info({}, 2), { all: true })).toEqual([0, 0]);
  const refused = [
    [info(), { all: false }, /say what to erase/],
    [info(), { from: times.from, all: false }, /say what to erase/],
    [info(), { ...times, all: true }, /leave out --from and --to/],
    [info({}, 2), { ...times, all: false }, /a data set is erased whole/],
    [info({}, 2), { all: false }, /a data set is erased whole/],
  ] as const;
  for (const [of, how, message] of refused) {
    const { exitCode, message: said } = problem(() => slotsToErase(of, how));
    expect(exitCode).toBe(2);
    expect(said).toMatch(message);
  }
});
