import { describe, expect, test } from "vitest";
import {
  anchorDomain,
  buildEpoch,
  checkConfig,
  checkEpochFollows,
  checkEpochSignatures,
  checkHeadSignatures,
  concat,
  type Config,
  configDigest,
  EPOCH,
  type Epoch,
  epochHash,
  epochTree,
  faults,
  fromHex,
  HEAD,
  type Hex,
  manifestOf,
  merkleVerify,
  packLeaf,
  packOf,
  quorum,
  sha256,
  signTyped,
  toHex,
  utf8,
  ZERO32,
} from "../src/index.ts";
import { anchorAll, CHAIN, committee, TestStream } from "./city.ts";
import { expectRefusal } from "./expect.ts";

const SLOT = 29_000_000;
const domain = anchorDomain(CHAIN.chainId, CHAIN.anchor);

test("an epoch of packs", () => {
  const stream = new TestStream().fill(SLOT, 9);
  const packs = stream.packs.map((b) => packOf(stream.preimage, b.signed));
  const tree = epochTree(packs);
  expect(tree.leaves).toEqual(packs.map(packLeaf).sort());
  expect(epochTree([...packs].reverse()).tree.root).toEqual(tree.tree.root);
  tree.packs.forEach((pack, i) => {
    expect(packLeaf(pack)).toBe(tree.leaves[i]);
    expect(merkleVerify(tree.tree.root, fromHex(packLeaf(pack)), tree.tree.proof(i))).toBe(true);
  });
  const epoch = buildEpoch(tree, { number: 1, prev: ZERO32, closedAt: 5, stateBlock: 6, configDigest: ZERO32 });
  expect(epoch).toMatchObject({
    packs: 9,
    readings: 9,
    fromMs: packs[0]?.fromMs,
    toMs: packs[8]?.toMs,
    root: toHex(tree.tree.root),
    manifest: toHex(sha256(concat(...tree.leaves.map((l) => fromHex(l))))),
  });
  expect(manifestOf(tree.leaves)).toBe(epoch.manifest);
  expectRefusal("epoch", () => epochTree([]));
  expectRefusal("epoch", () => epochTree([...packs, packs[0] as (typeof packs)[0]]), /twice/);
});

test("epochs follow one another without a hole", () => {
  const stream = new TestStream().fill(SLOT, 2);
  const { epoch: first } = anchorAll(stream, committee());
  const second: Epoch = { ...first, number: 2, prev: epochHash(first), closedAt: first.closedAt + 1 };
  checkEpochFollows(undefined, first);
  checkEpochFollows(first, second);
  for (const wrong of [
    { ...second, number: 3 },
    { ...second, number: 1 },
    { ...second, prev: ZERO32 },
    { ...second, closedAt: first.closedAt },
    { ...second, stateBlock: first.stateBlock - 1 },
  ])
    expectRefusal("epoch", () => checkEpochFollows(first, wrong));
  expectRefusal("epoch", () => checkEpochFollows(undefined, second));
  expectRefusal("epoch", () => checkEpochFollows(undefined, { ...first, prev: epochHash(first) }));
});

test("what n operators bear", () => {
  expect([1, 2, 3, 4, 5, 6, 7, 10, 13].map((n) => [n, faults(n), quorum(n)])).toEqual([
    [1, 0, 1], [2, 0, 2], [3, 0, 3], [4, 1, 3], [5, 1, 4], [6, 1, 5], [7, 2, 5], [10, 3, 7], [13, 4, 9],
  ]); // prettier-ignore
});

describe("committees", () => {
  const who = committee();
  const { config } = who;
  const withField = (change: Partial<Config>) => ({ ...config, ...change });

  test("members ascending, organisations distinct, q = n − f", () => {
    checkConfig(config);
    for (const wrong of [
      withField({ members: [...config.members].reverse() }),
      withField({ members: [config.members[0], config.members[0], config.members[2], config.members[3]] as Hex[] }),
      withField({ members: config.members.slice(1) }),
      withField({ organisations: [config.organisations[0], ...config.organisations.slice(0, 3)] as Hex[] }),
      withField({ q: 2 }),
      withField({ q: 4 }),
      { q: 0, members: [], organisations: [], fromEpoch: 0 },
    ])
      expectRefusal("committee", () => checkConfig(wrong));
  });

  const { epoch } = anchorAll(new TestStream().fill(SLOT, 1), who);
  const sign = (value: Epoch, ...keys: Uint8Array[]) => keys.map((k) => signTyped(k, domain, EPOCH, value));
  const [a, b, c, d] = who.keys as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  const check = (signatures: Hex[], e: Epoch = epoch, conf: Config = config) =>
    checkEpochSignatures(domain, e, conf, signatures);

  test("any three of four, in order", () => {
    for (const keys of [[a, b, c], [a, b, d], [a, c, d], [b, c, d]]) // prettier-ignore
      expect(check(sign(epoch, ...keys)).length).toBe(3);
    const stranger = new Uint8Array(32).fill(1);
    for (const keys of [[a, b], [], [a, b, c, d], [b, a, c], [a, a, b], [a, b, b], [a, b, stranger]])
      expectRefusal("committee", () => check(sign(epoch, ...(keys as Uint8Array[]))));
  });

  test("signatures count for this epoch, chain, contract and committee only", () => {
    const signatures = sign(epoch, a, b, c);
    for (const change of [{ readings: 99 }, { root: ZERO32 }, { number: 2 }])
      expectRefusal("committee", () => check(signatures, { ...epoch, ...change }));
    for (const other of [
      { ...domain, chainId: 1 },
      { ...domain, name: "Escrow" },
      { ...domain, verifyingContract: `0x${"a2".repeat(20)}` as Hex },
    ])
      expectRefusal("committee", () => checkEpochSignatures(other, epoch, config, signatures));
    const others = committee();
    expectRefusal("committee", () => check(signatures, epoch, others.config), /names another committee/);
    const later = { ...config, fromEpoch: 2 };
    const early = { ...epoch, configDigest: configDigest(later) };
    expectRefusal("committee", () => check(sign(early, a, b, c), early, later), /not in force/);
    expectRefusal("malformed", () => check([...signatures.slice(0, 2), "0x00"]));
  });

  test("heads are judged the same way", () => {
    const head = { streamId: toHex(sha256(utf8("s"))), epoch: 1, keyEpoch: 1, seq: 5, headerDigest: ZERO32 };
    const signed = (...keys: Uint8Array[]) => keys.map((k) => signTyped(k, domain, HEAD, head));
    expect(checkHeadSignatures(domain, head, config, signed(a, b, c)).length).toBe(3);
    expectRefusal("committee", () => checkHeadSignatures(domain, head, config, signed(a, b)));
    expectRefusal("committee", () => checkHeadSignatures(domain, { ...head, seq: 6 }, config, signed(a, b, c)));
  });
});
