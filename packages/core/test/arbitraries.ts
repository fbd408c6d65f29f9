import fc from "fast-check";
import { type Decimal, type Header, parseNumber, type Schema, type SenmlRecord, toHex, ZERO32 } from "../src/index.ts";

// What fast-check draws the protocol's values from.

export const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
export const hex32 = bytes(32).map(toHex);
export const uint32 = fc.integer({ min: 0, max: 0xffffffff });
export const safeUint = fc.maxSafeNat();

const digits = (min: number, max: number) =>
  fc.array(fc.integer({ min: 0, max: 9 }), { minLength: min, maxLength: max }).map((d) => d.join(""));

/** Decimal text: whole, fractional, with exponents, with leading and trailing zeros, long and short. */
export const decimalText = fc
  .tuple(
    fc.constantFrom("", "-", "+"),
    fc.oneof(digits(1, 4), digits(1, 40)),
    fc.option(fc.oneof(digits(1, 3), digits(1, 40)), { nil: undefined }),
    fc.option(fc.oneof(fc.integer({ min: -5, max: 5 }), fc.integer({ min: -400, max: 400 })), { nil: undefined }),
  )
  .map(
    ([sign, whole, fraction, e]) =>
      `${sign}${whole}${fraction === undefined ? "" : `.${fraction}`}${e === undefined ? "" : `e${e}`}`,
  );

export const numberValue: fc.Arbitrary<number | Decimal> = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((v) => (v === 0 ? 0 : v)),
  fc.integer(),
  fc.maxSafeInteger(),
  decimalText.map((text) => parseNumber(text) as number | Decimal),
);

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9\-:./_]{0,20}$/);
const text = fc.string({ unit: "binary" });

export const record: fc.Arbitrary<SenmlRecord> = fc
  .tuple(
    name,
    fc.option(
      text.filter((u) => u !== ""),
      { nil: undefined },
    ),
    fc.oneof(
      numberValue.map((v) => ({ v })),
      text.map((vs) => ({ vs })),
      fc.boolean().map((vb) => ({ vb })),
      fc.uint8Array({ maxLength: 40 }).map((vd) => ({ vd })),
    ),
    fc.oneof(
      fc.integer({ min: 2 ** 28 * 1000, max: 4_000_000_000_000 }),
      fc.integer({ min: 2 ** 28, max: 4_000_000_000 }).map((s) => s * 1000),
    ),
  )
  .map(([n, u, value, tMs]) => ({ n, ...(u === undefined ? {} : { u }), ...value, tMs }));

export const header: fc.Arbitrary<Header> = fc.record({
  streamId: hex32,
  keyEpoch: uint32,
  bootEpoch: uint32,
  seq: safeUint,
  flags: fc.integer({ min: 0, max: 255 }),
  previous: hex32,
  fromMs: safeUint,
  toMs: safeUint,
  count: uint32,
  root: hex32,
  keyCommitment: hex32,
  contentDigest: hex32,
  attestation: fc.oneof(fc.constant(ZERO32), hex32),
  beacon: fc.record({ number: safeUint, digest: hex32 }),
});

export const schema: fc.Arbitrary<Schema> = fc
  .tuple(
    fc.uniqueArray(fc.record({ name, unit: text, text }), { minLength: 1, maxLength: 6, selector: (q) => q.name }),
    fc.integer({ min: 0, max: 10_000 }),
    fc.option(fc.tuple(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 49_124 })), { nil: undefined }),
  )
  .map(([quantities, retainDays, pad]) => ({
    quantities,
    retainDays,
    padCount: pad?.[0] ?? 0,
    padBytes: pad?.[1] ?? 0,
  }));

/** Bytes near valid ones: some flipped, cut, inserted or repeated. */
export const mutated = (valid: fc.Arbitrary<Uint8Array>) =>
  fc
    .tuple(
      valid,
      fc.array(
        fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }), fc.constantFrom("set", "flip", "cut", "insert", "remove")),
        { minLength: 1, maxLength: 4 },
      ),
    )
    .map(([start, edits]) => {
      let out = Array.from(start);
      for (const [where, byte, kind] of edits) {
        const at = out.length === 0 ? 0 : where % out.length;
        if (kind === "set") out[at] = byte;
        else if (kind === "flip") out[at] = (out[at] ?? 0) ^ (1 << (byte & 7));
        else if (kind === "cut") out = out.slice(0, at);
        else if (kind === "insert") out.splice(at, 0, byte);
        else out.splice(at, 1);
      }
      return Uint8Array.from(out);
    });
