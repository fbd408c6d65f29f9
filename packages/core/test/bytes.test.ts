import fc from "fast-check";
import { expect, test } from "vitest";
import { compare, concat, equal, fromBase64, fromHex, toBase64, toBigInt, toHex, uint } from "../src/index.ts";
import { expectRefusal } from "./expect.ts";

test("hex comes back, in either case, and only hex is taken", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => equal(fromHex(toHex(bytes)), bytes)));
  expect(fromHex("0xAbCd")).toEqual(Uint8Array.of(0xab, 0xcd));
  for (const wrong of [
    "",
    "0",
    "ab",
    "0X00",
    "0x0",
    "0xg0",
    "0x0g",
    "0x 0",
    "0x00\n",
    "0xé0",
    "0x\u{10330}",
    "0x/:@G`g",
  ])
    expectRefusal("malformed", () => fromHex(wrong));
  for (const wrong of [undefined, null, 5, ["0x00"], {}]) expectRefusal("malformed", () => fromHex(wrong as string));
  expectRefusal("malformed", () => fromHex("0x00", 2), /expected 2 bytes, got 1/);
});

test("base64 agrees with Node and refuses other text", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString("base64"));
      expect(fromBase64(toBase64(bytes))).toEqual(bytes);
    }),
  );
  expect(fromBase64(toBase64(new Uint8Array(100_000).fill(7))).length).toBe(100_000);
  for (const wrong of ["A", "AA", "AA-_", "A===", "====", " AAA", "AAA\n", 5, null])
    expectRefusal("malformed", () => fromBase64(wrong));
});

test("unsigned integers are big-endian and bounded", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.integer({ min: 7, max: 32 }), (value, length) => {
      const bytes = uint(value, length);
      expect(bytes).toEqual(uint(BigInt(value), length));
      expect(bytes.length).toBe(length);
      expect(toBigInt(bytes)).toBe(BigInt(value));
    }),
  );
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (1n << 256n) - 1n }), (value) => toBigInt(uint(value, 32)) === value),
  );
  expect(uint(0x0102, 2)).toEqual(Uint8Array.of(1, 2));
  expect(uint(2 ** 48 - 1, 6)).toEqual(new Uint8Array(6).fill(255));
  for (const [value, length] of [
    [256, 1],
    [2 ** 48, 6],
    [-1, 4],
    [0.5, 4],
    [2 ** 53, 8],
    [NaN, 8],
    [1n << 64n, 8],
    [-1n, 8],
  ] as const)
    expectRefusal("malformed", () => uint(value, length));
  expect(toBigInt(new Uint8Array())).toBe(0n);
});

test("order is lexicographic", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4 }), fc.uint8Array({ maxLength: 4 }), (a, b) => {
      expect(Math.sign(compare(a, b))).toBe(Buffer.compare(a, b));
      expect(equal(a, b)).toBe(Buffer.compare(a, b) === 0);
      expect(concat(a, b)).toEqual(new Uint8Array(Buffer.concat([a, b])));
    }),
  );
});
