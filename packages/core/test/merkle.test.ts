import { SimpleMerkleTree } from "@openzeppelin/merkle-tree";
import { describe, expect, test } from "vitest";
import { keccak256, merkleDepth, merkleTree, merkleVerify, sha256, toHex, utf8 } from "../src/index.ts";
import { expectRefusal } from "./expect.ts";

const leavesOf = (n: number) => Array.from({ length: n }, (_, i) => sha256(utf8(`leaf ${i}`)));

describe("the tree of @openzeppelin/merkle-tree", () => {
  test.each(Array.from({ length: 40 }, (_, i) => i + 1))("of %i leaves", (n) => {
    const leaves = leavesOf(n);
    const ours = merkleTree(leaves);
    const theirs = SimpleMerkleTree.of(leaves.map(toHex), { sortLeaves: false });
    expect(toHex(ours.root)).toBe(theirs.root);
    expect(ours.leaves).toBe(n);
    leaves.forEach((leaf, i) => {
      const path = ours.proof(i);
      expect(path.map(toHex)).toEqual(theirs.getProof(i));
      expect(path.length).toBe(merkleDepth(i, n));
      expect(merkleVerify(ours.root, leaf, path)).toBe(true);
      expect(SimpleMerkleTree.verify(theirs.root, toHex(leaf), path.map(toHex))).toBe(true);
    });
  });
});

test("another leaf, another path, another root do not verify", () => {
  const leaves = leavesOf(13);
  const tree = merkleTree(leaves);
  leaves.forEach((leaf, i) => {
    const path = tree.proof(i);
    expect(merkleVerify(tree.root, leaves[(i + 1) % 13] as Uint8Array, path)).toBe(false);
    expect(merkleVerify(tree.root, leaf, path.slice(1))).toBe(false);
    expect(merkleVerify(tree.root, leaf, [...path, path[0] as Uint8Array])).toBe(false);
    expect(merkleVerify(keccak256(tree.root), leaf, path)).toBe(false);
  });
});

test("one leaf is its own root, and there is no empty tree", () => {
  const [leaf] = leavesOf(1) as [Uint8Array];
  expect(merkleTree([leaf]).root).toEqual(leaf);
  expect(merkleTree([leaf]).proof(0)).toEqual([]);
  expectRefusal("malformed", () => merkleTree([]));
  expectRefusal("malformed", () => merkleTree([leaf.subarray(1)]));
  for (const i of [-1, 1, 0.5, NaN]) expectRefusal("inclusion", () => merkleTree([leaf]).proof(i));
});
