import { secp256k1 } from "@noble/curves/secp256k1.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addressOfPoint,
  buyerNodes,
  checkKeyNodes,
  concat,
  cover,
  type DealContext,
  dealSecret,
  deliver,
  derive,
  fromHex,
  keccak256,
  type KeyNode,
  keyNodeLeaf,
  keysTree,
  leafNode,
  liftPoint,
  MAX_NODES,
  merkleVerify,
  nodeScalar,
  rootNode,
  sha256,
  signDigest,
  type SlotRange,
  toBigInt,
  toHex,
  type TreeNode,
  uint,
  unmask,
  utf8,
  wrongKeyWitness,
} from "../src/index.ts";
import { bytes } from "./arbitraries.ts";
import { expectRefusal } from "./expect.ts";

const CURVE = secp256k1.Point.CURVE();
const G = secp256k1.Point.BASE;
const SLOT = 29_000_000;
const secret = dealSecret(signDigest(new Uint8Array(32).fill(3), sha256(utf8("DealKeys"))));
const e = sha256(utf8("e"));
const frontier = [rootNode(sha256(utf8("seed")))];
const context: DealContext = { chainId: 31337, escrow: `0x${"e5".repeat(20)}`, dealId: toHex(sha256(utf8("deal"))) };
const places = cover(SLOT, SLOT + 59);
const keys = derive(frontier, places);
const nodes = buyerNodes(secret, places);

test("the buyer, and nobody else, gets the keys", () => {
  const delivery = deliver(context, e, nodes, keys);
  expect(unmask(context, secret, nodes, delivery)).toEqual(keys);
  expect(leafNode(unmask(context, secret, nodes, delivery), SLOT + 7)).toEqual(leafNode(frontier, SLOT + 7));
  expect(unmask(context, sha256(secret), nodes, delivery)).not.toEqual(keys);
});

test("every part of the context goes into the mask", () => {
  const delivery = deliver(context, e, nodes, keys);
  for (const other of [
    { ...context, chainId: 1 },
    { ...context, escrow: `0x${"e6".repeat(20)}` as const },
    { ...context, dealId: toHex(sha256(utf8("other"))) },
  ]) {
    const got = unmask(other, secret, nodes, delivery);
    got.forEach((node, i) => expect(node.key).not.toEqual(keys[i]?.key));
  }
});

test("scalars and masks as the protocol spells them", () => {
  const signature = signDigest(new Uint8Array(32).fill(3), sha256(utf8("DealKeys")));
  expect(secret).toEqual(keccak256(concat(utf8("msec.s"), fromHex(signature).subarray(0, 64))));
  const b = (toBigInt(keccak256(concat(utf8("msec.b"), secret, Uint8Array.of(0, 2)))) % (CURVE.n - 1n)) + 1n;
  expect(nodeScalar(secret, 2)).toBe(b);
  const scalar = (toBigInt(e) % (CURVE.n - 1n)) + 1n;
  const shared = G.multiply(b).multiply(scalar).toAffine().x;
  const mask = keccak256(
    concat(
      utf8("msec.kd"),
      uint(31337, 32),
      fromHex(context.escrow),
      fromHex(context.dealId),
      uint(2, 2),
      uint(shared, 32),
    ),
  );
  const { masked, E } = deliver(context, e, nodes, keys);
  expect(fromHex(masked[2] as string)).toEqual((keys[2] as TreeNode).key.map((byte, i) => byte ^ (mask[i] as number)));
  expect(E.x).toBe(G.multiply(scalar).toAffine().x);
});

/** ecrecover(hash, v, r, s) as the EVM computes it, for any numbers: the address of r⁻¹·(s·R − hash·G). */
function ecrecover(hash: bigint, v: number, r: bigint, s: bigint): string | undefined {
  if (r <= 0n || r >= CURVE.n || s <= 0n || s >= CURVE.n) return undefined;
  const R = secp256k1.Point.fromBytes(concat(Uint8Array.of(v - 25), uint(r, 32)));
  const Fn = secp256k1.Point.Fn;
  const inverse = Fn.inv(r);
  const u1 = Fn.create(-hash * inverse);
  const q = R.multiply(Fn.create(s * inverse)).add(u1 === 0n ? secp256k1.Point.ZERO : G.multiply(u1));
  return q.equals(secp256k1.Point.ZERO) ? undefined : addressOfPoint(q.toBytes(false));
}
const address = ({ x, y }: { x: bigint; y: bigint }) =>
  addressOfPoint(concat(Uint8Array.of(4), uint(x, 32), uint(y, 32)));

test("what the contract computes with ecrecover holds for every node", () => {
  fc.assert(
    fc.property(bytes(32), bytes(32), (s, random) => {
      const list = buyerNodes(s, places);
      const delivery = deliver(context, random, list, keys);
      const { E } = delivery;
      expect(ecrecover(0n, E.v, E.x, 1n)).toBeDefined();
      list.forEach((node, i) => {
        const { b, B, S } = wrongKeyWitness(s, i, delivery);
        expect([B.x, B.y % 2n === 0n ? 27 : 28]).toEqual([node.x, node.v]);
        expect(b > 0n && b < CURVE.n).toBe(true);
        // b is the key of B: B − (b − 1)·G = G
        expect(ecrecover((B.x * (b - 1n)) % CURVE.n, node.v, B.x, B.x)).toBe(addressOfPoint(G.toBytes(false)));
        // S = b·E
        expect(ecrecover(0n, E.v, E.x, (E.x * b) % CURVE.n)).toBe(address(S));
        expect(S).toEqual(secp256k1.Point.fromAffine(liftPoint(E)).multiply(b).toAffine());
        // unmasking with S's x alone gives the node: what the contract does
        const mask = keccak256(
          concat(
            utf8("msec.kd"),
            uint(31337, 32),
            fromHex(context.escrow),
            fromHex(context.dealId),
            uint(i, 2),
            uint(S.x, 32),
          ),
        );
        const key = fromHex(delivery.masked[i] as string).map((byte, k) => byte ^ (mask[k] as number));
        expect(key).toEqual((keys[i] as TreeNode).key);
      });
    }),
    { numRuns: 3 },
  );
});

test("the keys' tree is over the nodes in order", () => {
  const tree = keysTree(nodes);
  nodes.forEach((node, i) => expect(merkleVerify(tree.root, keyNodeLeaf(i, node), tree.proof(i))).toBe(true));
  const swapped = [nodes[1], nodes[0], ...nodes.slice(2)] as KeyNode[];
  expect(keysTree(swapped).root).not.toEqual(tree.root);
  expectRefusal("key-tree", () => keyNodeLeaf(0, { ...(nodes[0] as KeyNode), depth: 33 }));
});

describe("refusals", () => {
  const [first] = nodes as [KeyNode];
  const replaced = (change: Partial<KeyNode>) => [{ ...first, ...change }, ...nodes.slice(1)];

  test("points off the curve or out of range", () => {
    let off = 5n;
    const onCurve = (x: bigint) => {
      try {
        secp256k1.Point.fromBytes(concat(Uint8Array.of(2), uint(x, 32)));
        return true;
      } catch {
        return false;
      }
    };
    while (onCurve(off)) off++;
    for (const change of [{ x: off }, { x: 0n }, { x: CURVE.n }, { x: CURVE.p }, { v: 26 }, { v: 0 }, { x: -1n }])
      expectRefusal("deal", () => deliver(context, e, replaced(change), keys));
    const delivery = deliver(context, e, nodes, keys);
    for (const E of [
      { x: off, v: 27 },
      { x: 0n, v: 27 },
      { x: delivery.E.x, v: 29 },
    ])
      expectRefusal("deal", () => unmask(context, secret, nodes, { ...delivery, E }));
  });

  test("keys of other nodes, and wrong numbers", () => {
    expectRefusal("deal", () => deliver(context, e, nodes, keys.slice(1)));
    expectRefusal("deal", () => deliver(context, e, nodes, [...keys].reverse()));
    expectRefusal("deal", () => deliver(context, e.subarray(1), nodes, keys));
    const delivery = deliver(context, e, nodes, keys);
    expectRefusal("deal", () => unmask(context, secret, nodes, { ...delivery, masked: delivery.masked.slice(1) }));
    expectRefusal("malformed", () => unmask(context, secret, nodes, { ...delivery, masked: delivery.masked.map(() => "0x00" as const) })); // prettier-ignore
    expectRefusal("deal", () => nodeScalar(secret.subarray(1), 0));
    expectRefusal("malformed", () => nodeScalar(secret, 65536));
    expectRefusal("malformed", () => dealSecret("0x00"));
  });

  test("covers that are not canonical, empty or too long", () => {
    const check = (list: KeyNode[], holes: SlotRange[] = []) => checkKeyNodes(list, SLOT, SLOT + 59, holes);
    check(nodes);
    for (const list of [nodes.slice(1), [...nodes].reverse(), [...nodes, first], replaced({ depth: 32 })])
      expectRefusal("deal", () => check(list));
    expectRefusal("deal", () => check(nodes, [[SLOT + 5, SLOT + 6]]));
    expectRefusal("deal", () => check(replaced({ x: 0n })));
    expectRefusal("deal", () => check([], [[SLOT, SLOT + 59]]), /split it/);
    const holes = Array.from({ length: 49 }, (_, i): SlotRange => [SLOT + 2 * i + 1, SLOT + 2 * i + 1]);
    const many = cover(SLOT, SLOT + 98, holes);
    expect(many.length).toBeGreaterThan(MAX_NODES);
    expectRefusal("deal", () => buyerNodes(secret, many), /split it/);
    expectRefusal("deal", () => buyerNodes(secret, []));
  });
});
