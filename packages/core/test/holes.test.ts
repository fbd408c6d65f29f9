import { cover, holesOf, type SlotRange } from "../src/index.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

describe("holesOf", () => {
  test("clips to the window, merges what overlaps or touches, drops what is outside", () => {
    expect(holesOf([], 0, 9)).toEqual([]);
    expect(holesOf([[0, 100]], 10, 20)).toEqual([[10, 20]]);
    expect(holesOf([[5, 10], [11, 12], [14, 15]], 0, 20)).toEqual([[5, 12], [14, 15]]); // prettier-ignore
    expect(holesOf([[8, 9], [2, 3], [3, 5], [30, 40]], 3, 20)).toEqual([[3, 5], [8, 9]]); // prettier-ignore
    expect(holesOf([[2, 9], [4, 5]], 0, 20)).toEqual([[2, 9]]); // prettier-ignore
  });

  test("is the canonical form of the erased slots of the window, whatever the order of erasures", () => {
    const range = fc.tuple(fc.nat(40), fc.nat(10)).map(([from, length]): SlotRange => [from, from + length]);
    fc.assert(
      fc.property(fc.array(range, { maxLength: 8 }), fc.nat(45), fc.nat(20), (erasures, from, length) => {
        const to = from + length;
        const holes = holesOf(erasures, from, to);
        const inside = (ranges: readonly SlotRange[], slot: number) => ranges.some(([a, b]) => slot >= a && slot <= b);
        for (let slot = from - 2; slot <= to + 2; slot++)
          expect(inside(holes, slot)).toBe(slot >= from && slot <= to && inside(erasures, slot));
        // Sorted, disjoint, not adjacent: `cover` refuses anything else.
        expect(() => cover(from, to, holes)).not.toThrow();
        expect(holesOf([...erasures].reverse(), from, to)).toEqual(holes);
        expect(holesOf(holes, from, to)).toEqual(holes);
      }),
    );
  });
});
