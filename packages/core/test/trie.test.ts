import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concat, equal, keccak256, type Rlp, rlpEncode, toHex, trieValue, uint } from "../src/index.ts";
import { expectRefusal, neverCrashes } from "./expect.ts";
import { testTrie } from "./trie.ts";

const rows = fc.uniqueArray(
  fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 8 }), fc.uint8Array({ minLength: 1, maxLength: 90 })),
  { minLength: 1, maxLength: 60, selector: ([key]) => toHex(key) },
);

test("every value of a trie is proved by its nodes", () => {
  fc.assert(
    fc.property(rows, (entries) => {
      const trie = testTrie(entries);
      for (const [key, value] of entries) expect(toHex(trieValue(trie.root, key, trie.prove(key)))).toBe(toHex(value));
    }),
    { numRuns: 60 },
  );
});

test("a key that the trie does not have is not proved by any nodes of it", () => {
  fc.assert(
    fc.property(rows, fc.uint8Array({ minLength: 9, maxLength: 12 }), fc.nat(), (entries, absent, which) => {
      const trie = testTrie(entries);
      const nodes = trie.prove((entries[which % entries.length] as (typeof entries)[0])[0]);
      expectRefusal("state", () => trieValue(trie.root, absent, nodes));
    }),
    { numRuns: 200 },
  );
});

describe("a proof of a trie of 300", () => {
  const entries = Array.from({ length: 300 }, (_, i) => [uint(i, 4), uint(i + 1, 32)] as const);
  const trie = testTrie(entries);
  const [key] = entries[123] as (typeof entries)[0];
  const nodes = trie.prove(key);
  const proof =
    (changed: Uint8Array[], root = trie.root) =>
    () =>
      trieValue(root, key, changed);

  test("goes through branches to a leaf", () => {
    expect(nodes.length).toBeGreaterThan(2);
    expect(toHex(proof(nodes)())).toBe(toHex(uint(124, 32)));
  });

  test("stands with no bit changed, in nodes or root", () => {
    nodes.forEach((node, n) => {
      for (let bit = 0; bit < 8 * node.length; bit++) {
        const other = node.slice();
        other[bit >> 3] = (other[bit >> 3] as number) ^ (1 << (bit & 7));
        expectRefusal("state", proof(nodes.with(n, other)));
      }
    });
    for (let at = 0; at < 32; at++) {
      const root = trie.root.slice();
      root[at] = (root[at] as number) ^ 1;
      expectRefusal("state", proof(nodes, root));
    }
  });

  test("has no node too few, too many, twice or out of order", () => {
    const [first] = nodes as [Uint8Array];
    for (const changed of [[], nodes.slice(1), nodes.slice(0, -1), [...nodes, first], [first, ...nodes], [...nodes].reverse()])
      expectRefusal("state", proof(changed));
  }); // prettier-ignore
});

describe("nodes that hash well and are none", () => {
  const key = uint(1, 4);
  const path = keccak256(key);
  const value = uint(7, 40);
  const alone = (node: Rlp) => () => trieValue(keccak256(rlpEncode(node)), key, [rlpEncode(node)]);
  const leafPath = concat(Uint8Array.of(0x20), path);
  const nothing = new Uint8Array();

  test("the one leaf of a trie", () => expect(equal(alone([leafPath, value])(), value)).toBe(true));

  test.each<[string, Rlp]>([
    ["a leaf with a malformed flag", [concat(Uint8Array.of(0x60), path), value]],
    ["a leaf whose padding is not zero", [concat(Uint8Array.of(0x21), path), value]],
    ["a leaf with a longer path", [concat(leafPath, Uint8Array.of(0)), value]],
    ["a leaf with a shorter path", [leafPath.subarray(0, 32), value]],
    ["a leaf without a path", [nothing, value]],
    ["an extension that ends the path", [concat(Uint8Array.of(0), path), value]],
    ["an extension without a path", [Uint8Array.of(0), path]],
    ["a node of three items", [leafPath, value, value]],
    ["a branch with a value", [...Array<Rlp>(16).fill(path), value]],
    ["a branch without the child", [...Array<Rlp>(16).fill(nothing), nothing]],
    ["a child of 31 bytes", [...Array<Rlp>(16).fill(path.subarray(1)), nothing]],
    ["a long child that is not hashed", [...Array<Rlp>(16).fill([leafPath, value]), nothing]],
  ])("%s", (_, node) => {
    expect(() => alone(node)()).toThrow(/trie|proof|RLP/);
    neverCrashes(alone(node));
  });

  test("bytes that are no RLP, and a node that is no list", () => {
    for (const bytes of [nothing, Uint8Array.of(0xc1), Uint8Array.of(0x80)])
      expectRefusal("malformed", () => trieValue(keccak256(bytes), key, [bytes]));
  });
});
