import fc from "fast-check";
import { expect, test } from "vitest";
import { cborDecode, cborEncode, Decimal, fromHex, parseNumber, toHex } from "../src/index.ts";
import { decimalText } from "./arbitraries.ts";
import { expectRefusal } from "./expect.ts";

/** The number that a text stands for, as mantissa and exponent without trailing zeros. */
function exactly(text: string): string {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(text);
  if (!match) throw new Error(`not a number: ${text}`);
  const [, sign, whole = "", fraction = "", e = "0"] = match;
  let mantissa = BigInt(whole + fraction);
  let exponent = Number(e) - fraction.length;
  if (mantissa === 0n) return "0";
  while (mantissa % 10n === 0n) [mantissa, exponent] = [mantissa / 10n, exponent + 1];
  return `${sign === "-" ? "-" : ""}${mantissa}e${exponent}`;
}

test("every decimal text comes back exactly, through CBOR", () => {
  fc.assert(
    fc.property(decimalText, (text) => {
      const value = parseNumber(text) as number | Decimal;
      expect(exactly(String(value))).toBe(exactly(text));
      const again = cborDecode(cborEncode(value));
      expect(again).toEqual(value);
      expect(exactly(String(again))).toBe(exactly(text));
    }),
    { numRuns: 5000 },
  );
});

test("a double's own text is that double", () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (v) => {
      expect(parseNumber(String(v))).toBe(v === 0 ? 0 : v);
    }),
  );
});

test("one number has one encoding, however it is written", () => {
  fc.assert(
    fc.property(decimalText, fc.integer({ min: 1, max: 9 }), (text, zeros) => {
      const [mantissa, e = "0"] = text.split("e");
      const longer = `${mantissa}${mantissa?.includes(".") ? "" : "."}${"0".repeat(zeros)}e${e}`;
      expect(toHex(cborEncode(parseNumber(longer)))).toBe(toHex(cborEncode(parseNumber(text))));
    }),
  );
});

test("the forms by example", () => {
  const form = (text: string) => toHex(cborEncode(parseNumber(text)));
  expect(form("0")).toBe("0x00");
  expect(form("-0.000")).toBe("0x00");
  expect(form("2.0")).toBe("0x02");
  expect(form("1.5")).toBe("0xf93e00");
  expect(form("0.1")).toBe("0xfb3fb999999999999a");
  expect(form("9007199254740991")).toBe("0x1b001fffffffffffff");
  expect(form("9007199254740992")).toBe("0xfa5a000000"); // 2^53: a float
  expect(form("9007199254740993")).toBe("0xc482001b0020000000000001");
  expect(form("0.10000000000000000001")).toBe("0xc482331b8ac7230489e80001");
  expect(form("1e400")).toBe("0xc482190190" + "01");
  expect(form("12345678901234567890")).toBe("0xc482011b112210f47de98115");
});

test("what is not a number is not read", () => {
  for (const text of ["", " ", ".", "-", "e5", "1e", "1..2", "1,5", "0x10", "NaN", "Infinity", "1_000", "1e99999999", "1e1000001", "9".repeat(1001)]) // prettier-ignore
    expect(parseNumber(text), text).toBeUndefined();
  expect(parseNumber(" 5 ")).toBe(5);
  expect(parseNumber(".5")).toBe(0.5);
  expect(parseNumber("5.")).toBe(5);
});

test("tag 4 only where nothing shorter says the same", () => {
  for (const [bytes, why] of [
    ["c4820105", "50 is an integer"],
    ["c4822005", "0.5 is a float"],
    ["c4820000", "zero"],
    ["c482001b002000000000000a", "ten divides the mantissa: 9007199254741002"],
    ["c482001bab54a98ceb1f0ad2", "ten divides the mantissa: 12345678901234567890"],
    ["c48200c249" + "010000000000000000", "2^64 needs no tag 4 as a bignum, but its shortest text is another"],
    ["c4821a000f424101", "an exponent over a million"],
    ["c4821bffffffffffffffff01", "an exponent that no reader holds"],
    ["c481" + "01", "one element"],
    ["c483010101", "three elements"],
    ["c4820161" + "35", "a mantissa of text"],
    ["c482f93e0001", "an exponent that is a float"],
  ] as const) {
    if (why.startsWith("2^64")) expect(String(cborDecode(fromHex(`0x${bytes}`)))).toBe("18446744073709551616");
    else expectRefusal("malformed", () => cborDecode(fromHex(`0x${bytes}`)));
  }
  expectRefusal("malformed", () => cborEncode(new Decimal(0, 12345678901234567890n)));
});

test("text of decimals of all sizes", () => {
  expect(String(new Decimal(-20, 12345678901234567891n))).toBe("0.12345678901234567891");
  expect(String(new Decimal(-5, -12345678901234567891n))).toBe("-123456789012345.67891");
  expect(String(new Decimal(3, 12345678901234567891n))).toBe("12345678901234567891000");
  expect(String(new Decimal(400, 7))).toBe("7e400");
  expect(String(new Decimal(-400, 7))).toBe("7e-400");
  expect(new Decimal(-1, 12345678901234567891n).toNumber()).toBe(Number("1234567890123456789.1"));
});
