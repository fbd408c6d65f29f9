import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  checkPlace,
  concat,
  cover,
  decodeNodes,
  derive,
  encodeNodes,
  holesHash,
  keccak256,
  keyCommitment,
  LAST_SLOT,
  lastSlotOf,
  leafNode,
  nodeCovering,
  type NodePlace,
  nodeSize,
  packAad,
  packKey,
  puncture,
  remaining,
  rootNode,
  type SlotRange,
  toHex,
  type TreeNode,
  uint,
  utf8,
} from "../src/index.ts";
import { mutated, uint32 } from "./arbitraries.ts";
import { expectRefusal, neverCrashes } from "./expect.ts";

const seed = new Uint8Array(32).fill(5);
const root = rootNode(seed);

/** The leaf's key straight from the definition: bit 31 − d of the slot at depth d, 0 = left. */
function leafByDefinition(slot: number): Uint8Array {
  let node: Uint8Array = seed;
  for (let d = 0; d < 32; d++) node = keccak256(concat(Uint8Array.of((slot >>> (31 - d)) & 1), node));
  return node;
}

/** A window and holes in it, within `span` slots so that they can be counted one by one. */
const windowIn = (span: number, base: fc.Arbitrary<number>) =>
  fc.tuple(base, fc.array(fc.nat(span - 1), { minLength: 2, maxLength: 12 })).map(([start, marks]) => {
    const at = [...new Set(marks)].sort((a, b) => a - b).map((m) => start + m);
    const from = at[0] as number;
    const to = at[at.length - 1] as number;
    const holes: SlotRange[] = [];
    for (let i = 1; i + 1 < at.length; i += 2) {
      const [a, b] = [at[i] as number, at[i + 1] as number];
      const before = holes[holes.length - 1];
      if (before === undefined || a > before[1] + 1) holes.push([a, b]);
    }
    return { from, to, holes };
  });
const anyBase = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: LAST_SLOT - 300 }), fc.constant(LAST_SLOT - 299));
const anyWindow = windowIn(300, anyBase);

const inHole = (holes: readonly SlotRange[], slot: number) => holes.some(([a, b]) => slot >= a && slot <= b);
const nodesOnly = (places: readonly NodePlace[]) => places.map(({ depth, firstSlot }) => ({ depth, firstSlot }));

/** The fewest aligned nodes that cover a set of slots: a node is taken where all of its slots are in the set. */
function coverByBruteForce(slots: Set<number>): NodePlace[] {
  const out: NodePlace[] = [];
  for (const slot of [...slots].sort((a, b) => a - b)) {
    let place = { depth: 32, firstSlot: slot };
    for (let depth = 31; depth >= 0; depth--) {
      const firstSlot = slot - (slot % nodeSize(depth));
      if (nodeSize(depth) > slots.size) break;
      let all = true;
      for (let s = firstSlot; s < firstSlot + nodeSize(depth); s++) all &&= slots.has(s);
      if (!all) break;
      place = { depth, firstSlot };
    }
    if (place.firstSlot === slot || !out.some((p) => slot >= p.firstSlot && slot <= lastSlotOf(p))) out.push(place);
  }
  return out;
}

test("leaves come from the definition", () => {
  fc.assert(
    fc.property(fc.oneof(uint32, fc.constantFrom(0, 1, LAST_SLOT, 0x80000000)), (slot) => {
      expect(leafNode([root], slot)).toEqual(leafByDefinition(slot));
    }),
  );
  expectRefusal("key-tree", () => rootNode(new Uint8Array(31)));
  for (const slot of [-1, 0.5, LAST_SLOT + 1, NaN]) expectRefusal("key-tree", () => leafNode([root], slot));
});

describe("covers", () => {
  test("sizes: an hour of minutes, a day, a year, everything", () => {
    const sizes = (length: number) => {
      const all = Array.from(
        { length: 500 },
        (_, i) => cover(29_000_000 + i * 61, 29_000_000 + i * 61 + length - 1).length,
      );
      return { most: Math.max(...all), mean: all.reduce((a, b) => a + b) / all.length };
    };
    const hour = sizes(60);
    expect(hour.most).toBeLessThanOrEqual(10);
    expect(hour.mean).toBeGreaterThan(5.5);
    expect(hour.mean).toBeLessThan(8.5);
    expect(sizes(525_600).most).toBeLessThanOrEqual(36);
    expect(sizes(525_600).mean).toBeGreaterThan(15);
    expect(sizes(525_600).mean).toBeLessThan(23);
    expect(cover(0, LAST_SLOT)).toEqual([{ depth: 0, firstSlot: 0 }]);
    expect(cover(1, LAST_SLOT - 1).length).toBe(62);
    expect(cover(7, 7)).toEqual([{ depth: 32, firstSlot: 7 }]);
  });

  test("are the fewest aligned nodes over exactly the window without its holes, ascending", () => {
    fc.assert(
      fc.property(anyWindow, ({ from, to, holes }) => {
        const slots = new Set<number>();
        for (let s = from; s <= to; s++) if (!inHole(holes, s)) slots.add(s);
        const places = cover(from, to, holes);
        expect(places).toEqual(coverByBruteForce(slots));
        const covered = places.flatMap((p) => Array.from({ length: nodeSize(p.depth) }, (_, i) => p.firstSlot + i));
        expect(covered).toEqual([...slots]);
        places.forEach(checkPlace);
      }),
      { numRuns: 300 },
    );
  });

  test("derived nodes give each slot its leaf and no other slot any", () => {
    fc.assert(
      fc.property(anyWindow, ({ from, to, holes }) => {
        const nodes = derive([root], cover(from, to, holes));
        for (let s = Math.max(0, from - 2); s <= Math.min(LAST_SLOT, to + 2); s += 7) {
          const node = nodeCovering(nodes, s);
          const inside = s >= from && s <= to && !inHole(holes, s);
          expect(node !== undefined).toBe(inside);
          if (inside) expect(leafNode(nodes, s)).toEqual(leafByDefinition(s));
          else expectRefusal("erased", () => leafNode(nodes, s));
        }
      }),
      { numRuns: 50 },
    );
  });

  test("holes out of order, overlapping, adjacent or outside are refused", () => {
    const wrong: SlotRange[][] = [
      [[12, 11]],
      [[9, 11]],
      [[11, 21]],
      [[11, 12], [13, 14]],
      [[11, 14], [13, 16]],
      [[15, 16], [11, 12]],
      [[11.5, 12]],
    ]; // prettier-ignore
    for (const holes of wrong) expectRefusal("key-tree", () => cover(10, 20, holes));
    expectRefusal("key-tree", () => cover(5, 4));
    expectRefusal("key-tree", () => cover(0, LAST_SLOT + 1));
    expect(cover(10, 20, [[10, 20]])).toEqual([]);
    expect(remaining(10, 20, [[10, 10], [12, 13], [20, 20]])).toEqual([[11, 11], [14, 19]]); // prettier-ignore
  });
});

describe("punctures", () => {
  test("leave the canonical cover of what is left, whatever their order", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(400), fc.nat(40)), { minLength: 1, maxLength: 8 }),
        anyBase.filter((b) => b <= LAST_SLOT - 500),
        (cuts, base) => {
          let frontier: TreeNode[] = [root];
          const gone = new Set<number>();
          for (const [at, length] of cuts) {
            frontier = puncture(frontier, base + at, base + at + length);
            for (let s = at; s <= at + length; s++) gone.add(base + s);
          }
          const holes: [number, number][] = [];
          for (const s of [...gone].sort((a, b) => a - b)) {
            const last = holes[holes.length - 1];
            if (last && last[1] === s - 1) last[1] = s;
            else holes.push([s, s]);
          }
          expect(nodesOnly(frontier)).toEqual(cover(0, LAST_SLOT, holes));
          expect(frontier).toEqual(derive([root], cover(0, LAST_SLOT, holes)));
          for (let s = base; s <= base + 450; s += 9) {
            if (gone.has(s)) expectRefusal("erased", () => leafNode(frontier, s));
            else expect(leafNode(frontier, s)).toEqual(leafByDefinition(s));
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  test("everything can be erased, and twice is once", () => {
    expect(puncture([root], 0, LAST_SLOT)).toEqual([]);
    const once = puncture([root], 5, 9);
    expect(puncture(once, 5, 9)).toEqual(once);
    expect(puncture([root], 0, 0).length).toBe(32);
    expectRefusal("key-tree", () => puncture([root], 9, 5));
  });
});

test("a frontier of many punctures is written and read", () => {
  const long = Array.from({ length: 70_000 }, (_, i) => ({ depth: 32, firstSlot: 2 * i, key: seed }));
  const read = decodeNodes(encodeNodes(long));
  expect(read.length).toBe(long.length);
  expect(read[69_999]).toEqual(long[69_999]);
});

test("nodes as bytes come back; damaged ones are refused or read, never worse", () => {
  const frontier = anyWindow.map(({ from, to, holes }) => derive([root], cover(from, to, holes)));
  fc.assert(
    fc.property(frontier, (nodes) => void expect(decodeNodes(encodeNodes(nodes))).toEqual(nodes)),
    { numRuns: 50 },
  );
  fc.assert(fc.property(mutated(frontier.map(encodeNodes)), (bytes) => neverCrashes(() => decodeNodes(bytes))));
  const [node] = derive([root], [{ depth: 31, firstSlot: 4 }]) as [TreeNode];
  const wrong = [
    [node, node],
    [{ ...node, depth: 33 }],
    [{ ...node, firstSlot: 5 }],
    [{ ...node, firstSlot: 6 }, node],
  ];
  for (const nodes of wrong) expectRefusal("key-tree", () => decodeNodes(encodeNodes(nodes)));
  const bytes = Buffer.from(encodeNodes([node]));
  const read = decodeNodes(bytes);
  bytes.fill(0);
  expect(read[0]?.key).toEqual(node.key); // a copy, also of a Buffer
});

test("a pack's key is bound to stream, key epoch and seq", () => {
  const id = toHex(new Uint8Array(32).fill(9));
  const aad = packAad(id, 0x01020304, 0x050607);
  expect(toHex(aad)).toBe(`0x${"09".repeat(32)}01020304${"0000000000050607"}`);
  expect(aad.length).toBe(44);
  const leaf = leafNode([root], 3);
  const key = packKey(leaf, aad);
  expect(key).toEqual(keccak256(concat(Uint8Array.of(2), leaf, aad)));
  expect(keyCommitment(key)).toEqual(keccak256(concat(Uint8Array.of(3), key)));
});

test("the hash of holes", () => {
  expect(holesHash([])).toBe(toHex(keccak256(utf8(""))));
  expect(holesHash([[1, 2], [5, 9]])).toBe(toHex(keccak256(concat(uint(1, 4), uint(2, 4), uint(5, 4), uint(9, 4))))); // prettier-ignore
});
