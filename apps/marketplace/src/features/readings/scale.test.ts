import { expect, test } from "vitest";
import fc from "fast-check";
import { thin, ticks } from "./scale.ts";

test("thinned points keep the least and the greatest of all, in order, and are few", () => {
  const points = fc.array(fc.record({ tMs: fc.nat(), value: fc.double({ noNaN: true, noDefaultInfinity: true }) }), {
    minLength: 1,
    maxLength: 400,
  });
  fc.assert(
    fc.property(points, fc.integer({ min: 4, max: 100 }), (given, most) => {
      const ordered = given.map(({ value }, tMs) => ({ tMs, value }));
      const few = thin(ordered, most);
      expect(few.length).toBeLessThanOrEqual(Math.max(most + 2, 2));
      const values = (list: readonly { value: number }[]) => list.map(({ value }) => value);
      expect(Math.min(...values(few))).toBe(Math.min(...values(ordered)));
      expect(Math.max(...values(few))).toBe(Math.max(...values(ordered)));
      for (let i = 1; i < few.length; i++)
        expect((few[i] as { tMs: number }).tMs).toBeGreaterThan((few[i - 1] as { tMs: number }).tMs);
    }),
  );
});

test("ticks are round and inside", () => {
  expect(ticks(0, 10, 4)).toEqual([0, 5, 10]);
  expect(ticks(-0.3, 0.31, 4)).toEqual([-0.2, 0, 0.2]);
  expect(ticks(5, 5, 4)).toEqual([5]);
});
