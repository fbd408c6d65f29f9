import { keccak256, type Rlp, rlpEncode } from "../src/index.ts";

// Builds Merkle-Patricia tries the plain way, for tests: an independent telling of what src/trie.ts reads.

type Entry = { path: number[]; value: Uint8Array };

const nibbles = (bytes: Uint8Array) => Array.from(bytes).flatMap((byte) => [byte >> 4, byte & 15]);

function compact(path: number[], isLeaf: boolean): Uint8Array {
  const flag = (isLeaf ? 2 : 0) + (path.length % 2);
  const all = path.length % 2 === 1 ? [flag, ...path] : [flag, 0, ...path];
  return Uint8Array.from(
    { length: all.length / 2 },
    (_, i) => (all[2 * i] as number) * 16 + (all[2 * i + 1] as number),
  );
}

const refer = (node: Rlp): Rlp => {
  const bytes = rlpEncode(node);
  return bytes.length < 32 ? node : keccak256(bytes);
};

function build(entries: Entry[], depth: number): Rlp[] {
  const [first] = entries as [Entry];
  if (entries.length === 1) return [compact(first.path.slice(depth), true), first.value];
  let shared = depth;
  while (entries.every(({ path }) => path[shared] === first.path[shared])) shared++;
  if (shared > depth) return [compact(first.path.slice(depth, shared), false), refer(build(entries, shared))];
  const children = Array.from({ length: 16 }, (_, nibble) => {
    const under = entries.filter(({ path }) => path[depth] === nibble);
    return under.length === 0 ? new Uint8Array() : refer(build(under, depth + 1));
  });
  return [...children, new Uint8Array()];
}

/** Nodes of at least 32 bytes from the root to a path, or as far as the trie goes, as `eth_getProof` lists them. */
function walk(entries: Entry[], path: number[]): Uint8Array[] {
  const out: Uint8Array[] = [];
  let depth = 0;
  let under = entries;
  for (;;) {
    if (under.length === 0) return out;
    const node = build(under, depth);
    const bytes = rlpEncode(node);
    if (bytes.length >= 32 || out.length === 0) out.push(bytes);
    if (under.length === 1) return out;
    let shared = depth;
    while (under.every((e) => e.path[shared] === (under[0] as Entry).path[shared])) shared++;
    if (shared > depth) {
      depth = shared;
      continue;
    }
    under = under.filter((e) => e.path[depth] === path[depth]);
    depth++;
  }
}

export interface TestTrie {
  root: Uint8Array;
  /** Nodes that prove a key, where the trie has it. */
  prove(key: Uint8Array): Uint8Array[];
}

/** A trie over distinct keys, hashed to their paths. */
export function testTrie(rows: readonly (readonly [key: Uint8Array, value: Uint8Array])[]): TestTrie {
  const entries = rows.map(([key, value]) => ({ path: nibbles(keccak256(key)), value }));
  return {
    root: keccak256(rlpEncode(build(entries, 0))),
    prove: (key) => walk(entries, nibbles(keccak256(key))),
  };
}
