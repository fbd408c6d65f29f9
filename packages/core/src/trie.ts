import { keccak256 } from "#native";
import { equal } from "./bytes.ts";
import { demand, ProtocolError } from "./errors.ts";
import { type Rlp, rlpBytes, rlpDecode, rlpEncode, rlpList } from "./rlp.ts";

// Merkle-Patricia tries (Ethereum yellow paper, appendix D) with hashed keys: the state and the storage of an account.

const nibblesOf = (bytes: Uint8Array): number[] => Array.from(bytes).flatMap((byte) => [byte >> 4, byte & 15]);

/** The path in a leaf or an extension (hex prefix encoding), and which of the two it is. */
function pathOf(encoded: Uint8Array): { isLeaf: boolean; path: number[] } {
  const nibbles = nibblesOf(encoded);
  const flag = nibbles[0] ?? 4;
  const isOdd = (flag & 1) === 1;
  demand(flag < 4 && (isOdd || nibbles[1] === 0), "state", "a node of the trie has a malformed path");
  return { isLeaf: flag >= 2, path: nibbles.slice(isOdd ? 1 : 2) };
}

/**
 * The value under a key of a trie, proved by the nodes from the root to it, as `eth_getProof` gives them. Refuses any node
 * that is missing, changed, left over or not in its one form; what is absent is not proved.
 * @param key What is hashed to the path: an account's address or a storage slot.
 */
export function trieValue(root: Uint8Array, key: Uint8Array, nodes: readonly Uint8Array[]): Uint8Array {
  const path = nibblesOf(keccak256(key));
  let used = 0;
  const load = (hash: Uint8Array): Rlp[] => {
    const node = nodes[used++];
    if (node === undefined) throw new ProtocolError("state", "a node of the proof is missing", used - 1);
    demand(equal(keccak256(node), hash), "state", "a node of the proof is not the one that its parent names", used - 1);
    return rlpList(rlpDecode(node));
  };
  /** A child that is shorter than its hash stands in its parent. */
  const child = (item: Rlp): Rlp[] => {
    if (!Array.isArray(item)) return load(rlpBytes(item, 32));
    demand(rlpEncode(item).length < 32, "state", "a node of the proof stands where its hash must");
    return item;
  };
  let node = load(root);
  for (;;) {
    if (node.length === 17) {
      demand(rlpBytes(node[16]).length === 0, "state", "a branch of the trie holds a value");
      const next = node[path.shift() ?? 16] as Rlp;
      demand(next.length > 0, "state", "the trie has nothing under this key");
      node = child(next);
      continue;
    }
    demand(node.length === 2, "state", "a node of the trie has 2 or 17 items", node.length);
    const { isLeaf, path: part } = pathOf(rlpBytes(node[0]));
    demand(
      part.every((nibble, i) => nibble === path[i]) && part.length <= path.length,
      "state",
      "the trie has another key where this one would stand",
    );
    path.splice(0, part.length);
    if (isLeaf) {
      demand(path.length === 0, "state", "the trie has another key where this one would stand");
      demand(used === nodes.length, "state", "nodes are left over behind the proof", nodes.length - used);
      return rlpBytes(node[1]);
    }
    demand(part.length > 0, "state", "an extension of the trie without a path");
    node = child(node[1] as Rlp);
    demand(node.length === 17, "state", "an extension of the trie leads to no branch");
  }
}
