import { secp256k1 } from "@noble/curves/secp256k1.js";
import { keccak256 } from "#native";
import { concat, fromHex, type Hex, toBigInt, toHex, uint, utf8 } from "./bytes.ts";
import { demand } from "./errors.ts";
import { checkPlace, cover, MAX_NODES, type NodePlace, type SlotRange, type TreeNode } from "./keytree.ts";
import { merkleTree, type MerkleTree } from "./merkle.ts";
import { hashStruct, word } from "./struct.ts";
import { DEAL, type Deal } from "./types.ts";

// Delivery of keys: one public key a cover node, so that a wrong key can be shown by opening that one node alone.

const N = secp256k1.Point.CURVE().n;
const G = secp256k1.Point.BASE;

/** A point as contracts take it: x, and its parity as v 27 (even) or 28 (odd). */
export interface CompactPoint {
  x: bigint;
  v: number;
}

/** What the buyer publishes for one cover node. */
export interface KeyNode extends NodePlace, CompactPoint {}

export const dealId = (deal: Deal): Hex => hashStruct(DEAL, deal);

/** `s` = H("msec.s" ‖ r ‖ s) of a wallet's signature over DealKeys (65 bytes). */
export function dealSecret(signature: Hex): Uint8Array {
  return keccak256(concat(utf8("msec.s"), fromHex(signature, 65).subarray(0, 64)));
}

/** b_i = H("msec.b" ‖ s ‖ uint16 i) mod (n − 1) + 1. */
export function nodeScalar(secret: Uint8Array, i: number): bigint {
  demand(secret.length === 32, "deal", "a deal's secret has 32 bytes", secret.length);
  return (toBigInt(keccak256(concat(utf8("msec.b"), secret, uint(i, 2)))) % (N - 1n)) + 1n;
}

function compact(point: typeof G): CompactPoint {
  const { x, y } = point.toAffine();
  return { x, v: y % 2n === 0n ? 27 : 28 };
}

/** The curve point behind x and parity; refuses x off the curve, x = 0 and x ≥ n. */
export function liftPoint(p: CompactPoint): { x: bigint; y: bigint } {
  demand(p.x > 0n && p.x < N && (p.v === 27 || p.v === 28), "deal", "a point has 0 < x < n and v 27 or 28", p.x);
  try {
    return secp256k1.Point.fromBytes(concat(Uint8Array.of(p.v - 25), uint(p.x, 32))).toAffine();
  } catch {
    demand(false, "deal", "the point is not on the curve", p.x);
  }
}

/** The buyer's keys for the places of a cover, in order. */
export function buyerNodes(secret: Uint8Array, places: readonly NodePlace[]): KeyNode[] {
  demand(
    places.length >= 1 && places.length <= MAX_NODES,
    "deal",
    `a deal has 1 to ${MAX_NODES} cover nodes: split it`,
    places.length,
  );
  return places.map((place, i) => ({ ...place, ...compact(G.multiply(nodeScalar(secret, i))) }));
}

/** H(abi.encode(uint16 i, uint8 depth, uint32 firstSlot, uint256 Bx, uint8 vB)). */
export function keyNodeLeaf(i: number, node: KeyNode): Uint8Array {
  checkPlace(node);
  return keccak256(
    concat(
      word("uint16", i),
      word("uint8", node.depth),
      word("uint32", node.firstSlot),
      word("uint256", node.x),
      word("uint8", node.v),
    ),
  );
}

/** Tree whose root a deal pins as keysRoot. */
export function keysTree(nodes: readonly KeyNode[]): MerkleTree {
  return merkleTree(nodes.map((node, i) => keyNodeLeaf(i, node)));
}

/** Refuses a buyer's nodes that are not the canonical cover of the window without its holes, in number or in place. */
export function checkKeyNodes(
  nodes: readonly KeyNode[],
  fromSlot: number,
  toSlot: number,
  holes: readonly SlotRange[],
): void {
  const places = cover(fromSlot, toSlot, holes);
  demand(
    places.length >= 1 && places.length <= MAX_NODES,
    "deal",
    `a deal has 1 to ${MAX_NODES} cover nodes: split it`,
    places.length,
  );
  demand(
    nodes.length === places.length &&
      places.every((place, i) => nodes[i]?.depth === place.depth && nodes[i]?.firstSlot === place.firstSlot),
    "deal",
    "the nodes are not the canonical cover of the window",
    nodes.length,
  );
  nodes.forEach(liftPoint);
}

/** Where a delivery is valid; all of it goes into the mask. */
export interface DealContext {
  chainId: number;
  escrow: Hex;
  dealId: Hex;
}

function mask(context: DealContext, i: number, sharedX: bigint): Uint8Array {
  return keccak256(
    concat(
      utf8("msec.kd"),
      uint(context.chainId, 32),
      fromHex(context.escrow, 20),
      fromHex(context.dealId, 32),
      uint(i, 2),
      uint(sharedX, 32),
    ),
  );
}

const xor = (a: Uint8Array, b: Uint8Array) => a.map((byte, i) => byte ^ (b[i] as number));

export interface Delivery {
  E: CompactPoint;
  /** One masked node each, 32 bytes. */
  masked: Hex[];
}

/**
 * Masks the keys of a cover for a deal's buyer. `e` is random, 32 bytes, destroyed when the delivery is final; the scalar
 * is e mod (n − 1) + 1. Refuses an `e` whose point has x ≥ n (chance 2^−128: choose another), points off the curve, and nodes that do not fit.
 */
export function deliver(
  context: DealContext,
  e: Uint8Array,
  nodes: readonly KeyNode[],
  keys: readonly TreeNode[],
): Delivery {
  demand(e.length === 32, "deal", "e has 32 bytes", e.length);
  demand(nodes.length === keys.length, "deal", "one key a cover node", keys.length);
  const scalar = (toBigInt(e) % (N - 1n)) + 1n;
  const E = compact(G.multiply(scalar));
  liftPoint(E);
  const masked = nodes.map((node, i) => {
    const key = keys[i] as TreeNode;
    demand(key.depth === node.depth && key.firstSlot === node.firstSlot, "deal", "the key is of another node", i);
    const shared = secp256k1.Point.fromAffine(liftPoint(node)).multiply(scalar).toAffine().x;
    return toHex(xor(key.key, mask(context, i, shared)));
  });
  return { E, masked };
}

/** H(abi.encode(uint256 Ex, uint8 vE, bytes32[] masked)): what the escrow keeps of a delivery. */
export function deliveryHash({ E, masked }: Delivery): Hex {
  return toHex(
    keccak256(
      concat(
        word("uint256", E.x),
        word("uint8", E.v),
        word("uint256", 0x60),
        word("uint256", masked.length),
        ...masked.map((key) => word("bytes32", key)),
      ),
    ),
  );
}

/** H(abi.encode(uint8 state, uint64 at, uint64 atBlock, bytes32 deliveryHash)): the escrow's one word of a deal. */
export function dealWord(state: number, at: number, atBlock: number, delivery: Hex): Hex {
  return toHex(
    keccak256(concat(word("uint8", state), word("uint64", at), word("uint64", atBlock), word("bytes32", delivery))),
  );
}

/** The buyer's way back to the keys. Whether they are right is for the packs' commitments to say. */
export function unmask(
  context: DealContext,
  secret: Uint8Array,
  nodes: readonly KeyNode[],
  delivery: Delivery,
): TreeNode[] {
  demand(delivery.masked.length === nodes.length, "deal", "one masked key a cover node", delivery.masked.length);
  const E = secp256k1.Point.fromAffine(liftPoint(delivery.E));
  return nodes.map((node, i) => {
    const shared = E.multiply(nodeScalar(secret, i)).toAffine().x;
    const key = xor(fromHex(delivery.masked[i] as Hex, 32), mask(context, i, shared));
    return { depth: node.depth, firstSlot: node.firstSlot, key };
  });
}

/** What a buyer shows on chain for one node: its scalar, its point, and the shared point b·E in full. */
export interface WrongKeyWitness {
  b: bigint;
  B: { x: bigint; y: bigint };
  S: { x: bigint; y: bigint };
}

export function wrongKeyWitness(secret: Uint8Array, i: number, delivery: Delivery): WrongKeyWitness {
  const b = nodeScalar(secret, i);
  return {
    b,
    B: G.multiply(b).toAffine(),
    S: secp256k1.Point.fromAffine(liftPoint(delivery.E)).multiply(b).toAffine(),
  };
}
