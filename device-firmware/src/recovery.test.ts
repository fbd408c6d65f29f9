import type { Hex } from "@msec/core";
import { expect, test } from "vitest";
import { receiptedSeq, refusedByMany } from "./recovery.ts";

const a = (n: number): Hex => `0x${String(n).padStart(40, "0")}`;

test("what f + 1 organisations hold is the (f + 1)-th highest receipt", () => {
  expect(receiptedSeq(new Map(), 4)).toBe(0);
  expect(receiptedSeq(new Map([[a(1), 90]]), 4)).toBe(0);
  expect(
    receiptedSeq(
      new Map([
        [a(1), 90],
        [a(2), 7],
        [a(3), 8],
      ]),
      4,
    ),
  ).toBe(8);
  expect(receiptedSeq(new Map([[a(1), 90]]), 1)).toBe(90);
});

test("a header is refused when f + 1 say so of the same one", () => {
  const refusal = (n: number, seq: number, reason: number) => ({ seq, headerDigest: a(seq), operator: a(n), reason });
  expect(refusedByMany([refusal(1, 5, 17), refusal(2, 6, 17)], 4)).toBeUndefined();
  expect(refusedByMany([refusal(1, 5, 17), refusal(2, 5, 17)], 4)).toMatchObject({ seq: 5, ofContent: true });
  expect(refusedByMany([refusal(1, 5, 5), refusal(2, 5, 7)], 4)).toMatchObject({ seq: 5, ofContent: false });
});
