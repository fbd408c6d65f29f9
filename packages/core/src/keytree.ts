import { keccak256 } from "#native";
import { concat, fromHex, type Hex, toHex, uint } from "./bytes.ts";
import { demand } from "./errors.ts";

// One seed a stream, a binary tree of depth 32 over time slots, a key per pack.

export const DEPTH = 32;
export const LAST_SLOT = 0xffffffff;
/** Largest number of cover nodes in one deal. */
export const MAX_NODES = 48;

/** Inclusive range of slots. */
export type SlotRange = readonly [from: number, to: number];

/** Where a node sits: `depth` 0 … 32 and the first slot that it covers. */
export interface NodePlace {
  depth: number;
  firstSlot: number;
}

export interface TreeNode extends NodePlace {
  /** 32 bytes, secret. */
  key: Uint8Array;
}

/** Slots covered by a node at `depth`. */
export const nodeSize = (depth: number): number => 2 ** (DEPTH - depth);
export const lastSlotOf = (node: NodePlace): number => node.firstSlot + nodeSize(node.depth) - 1;

const STEP = [Uint8Array.of(0x00), Uint8Array.of(0x01)] as const;

function checkSlot(slot: number): void {
  demand(Number.isInteger(slot) && slot >= 0 && slot <= LAST_SLOT, "key-tree", "a slot is a uint32", slot);
}

/** A child of a node: 0 left, 1 right. */
function child(node: TreeNode, bit: 0 | 1): TreeNode {
  const depth = node.depth + 1;
  return {
    depth,
    firstSlot: node.firstSlot + bit * nodeSize(depth),
    key: keccak256(concat(STEP[bit], node.key)),
  };
}

/** The node at `place`, derived from one that covers it. */
function descend(from: TreeNode, place: NodePlace): TreeNode {
  let node = from;
  while (node.depth < place.depth)
    node = child(node, place.firstSlot >= node.firstSlot + nodeSize(node.depth + 1) ? 1 : 0);
  return node;
}

/** Root of a stream's tree. */
export function rootNode(seed: Uint8Array): TreeNode {
  demand(seed.length === 32, "key-tree", "a seed has 32 bytes", seed.length);
  return { depth: 0, firstSlot: 0, key: seed };
}

/** Refuses holes that are not sorted, disjoint, apart from one another and inside the window. */
export function checkHoles(fromSlot: number, toSlot: number, holes: readonly SlotRange[]): void {
  checkSlot(fromSlot);
  checkSlot(toSlot);
  demand(fromSlot <= toSlot, "key-tree", "a window ends at or after its start", [fromSlot, toSlot]);
  let previous = -2;
  for (const [from, to] of holes) {
    checkSlot(from);
    checkSlot(to);
    demand(
      from <= to && from > previous + 1 && from >= fromSlot && to <= toSlot,
      "key-tree",
      "holes are sorted, disjoint, not adjacent and inside the window",
      [from, to],
    );
    previous = to;
  }
}

/** H(uint32 from ‖ uint32 to ‖ …); H("") without holes. */
export function holesHash(holes: readonly SlotRange[]): Hex {
  return toHex(keccak256(concat(...holes.flatMap(([from, to]) => [uint(from, 4), uint(to, 4)]))));
}

/** What is left of a window without its holes, ascending. */
export function remaining(fromSlot: number, toSlot: number, holes: readonly SlotRange[]): SlotRange[] {
  checkHoles(fromSlot, toSlot, holes);
  const out: SlotRange[] = [];
  let at = fromSlot;
  for (const [from, to] of holes) {
    if (from > at) out.push([at, from - 1]);
    at = to + 1;
  }
  if (at <= toSlot) out.push([at, toSlot]);
  return out;
}

/** The canonical cover of a window without its holes: greedy, the largest aligned node each time, ascending. */
export function cover(fromSlot: number, toSlot: number, holes: readonly SlotRange[] = []): NodePlace[] {
  const places: NodePlace[] = [];
  for (const [from, to] of remaining(fromSlot, toSlot, holes)) {
    let at = from;
    while (at <= to) {
      let depth = DEPTH;
      while (depth > 0 && at % nodeSize(depth - 1) === 0 && at + nodeSize(depth - 1) - 1 <= to) depth--;
      places.push({ depth, firstSlot: at });
      at += nodeSize(depth);
    }
  }
  return places;
}

/** The node of `nodes` that covers `slot`, if any. Nodes are ascending and disjoint. */
export function nodeCovering<N extends NodePlace>(nodes: readonly N[], slot: number): N | undefined {
  let low = 0;
  let high = nodes.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const node = nodes[middle] as N;
    if (slot < node.firstSlot) high = middle - 1;
    else if (slot > lastSlotOf(node)) low = middle + 1;
    else return node;
  }
  return undefined;
}

/** The nodes at `places`, derived from a frontier; a place that the frontier no longer covers is refused as erased. */
export function derive(frontier: readonly TreeNode[], places: readonly NodePlace[]): TreeNode[] {
  return places.map((place) => {
    const above = nodeCovering(frontier, place.firstSlot);
    demand(
      above !== undefined && above.depth <= place.depth,
      "erased",
      `the key of slots ${place.firstSlot} to ${lastSlotOf(place)} is not held any more`,
      place,
    );
    return descend(above, place);
  });
}

/** Leaf node of one slot. */
export function leafNode(frontier: readonly TreeNode[], slot: number): Uint8Array {
  checkSlot(slot);
  return (derive(frontier, [{ depth: DEPTH, firstSlot: slot }])[0] as TreeNode).key;
}

/**
 * Takes the slots `from` to `to` out of a frontier: every node above them goes, the siblings come in. What comes back
 * is the canonical cover of what is left; slots already gone stay gone.
 */
export function puncture(frontier: readonly TreeNode[], from: number, to: number): TreeNode[] {
  checkHoles(from, to, []);
  const out: TreeNode[] = [];
  const keep = (node: TreeNode): void => {
    if (node.firstSlot > to || lastSlotOf(node) < from) out.push(node);
    else if (node.firstSlot < from || lastSlotOf(node) > to) {
      keep(child(node, 0));
      keep(child(node, 1));
    }
  };
  frontier.forEach(keep);
  return out;
}

const NODE_BYTES = 37;

/** Nodes as bytes: uint8 depth ‖ uint32 firstSlot ‖ key each. */
export function encodeNodes(nodes: readonly TreeNode[]): Uint8Array {
  const out = new Uint8Array(nodes.length * NODE_BYTES);
  const view = new DataView(out.buffer);
  nodes.forEach((node, i) => {
    demand(node.key.length === 32, "key-tree", "a node has 32 bytes", node.key.length);
    view.setUint8(i * NODE_BYTES, node.depth);
    view.setUint32(i * NODE_BYTES + 1, node.firstSlot);
    out.set(node.key, i * NODE_BYTES + 5);
  });
  return out;
}

export function decodeNodes(bytes: Uint8Array): TreeNode[] {
  demand(bytes.length % NODE_BYTES === 0, "key-tree", `a node takes ${NODE_BYTES} bytes`, bytes.length);
  const nodes: TreeNode[] = [];
  let after = -1;
  for (let at = 0; at < bytes.length; at += NODE_BYTES) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, NODE_BYTES);
    const node = {
      depth: view.getUint8(0),
      firstSlot: view.getUint32(1),
      key: new Uint8Array(bytes.subarray(at + 5, at + NODE_BYTES)),
    };
    checkPlace(node);
    demand(node.firstSlot > after, "key-tree", "nodes are ascending and disjoint", node.firstSlot);
    after = lastSlotOf(node);
    nodes.push(node);
  }
  return nodes;
}

/** Refuses a depth over 32 and a first slot that is not aligned to its depth. */
export function checkPlace(place: NodePlace): void {
  demand(Number.isInteger(place.depth) && place.depth >= 0 && place.depth <= DEPTH, "key-tree", "depth 0 to 32", place);
  checkSlot(place.firstSlot);
  demand(place.firstSlot % nodeSize(place.depth) === 0, "key-tree", "a node starts at a multiple of its size", place);
}

const PACK_KEY = Uint8Array.of(0x02);
const COMMITMENT = Uint8Array.of(0x03);

/** streamId ‖ uint32 keyEpoch ‖ uint64 seq: 44 bytes, authenticated by the cipher and bound into the pack's key. */
export function packAad(streamId: Hex, keyEpoch: number, seq: number): Uint8Array {
  return concat(fromHex(streamId, 32), uint(keyEpoch, 4), uint(seq, 8));
}

/** Key of one pack: H(0x02 ‖ leaf node of its slot ‖ aad). */
export function packKey(leaf: Uint8Array, aad: Uint8Array): Uint8Array {
  return keccak256(concat(PACK_KEY, leaf, aad));
}

/** H(0x03 ‖ packKey): the cipher does not commit to its key, this does. */
export function keyCommitment(key: Uint8Array): Uint8Array {
  return keccak256(concat(COMMITMENT, key));
}
