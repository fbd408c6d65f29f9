import { secp256k1 } from "@noble/curves/secp256k1.js";
import { keccak256 } from "#native";
import { concat, fromHex, type Hex, toBigInt, toHex, utf8 } from "./bytes.ts";
import { type CompactPoint, type DealContext, type KeyNode, liftPoint, nodeScalar } from "./delivery.ts";
import { demand } from "./errors.ts";
import { DEPTH, nodeSize } from "./keytree.ts";
import { type Domain, hashStruct, word } from "./struct.ts";
import { SUBSCRIPTION_OFFER, SUBSCRIPTION_TERMS, type SubscriptionOffer, type SubscriptionTerms } from "./types.ts";

// Subscriptions: a batch of slots is one node of the key tree, delivered to one public key under a fresh E each time.

const { n: N, p: P } = secp256k1.Point.CURVE();
const G = secp256k1.Point.BASE;
const TAG = keccak256(utf8("msec.shared"));

/** Least depth of a batch's node: its slots fit the bits of a word. */
export const LEAST_BATCH_DEPTH = 24;

export const subscriptionDomain = (chainId: number, subscription: Hex): Domain => ({
  name: "Subscription",
  chainId,
  verifyingContract: subscription,
});

export const subscriptionOfferId = (offer: SubscriptionOffer): Hex => hashStruct(SUBSCRIPTION_OFFER, offer);
export const subscriptionId = (terms: SubscriptionTerms): Hex => hashStruct(SUBSCRIPTION_TERMS, terms);

/** H(abi.encode(bytes32 subscriptionId, uint32 number)): what a batch's mask and proof are bound to. */
export const batchId = (subscription: Hex, number: number): Hex =>
  toHex(keccak256(concat(word("bytes32", subscription), word("uint32", number))));

/** Number of the batch that a slot lies in. */
export const batchOf = (terms: { depth: number }, slot: number): number => Math.floor(slot / nodeSize(terms.depth));

/** First and last slot of a batch. */
export function batchSlots(terms: { depth: number }, number: number): [from: number, to: number] {
  const size = nodeSize(terms.depth);
  return [number * size, (number + 1) * size - 1];
}

/** Unix milliseconds at which a batch starts; it is over when the next one starts. */
export const batchStartMs = (terms: { depth: number; slotSeconds: number }, number: number): number =>
  number * nodeSize(terms.depth) * terms.slotSeconds * 1000;

/** The one node of a batch with the buyer's key, as `deliver` and `unmask` take it. */
export function batchNode(terms: SubscriptionTerms, number: number): KeyNode {
  return { depth: terms.depth, firstSlot: batchSlots(terms, number)[0], x: terms.keyX, v: terms.keyV };
}

/** Where a batch's delivery is valid. */
export function batchContext(chainId: number, contract: Hex, subscription: Hex, number: number): DealContext {
  return { chainId, escrow: contract, dealId: batchId(subscription, number) };
}

/** The public key of a subscription's secret: of the scalar b_0. */
export function subscriptionKey(secret: Uint8Array): CompactPoint {
  return compact(G.multiply(nodeScalar(secret, 0)));
}

/** Bit i: slot i of the batch is among `slots`. */
export function slotBits(terms: { depth: number }, number: number, slots: Iterable<number>): bigint {
  demand(
    terms.depth >= LEAST_BATCH_DEPTH && terms.depth <= DEPTH,
    "deal",
    `a batch's node has depth ${LEAST_BATCH_DEPTH} to ${DEPTH}`,
    terms.depth,
  );
  const [from, to] = batchSlots(terms, number);
  let bits = 0n;
  for (const slot of slots) {
    demand(slot >= from && slot <= to, "deal", "the slot lies in another batch", slot);
    bits |= 1n << BigInt(slot - from);
  }
  return bits;
}

/** The slots of a batch that bits name, ascending. */
export function slotsOfBits(terms: { depth: number }, number: number, bits: bigint): number[] {
  const [from, to] = batchSlots(terms, number);
  const slots: number[] = [];
  for (let slot = from; slot <= to; slot++) if ((bits >> BigInt(slot - from)) & 1n) slots.push(slot);
  demand(bits >> BigInt(to - from + 1) === 0n, "deal", "bits beyond the batch", bits);
  return slots;
}

/** S = b·E, with a proof that it is, which says nothing else of b; fields as in contracts/market/SharedPoint.sol. */
export interface SharedPoint extends CompactPoint {
  c: bigint;
  z: bigint;
  Px: bigint;
  Py: bigint;
  Qx: bigint;
  Qy: bigint;
  /** 1 / (Px − Qx) modulo p. */
  inverse: bigint;
}

type Point = typeof G;

function compact(point: Point): CompactPoint {
  const { x, y } = point.toAffine();
  return { x, v: y % 2n === 0n ? 27 : 28 };
}

const pointWords = (p: CompactPoint) => concat(word("uint256", p.x), word("uint8", p.v));

/** c = H(H(tag ‖ context ‖ B ‖ E ‖ S) ‖ address(A) ‖ A') mod n, each in words of 32 bytes. */
function challenge(context: Hex, B: CompactPoint, E: CompactPoint, S: CompactPoint, A: Point, A2: Point): bigint {
  const [first, second] = [A.toAffine(), A2.toAffine()];
  const address = keccak256(concat(word("uint256", first.x), word("uint256", first.y))).subarray(12);
  const statement = keccak256(concat(TAG, word("bytes32", context), pointWords(B), pointWords(E), pointWords(S)));
  const commitments = [word("address", toHex(address)), word("uint256", second.x), word("uint256", second.y)];
  const hash = keccak256(concat(statement, ...commitments));
  return toBigInt(hash) % N;
}

/**
 * The shared point of a batch for all to check: Chaum and Pedersen's proof of equal logarithms, with the hash as the
 * verifier. `context` is the batch's id. k is derived from secret, E and context, so that no two proofs share one.
 */
export function proveSharedPoint(secret: Uint8Array, E: CompactPoint, context: Hex): SharedPoint {
  const b = nodeScalar(secret, 0);
  const e = secp256k1.Point.fromAffine(liftPoint(E));
  const S = e.multiply(b);
  const seed = keccak256(concat(utf8("msec.k"), secret, pointWords(E), fromHex(context, 32)));
  const k = (toBigInt(seed) % (N - 1n)) + 1n;
  const c = challenge(context, compact(G.multiply(b)), E, compact(S), G.multiply(k), e.multiply(k));
  const z = (k + c * b) % N;
  const [p, q] = [e.multiply(z).toAffine(), S.multiply(c).toAffine()];
  const inverse = secp256k1.Point.Fp.inv((p.x - q.x + P) % P);
  return { ...compact(S), c, z, Px: p.x, Py: p.y, Qx: q.x, Qy: q.y, inverse };
}

/** Whether S is the shared point of B and E, as the contract judges it. */
export function checkSharedPoint(proof: SharedPoint, context: Hex, B: CompactPoint, E: CompactPoint): boolean {
  const { c, z } = proof;
  if (c <= 0n || c >= N || z <= 0n || z >= N) return false;
  try {
    const [b, e, s] = [B, E, proof].map((point) => secp256k1.Point.fromAffine(liftPoint(point))) as [
      Point,
      Point,
      Point,
    ];
    const [p, q] = [e.multiply(z), s.multiply(c)];
    const [pa, qa] = [p.toAffine(), q.toAffine()];
    if (pa.x !== proof.Px || pa.y !== proof.Py || qa.x !== proof.Qx || qa.y !== proof.Qy) return false;
    if ((((pa.x - qa.x + P) % P) * proof.inverse) % P !== 1n) return false;
    const A = G.multiply(z).subtract(b.multiply(c));
    return challenge(context, B, E, proof, A, p.subtract(q)) === c;
  } catch {
    return false;
  }
}
