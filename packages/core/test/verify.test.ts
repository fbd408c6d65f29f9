import { expect, test } from "vitest";
import { decodeBundle, encodeBundle, verify } from "../src/index.ts";
import { anchorAll, committee, TestStream, windowBundle } from "./city.ts";

const SLOT = 29_000_000;

test("a window between two neighbours is proved complete", () => {
  const stream = new TestStream().fill(SLOT, 8, [3]);
  const anchored = anchorAll(stream, committee());
  const bundle = windowBundle(stream, anchored, SLOT + 1, SLOT + 5);
  const report = verify(decodeBundle(encodeBundle(bundle)));
  expect(report).toMatchObject({ kind: "window", packs: 4, readings: 4, emptySlots: 1, gaps: 0 });
});
