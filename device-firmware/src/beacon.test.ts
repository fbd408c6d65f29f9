import type { Hex } from "@msec/core";
import { expect, test } from "vitest";
import { BeaconWatch } from "./beacon.ts";

const h = (n: number): Hex => `0x${String(n).padStart(64, "0")}`;

test("the newest epoch on which enough operators agree; a lone one moves nothing, and it never goes back", () => {
  const watch = new BeaconWatch(2);
  watch.note(h(1), 9_000, h(666));
  watch.note(h(1), 5, h(5));
  expect(watch.newest.number).toBe(0);
  watch.note(h(2), 5, h(55));
  expect(watch.newest.number).toBe(0);
  watch.note(h(3), 5, h(5));
  expect(watch.newest).toEqual({ number: 5, digest: h(5) });
  watch.note(h(2), 4, h(4));
  watch.note(h(3), 4, h(4));
  expect(watch.newest.number).toBe(5);
});
