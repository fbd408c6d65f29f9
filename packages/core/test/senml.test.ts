import fc from "fast-check";
import { expect, test } from "vitest";
import { cborEncode, Decimal, decodeRecord, encodeRecord, type SenmlRecord, toHex, valueText } from "../src/index.ts";
import { mutated, record } from "./arbitraries.ts";
import { expectRefusal, neverCrashes } from "./expect.ts";

test("every record comes back, and its bytes are one", () => {
  fc.assert(
    fc.property(record, (r) => {
      const bytes = encodeRecord(r);
      expect(decodeRecord(bytes)).toEqual(r);
      expect(encodeRecord(decodeRecord(bytes))).toEqual(bytes);
    }),
    { numRuns: 2000 },
  );
});

test("damaged records are refused or read, never worse", () => {
  fc.assert(
    fc.property(mutated(record.map(encodeRecord)), (bytes) => neverCrashes(() => decodeRecord(bytes))),
    {
      numRuns: 5000,
    },
  );
  fc.assert(fc.property(fc.uint8Array(), (bytes) => neverCrashes(() => decodeRecord(bytes))));
});

test("what a damaged record is read as encodes to the same bytes", () => {
  fc.assert(
    fc.property(mutated(record.map(encodeRecord)), (bytes) => {
      let read: SenmlRecord | undefined;
      try {
        read = decodeRecord(bytes);
      } catch {
        return;
      }
      expect(encodeRecord(read)).toEqual(bytes);
    }),
    { numRuns: 5000 },
  );
});

/** RFC 8428, section 5.1.2: voltage and current of one sensor, with base fields. Section 6 shows its CBOR. */
const EXAMPLE = [
  { bn: "urn:dev:ow:10e2073a01080063:", bt: 1.276020076001e9, bu: "A", bver: 5, n: "voltage", u: "V", v: 120.1 },
  { n: "current", t: -5, v: 1.2 },
  { n: "current", t: -4, v: 1.3 },
  { n: "current", t: -3, v: 1.4 },
  { n: "current", t: -2, v: 1.5 },
  { n: "current", t: -1, v: 1.6 },
  { n: "current", v: 1.7 },
];

test("RFC 8428's example, resolved, is what it means and comes back", () => {
  const base = EXAMPLE[0] as { bn: string; bt: number; bu: string };
  const resolved = EXAMPLE.map(
    (row): SenmlRecord => ({
      n: base.bn + row.n,
      u: row.u ?? base.bu,
      v: row.v,
      tMs: Math.round(1000 * (base.bt + ("t" in row ? (row.t as number) : 0))),
    }),
  );
  expect(resolved.map((r) => r.tMs - 1276020076001)).toEqual([0, -5000, -4000, -3000, -2000, -1000, 0]);
  for (const r of resolved) expect(decodeRecord(encodeRecord(r))).toEqual(r);
  // the RFC's own bytes for the name, the unit, 120.1 and 1276020076.001, under the labels of its table 4
  const name = "7823" + "75726e3a6465763a6f773a313065323037336130313038303036333a" + "766f6c74616765";
  expect(toHex(encodeRecord(resolved[0] as SenmlRecord))).toBe(
    `0xa400${name}` + "016156" + "02fb405e066666666666" + "06fb41d303a15b001062",
  );
  expect(toHex(encodeRecord(resolved[4] as SenmlRecord))).toContain("02f93e00"); // 1.5 is a half-precision float
});

test("integer labels and forms of RFC 8428, table 4", () => {
  const at = { n: "a", tMs: 1_700_000_000_000 };
  const t = "061a6553f100";
  expect(toHex(encodeRecord({ ...at, v: 1.5 }))).toBe(`0xa300616102f93e00${t}`);
  expect(toHex(encodeRecord({ ...at, vs: "x" }))).toBe(`0xa3006161036178${t}`);
  expect(toHex(encodeRecord({ ...at, vb: true }))).toBe(`0xa300616104f5${t}`);
  expect(toHex(encodeRecord({ ...at, vd: Uint8Array.of(9) }))).toBe(`0xa3006161${t}084109`);
  expect(toHex(encodeRecord({ ...at, u: "Cel", v: -0 }))).toBe(`0xa4006161016343656c0200${t}`);
  expect(toHex(encodeRecord({ ...at, tMs: at.tMs + 500, v: 1 }))).toBe("0xa30061610201" + "06fb41d954fc40200000");
});

test("times are whole milliseconds after 2^28 s and come back", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2 ** 28 * 1000, max: 2 ** 45 }), (tMs) => {
      expect(decodeRecord(encodeRecord({ n: "a", v: 1, tMs })).tMs).toBe(tMs);
    }),
  );
  for (const tMs of [2 ** 28 * 1000 - 1, 0, -1, 1.7e12 + 0.5, NaN, Infinity, 2 ** 60])
    expectRefusal("records", () => encodeRecord({ n: "a", v: 1, tMs }));
});

test("what is not one resolved record is refused", () => {
  const t: [number, unknown] = [6, 1_700_000_000];
  const read = (...rows: [unknown, unknown][]) => decodeRecord(cborEncode(new Map(rows)));
  expect(read([0, "a"], [2, 1], t)).toEqual({ n: "a", v: 1, tMs: 1_700_000_000_000 });
  const wrong: [unknown, unknown][][] = [
    [[2, 1], t],
    [[0, "a"], t],
    [[0, "a"], [2, 1]],
    [[0, "a"], [2, 1], [3, "x"], t],
    [[0, "a"], [2, "1"], t],
    [[0, "a"], [3, 1], t],
    [[0, "a"], [4, 1], t],
    [[0, "a"], [8, "x"], t],
    [[0, "a"], [2, 1n << 60n], t],
    [[0, ""], [2, 1], t],
    [[0, "ä"], [2, 1], t],
    [[0, "-a"], [2, 1], t],
    [[0, 5], [2, 1], t],
    [[0, "a"], [1, ""], [2, 1], t],
    [[0, "a"], [1, 5], [2, 1], t],
    [[0, "a"], [2, 1], [6, 1_700_000_000.0001]],
    [[0, "a"], [2, 1], [6, "now"]],
    [[0, "a"], [2, 1], [6, 5]],
    [[-2, "base"], [0, "a"], [2, 1], t],
    [[0, "a"], [2, 1], [5, 1], t],
    [[0, "a"], [2, 1], t, [7, 1]],
    [["n", "a"], [2, 1], t],
    [[0, "a"], [2, null], t],
  ]; // prettier-ignore
  for (const rows of wrong) expectRefusal("records", () => read(...rows));
  expectRefusal("records", () => decodeRecord(cborEncode([1])));
  expectRefusal("malformed", () => decodeRecord(new Uint8Array()));
  expectRefusal("records", () => encodeRecord({ n: "a", vs: "\ud800", tMs: 1.7e12 }));
  expectRefusal("records", () => encodeRecord({ n: "a", v: NaN, tMs: 1.7e12 }));
  expectRefusal("records", () => encodeRecord({ n: "a", v: 1, vs: "x", tMs: 1.7e12 }));
  expectRefusal("records", () => encodeRecord({ n: "a", tMs: 1.7e12 }));
});

test("values as text", () => {
  const at = { n: "a", tMs: 1.7e12 };
  expect(valueText({ ...at, v: new Decimal(-20, 12345678901234567891n) })).toBe("0.12345678901234567891");
  expect(valueText({ ...at, v: 0 })).toBe("0");
  expect(valueText({ ...at, vb: false })).toBe("false");
  expect(valueText({ ...at, vs: "x" })).toBe("x");
  expect(valueText({ ...at, vd: Uint8Array.of(1, 255) })).toBe("01ff");
});
