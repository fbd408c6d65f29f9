import {
  decodeBundle,
  encodeBundle,
  fromHex,
  toBase64,
  type ReadingReport,
  verify,
  type WindowBundle,
} from "@msec/core";
import { beforeAll, expect, test } from "vitest";
import { anchorAll, committee, TestStream, windowBundle } from "../../../packages/core/test/city.ts";
import { discloseReading } from "./disclose.ts";
import { Problem } from "./problem.ts";

const FROM = 28_000_000;
let bundle: WindowBundle;
let stream: TestStream;

beforeAll(() => {
  stream = new TestStream(0, 60);
  for (let i = 0; i < 5; i++) {
    const tMs = (FROM + i) * 60_000;
    stream.add(
      [0, 1, 2].map((k) => ({ n: "CO", u: "mg/m3", v: 1000 + 10 * i + k, tMs: tMs + k })),
      { slot: FROM + i },
    );
  }
  const anchored = anchorAll(stream, committee());
  bundle = windowBundle(stream, anchored, FROM, FROM + 3, [[FROM + 1, FROM + 1]]);
  bundle.packs = bundle.packs.map((pack, i) =>
    pack.content === null ? pack : { ...pack, anchoring: anchored.anchoring(stream.packs[i] as never) },
  );
  verify(bundle);
});

test("a disclosed reading is proved by itself, counted over the packs that are not erased", () => {
  for (const [index, value, at] of [
    [0, 1000, 0],
    [2, 1002, 2],
    [3, 1020, 0],
    [8, 1032, 2],
  ] as const) {
    const text = discloseReading(bundle, index);
    const report = verify(decodeBundle(text)) as ReadingReport;
    expect(report.kind).toBe("reading");
    expect([report.row.v, report.index, report.of]).toEqual([value, at, 3]);
  }
});

test("it reveals no other reading and no key", () => {
  const text = discloseReading(bundle, 4);
  for (const { key } of bundle.nodes) {
    expect(text).not.toContain(key.slice(2));
    expect(text).not.toContain(toBase64(fromHex(key)));
  }
  const shown = decodeBundle(text) as unknown as Record<string, unknown>;
  expect(Object.keys(shown).sort()).toEqual(
    ["anchoring", "chain", "cose", "format", "index", "keys", "path", "record", "salt", "stream"].sort(),
  );
  for (const { content } of bundle.packs) if (content) expect(text).not.toContain(content);
  const others = [0, 1, 2, 3, 5].map((i) => (decodeBundle(discloseReading(bundle, i)) as { record: string }).record);
  for (const record of others) expect(text).not.toContain(record);
});

test("another value, time, index or salt in it is refused", () => {
  const shown = () => decodeBundle(discloseReading(bundle, 4)) as { index: number; record: string; salt: string };
  for (const change of [
    (b: ReturnType<typeof shown>) => (b.index = 0),
    (b: ReturnType<typeof shown>) =>
      (b.record = (decodeBundle(discloseReading(bundle, 5)) as { record: string }).record),
    (b: ReturnType<typeof shown>) => (b.salt = `0x${"00".repeat(32)}`),
  ]) {
    const forged = shown();
    change(forged);
    expect(() => verify(decodeBundle(encodeBundle(forged as never)))).toThrow();
  }
});

test("a reading that is not there, or whose own epoch the bundle does not show, is said", () => {
  expect(() => discloseReading(bundle, 9)).toThrow(Problem);
  expect(() => discloseReading(bundle, 9)).toThrow("there is no such reading in the bundle");
  const without = { ...bundle, packs: bundle.packs.map(({ anchoring: _, ...pack }) => pack) };
  expect(() => discloseReading(without, 0)).toThrow(/does not show the epoch/);
});
