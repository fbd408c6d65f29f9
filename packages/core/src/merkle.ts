import { keccak256 } from "#native";
import { compare, equal } from "./bytes.ts";
import { demand } from "./errors.ts";

// OpenZeppelin's array form: tree[2n−2−i] = leaf i, an inner node is H of its sorted children.

export interface MerkleTree {
  readonly leaves: number;
  readonly root: Uint8Array;
  /** Siblings from leaf i up to the root. */
  proof(i: number): Uint8Array[];
}

const pair = new Uint8Array(64);

function hashPair(a: Uint8Array, b: Uint8Array): Uint8Array {
  demand(a.length === 32 && b.length === 32, "malformed", "a node of a Merkle tree has 32 bytes");
  const inOrder = compare(a, b) < 0;
  pair.set(inOrder ? a : b, 0);
  pair.set(inOrder ? b : a, 32);
  return keccak256(pair);
}

/** Tree over at least one 32-byte leaf; one leaf is its own root. */
export function merkleTree(leaves: readonly Uint8Array[]): MerkleTree {
  const n = leaves.length;
  demand(n > 0, "malformed", "a Merkle tree needs at least one leaf");
  const tree = new Array<Uint8Array>(2 * n - 1);
  leaves.forEach((leaf, i) => {
    demand(leaf.length === 32, "malformed", "a Merkle leaf has 32 bytes");
    tree[2 * n - 2 - i] = leaf;
  });
  for (let i = n - 2; i >= 0; i--) tree[i] = hashPair(tree[2 * i + 1] as Uint8Array, tree[2 * i + 2] as Uint8Array);
  return {
    leaves: n,
    root: tree[0] as Uint8Array,
    proof(i) {
      demand(Number.isInteger(i) && i >= 0 && i < n, "inclusion", `no leaf ${i} in a tree of ${n}`);
      const path: Uint8Array[] = [];
      for (let at = 2 * n - 2 - i; at > 0; at = (at - 1) >> 1)
        path.push(tree[at % 2 === 0 ? at - 1 : at + 1] as Uint8Array);
      return path;
    },
  };
}

/** Whether `path` leads from `leaf` to `root`. It says nothing about the leaf's index. */
export function merkleVerify(root: Uint8Array, leaf: Uint8Array, path: readonly Uint8Array[]): boolean {
  return equal(path.reduce(hashPair, leaf), root);
}

/**
 * Whether `path` leads from leaf `i` of `n` to `root`: the length of the path must be the one that the array form gives
 * this index. A path alone proves membership; a disclosed index rests on the leaf's own preimage.
 */
export function merkleDepth(i: number, n: number): number {
  let depth = 0;
  for (let at = 2 * n - 2 - i; at > 0; at = (at - 1) >> 1) depth++;
  return depth;
}
