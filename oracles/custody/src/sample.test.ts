import { cover, derive, type Hex, MODE, rootNode, thingText, toHex } from "@msec/core";
import { expect, test } from "vitest";
import { type Context } from "./context.ts";
import { type Line } from "./lines.ts";
import { sampleKeys } from "./sample.ts";

const ID: Hex = `0x${"5a".repeat(32)}`;
const frontier = [rootNode(new Uint8Array(32).fill(7))];

interface Change {
  mode?: number;
  ownerEpoch?: number;
  sample?: { fromSlot: number; toSlot: number } | undefined;
  erased?: [number, number][];
  seedless?: boolean;
}

const keysOf = (change: Change = {}) => {
  const sample = "sample" in change ? change.sample : { fromSlot: 100, toSlot: 123 };
  const document = thingText(ID, { title: "park/air", ...(sample ? { sample } : {}) });
  const ctx = {
    store: {
      thing: async () => ({ version: 1, document, signature: "0x" }),
      erasures: async () => (change.erased ?? []).map(([fromSlot, toSlot]) => ({ fromSlot, toSlot })),
    },
    devices: { device: async () => ({ ownerEpoch: change.ownerEpoch ?? 1 }) },
    frontiers: { get: async () => (change.seedless ? undefined : frontier) },
  } as unknown as Context;
  return sampleKeys(ctx, { id: ID, stream: { mode: change.mode ?? MODE.open, ownerEpoch: 1 } } as Line);
};
const nodes = (holes: [number, number][] = []) =>
  derive(frontier, cover(100, 123, holes)).map((node) => ({ ...node, key: toHex(node.key) }));

test("a sample's keys are those of its slots and of none besides", async () => {
  expect(await keysOf()).toEqual({ fromSlot: 100, toSlot: 123, nodes: nodes() });
});

test("what is erased is not among them", async () => {
  const erased: [number, number][] = [[0, 101], [110, 112], [500, 600]]; // prettier-ignore
  expect((await keysOf({ erased }))?.nodes).toEqual(nodes([[100, 101], [110, 112]])); // prettier-ignore
});

test.each<[string, Change]>([
  ["is not named", { sample: undefined }],
  ["is of a sealed stream", { mode: MODE.sealed }],
  ["was named by an owner before", { ownerEpoch: 2 }],
  ["is of a stream whose seed is held elsewhere", { seedless: true }],
])("nothing is given where it %s", async (_, change) => {
  expect(await keysOf(change)).toBeNull();
});
