import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  batchContext,
  batchNode,
  batchOf,
  batchSlots,
  batchStartMs,
  checkSharedPoint,
  deliver,
  derive,
  type Hex,
  nodeScalar,
  proveSharedPoint,
  rootNode,
  slotBits,
  slotsOfBits,
  slotTimes,
  subscriptionId,
  subscriptionKey,
  type SubscriptionTerms,
  toHex,
  unmask,
} from "../src/index.ts";

const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
const depth = fc.integer({ min: 24, max: 32 });
const word = (byte: string): Hex => `0x${byte.repeat(32)}`;
const account = (byte: string): Hex => `0x${byte.repeat(20)}`;

const terms = (secret: Uint8Array, at: number): SubscriptionTerms => {
  const key = subscriptionKey(secret);
  return {
    streamId: word("51"),
    seller: account("5e"),
    deliverer: account("d1"),
    fallbackDeliverer: account("d2"),
    token: account("70"),
    slotPrice: 10n,
    feePerMille: 50,
    bond: 5n,
    depth: at,
    slotSeconds: 60,
    deliverSeconds: 60,
    complainSeconds: 60,
    silenceSeconds: 36_000,
    licence: word("00"),
    anchor: account("a1"),
    buyer: account("b1"),
    keyX: key.x,
    keyV: key.v,
    fromBatch: 1,
    purpose: word("00"),
    erasures: 0,
    nonce: word("0e"),
  };
};

describe("a batch", () => {
  test("covers the slots that lie in it and no others, back to back, from its start on", () => {
    fc.assert(
      fc.property(depth, fc.integer({ min: 0, max: 2 ** 24 - 2 }), fc.nat(255), (d, number, i) => {
        const [from, to] = batchSlots({ depth: d }, number);
        const slot = from + (i % (to - from + 1));
        expect(batchOf({ depth: d }, slot)).toBe(number);
        expect(batchSlots({ depth: d }, number + 1)[0]).toBe(to + 1);
        expect(batchStartMs({ depth: d, slotSeconds: 10 }, number)).toBe(slotTimes(from, 10).fromMs);
      }),
    );
  });

  test("says which slots hold data, and nothing beyond it", () => {
    fc.assert(
      fc.property(depth, fc.nat(1000), fc.uniqueArray(fc.nat(255)), (d, number, places) => {
        const [from, to] = batchSlots({ depth: d }, number);
        const slots = [...new Set(places.map((p) => from + (p % (to - from + 1))))].sort((a, b) => a - b);
        const bits = slotBits({ depth: d }, number, slots);
        expect(slotsOfBits({ depth: d }, number, bits)).toEqual(slots);
        expect(() => slotBits({ depth: d }, number, [to + 1])).toThrow(/another batch/);
        expect(() => slotsOfBits({ depth: d }, number, 1n << BigInt(to - from + 1))).toThrow(/beyond the batch/);
      }),
    );
    expect(() => slotBits({ depth: 23 }, 1, [])).toThrow(/depth 24 to 32/);
  });

  test("is opened by the buyer, and by no other batch's mask or secret", () => {
    fc.assert(
      fc.property(bytes, bytes, bytes, depth, fc.nat(100_000), (secret, seed, e, d, number) => {
        const given = terms(secret, d);
        const id = subscriptionId(given);
        const node = batchNode(given, number);
        const keys = derive([rootNode(seed)], [node]);
        const context = (n: number) => batchContext(1337, account("c0"), id, n);
        const made = deliver(context(number), e, [node], keys);
        expect(unmask(context(number), secret, [node], made)).toEqual(keys);
        expect(unmask(context(number + 1), secret, [node], made)).not.toEqual(keys);
        expect(unmask(context(number), seed, [node], made)).not.toEqual(keys);
      }),
      { numRuns: 20 },
    );
  });
});

describe("the proof of a shared point", () => {
  test("holds for its batch, keys and point alone, and does not hold the private key", () => {
    fc.assert(
      fc.property(bytes, bytes, bytes, fc.nat(8), (secret, e, context, field) => {
        const [B, E, id] = [subscriptionKey(secret), subscriptionKey(e), toHex(context)];
        const proof = proveSharedPoint(secret, E, id);
        expect(checkSharedPoint(proof, id, B, E)).toBe(true);
        expect(checkSharedPoint(proof, toHex(secret), B, E)).toBe(false);
        expect(checkSharedPoint(proof, id, E, E)).toBe(false);
        expect(checkSharedPoint(proof, id, B, B)).toBe(false);
        const name = Object.keys(proof)[field] as keyof typeof proof;
        const other = name === "v" ? 55 - proof.v : proof[name] + 1n;
        expect(checkSharedPoint({ ...proof, [name]: other }, id, B, E)).toBe(false);
        expect(Object.values(proof)).not.toContain(nodeScalar(secret, 0));
      }),
      { numRuns: 20 },
    );
  });

  test("shares no k between batches: two proofs with one k would give the private key away", () => {
    const [secret, e] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
    const E = subscriptionKey(e);
    const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const b = nodeScalar(secret, 0);
    const k = (id: Hex, point = E) => {
      const { c, z } = proveSharedPoint(secret, point, id);
      return (((z - c * b) % N) + N) % N;
    };
    const all = [k(word("01")), k(word("02")), k(word("01"), subscriptionKey(secret))];
    expect(new Set(all).size).toBe(3);
    expect(k(word("01"))).toBe(all[0]);
  });
});
