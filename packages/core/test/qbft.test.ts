import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  checkSeals,
  concat,
  countVotes,
  decodeSealedHeader,
  followChange,
  type Hex,
  type Rlp,
  rlpBytes,
  rlpDecode,
  rlpEncode,
  rlpList,
  rlpOfUint,
  type SealedHeader,
  sealsNeeded,
  toHex,
  uint,
  validatorSet,
  VOTING_BLOCKS,
  ZERO_ADDRESS,
} from "../src/index.ts";
import { expectRefusal, neverCrashes } from "./expect.ts";
import { type BlockOptions, seal, sealedBlock, type Validator, validators } from "./sealed.ts";

const seven = validators(7);
const four = seven.slice(0, 4);
const [a, b, c, d, e] = seven as [Validator, Validator, Validator, Validator, Validator];
const set = (of: readonly Validator[]) => validatorSet(of.map(({ address }) => address));

/** A header again, with some of its fields replaced. */
function patched(bytes: Uint8Array, change: (fields: Rlp[], extra: Rlp[]) => void): Uint8Array {
  const fields = [...rlpList(rlpDecode(bytes))];
  const extra = [...rlpList(rlpDecode(rlpBytes(fields[12])))];
  change(fields, extra);
  if (fields.length === 15) fields[12] = rlpEncode(extra);
  return rlpEncode(fields);
}

describe("seals", () => {
  test("⌈2n/3⌉ of n are needed", () => {
    expect([1, 2, 3, 4, 5, 6, 7, 10, 64].map(sealsNeeded)).toEqual([1, 2, 2, 3, 4, 4, 5, 7, 43]);
  });

  test("of any validators suffice from there on, whatever their order and the round", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 7 }), fc.nat(3), fc.nat(), (n, round, pick) => {
        const all = seven.slice(0, n);
        const sealers = Array.from({ length: 1 + (pick % n) }, (_, i) => all[(pick + i) % n] as Validator).reverse();
        const header = decodeSealedHeader(sealedBlock({ number: 9, listed: all, sealers, round }));
        if (sealers.length >= sealsNeeded(n)) expect(checkSeals(header, set(all))).toEqual(set(sealers));
        else expectRefusal("validators", () => checkSeals(header, set(all)), /are needed/);
      }),
      { numRuns: 60 },
    );
  });

  test("of a stranger, or twice of one, count for nothing, and beside enough others they are refused too", () => {
    const block = (sealers: Validator[]) => decodeSealedHeader(sealedBlock({ number: 9, listed: four, sealers }));
    expectRefusal("validators", () => checkSeals(block([a, b, e]), set(four)), /stranger/);
    expectRefusal("validators", () => checkSeals(block([a, b, c, e]), set(four)), /stranger/);
    expectRefusal("validators", () => checkSeals(block([a, b, b]), set(four)), /twice/);
    expectRefusal("validators", () => checkSeals(block([a, b, c, c]), set(four)), /twice/);
    expectRefusal("validators", () => checkSeals(block([]), set(four)), /0 seals/);
  });

  test("have one form: s low, a parity of 0 or 1, 65 bytes", () => {
    const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const block = sealedBlock({ number: 9, sealers: four.slice(0, 3), listed: four });
    const { sealHash } = decodeSealedHeader(block);
    const bytes = seal(a, sealHash);
    const high = concat(bytes.subarray(0, 32), uint(N - BigInt(toHex(bytes.subarray(32, 64))), 32), Uint8Array.of(1 - (bytes[64] as number))); // prettier-ignore
    const v27 = concat(bytes.subarray(0, 64), Uint8Array.of(27 + (bytes[64] as number)));
    const withSeal = (one: Uint8Array) =>
      patched(block, (_, extra) => void (extra[4] = [one, ...rlpList(extra[4]).slice(1)]));
    expect(checkSeals(decodeSealedHeader(withSeal(bytes)), set(four))).toHaveLength(3);
    for (const wrong of [high, v27]) expectRefusal("bad-signature", () => checkSeals(decodeSealedHeader(withSeal(wrong)), set(four))); // prettier-ignore
    for (const wrong of [bytes.subarray(0, 64), concat(bytes, Uint8Array.of(0))])
      expectRefusal("malformed", () => decodeSealedHeader(withSeal(wrong)));
  });
});

describe("a header", () => {
  const block = sealedBlock({ number: 77, sealers: four.slice(0, 3), listed: four, round: 2, vote: { candidate: e.address, add: true } }); // prettier-ignore

  test("is named by its hash with round 0, and sealed with its round", () => {
    const header = decodeSealedHeader(block);
    expect(header).toMatchObject({ number: 77, round: 2, vote: { candidate: e.address, add: true } });
    expect(header.hash).not.toBe(header.sealHash);
    const inRoundNought = decodeSealedHeader(patched(block, (_, extra) => void (extra[3] = rlpOfUint(0))));
    expect(inRoundNought.hash).toBe(header.hash);
    expect(inRoundNought.sealHash).toBe(header.hash);
    expectRefusal("validators", () => checkSeals(inRoundNought, set(four)));
  });

  test("with any bit changed has not enough seals", () => {
    const sealed = (bytes: Uint8Array) => checkSeals(decodeSealedHeader(bytes), set(four));
    expect(sealed(block)).toHaveLength(3);
    fc.assert(
      fc.property(fc.nat(8 * block.length - 1), (bit) => {
        const other = block.slice();
        other[bit >> 3] = (other[bit >> 3] as number) ^ (1 << (bit & 7));
        expect(() => sealed(other)).toThrow();
        neverCrashes(() => sealed(other));
      }),
      { numRuns: 150 },
    );
  });

  test.each<[string, (fields: Rlp[], extra: Rlp[]) => void]>([
    ["a field too many", (f) => void f.push(new Uint8Array())],
    ["a field too few", (f) => void f.pop()],
    ["uncles", (f) => void (f[1] = new Uint8Array(32))],
    ["another difficulty", (f) => void (f[7] = Uint8Array.of(2))],
    ["a short bloom", (f) => void (f[6] = new Uint8Array(255))],
    ["a short nonce", (f) => void (f[14] = new Uint8Array(7))],
    ["a number beyond 2^53", (f) => void (f[8] = new Uint8Array(8).fill(255))],
    ["a number with a leading zero", (f) => void (f[8] = Uint8Array.of(0, 77))],
    ["a gas limit that is a list", (f) => void (f[9] = [])],
    ["short vanity", (_, x) => void (x[0] = new Uint8Array(31))],
    ["a validator of 19 bytes", (_, x) => void (x[1] = [new Uint8Array(19)])],
    ["a vote of one part", (_, x) => void (x[2] = [new Uint8Array(20)])],
    ["a vote that is neither", (_, x) => void (x[2] = [new Uint8Array(20), Uint8Array.of(1)])],
    ["a round with a leading zero", (_, x) => void (x[3] = Uint8Array.of(0))],
    ["something behind the seals", (_, x) => void x.push([])],
  ])("with %s is malformed", (_, change) => {
    expectRefusal("malformed", () => decodeSealedHeader(patched(block, change)));
  });

  test("of a chain without seals is said to be one", () => {
    expectRefusal("validators", () => decodeSealedHeader(patched(block, (f) => void (f[13] = new Uint8Array(32)))));
  });

  test("of a contract's validators is not followed", () => {
    expectRefusal("validators", () => validatorSet([]), /contract/);
    expectRefusal("validators", () => validatorSet([a.address, a.address.toUpperCase().replace("0X", "0x") as Hex]));
  });
});

describe("votes", () => {
  const vote = (by: Validator, candidate: Validator, add: boolean) => ({
    proposer: by.address,
    vote: { candidate: candidate.address, add },
  });
  const none = (by: Validator) => ({ proposer: by.address, vote: null });

  test("decide with more than half of the validators", () => {
    for (let n = 1; n <= 6; n++) {
      const members = seven.slice(0, n);
      const candidate = seven[6] as Validator;
      const votes = members.map((by) => vote(by, candidate, true));
      const needed = Math.floor(n / 2) + 1;
      expect(countVotes(votes, set(members))).toEqual({ blocks: needed, validators: set([...members, candidate]) });
      expect(countVotes(votes.slice(0, needed - 1), set(members))).toBeUndefined();
    }
  });

  test("remove one, too", () => {
    const votes = [vote(a, d, false), none(b), vote(c, d, false), vote(b, d, false)];
    expect(countVotes(votes, set(four))).toEqual({ blocks: 4, validators: set([a, b, c]) });
  });

  test("of one validator count once, for one candidate each, and are taken back by the opposite", () => {
    expect(countVotes([vote(a, e, true), vote(a, e, true), vote(a, e, true)], set(four))).toBeUndefined();
    expect(countVotes([vote(a, e, true), vote(b, seven[5] as Validator, true), vote(c, e, true)], set(four))).toBeUndefined(); // prettier-ignore
    expect(countVotes([vote(a, e, true), vote(b, e, true), vote(a, e, false), vote(c, e, true)], set(four))).toBeUndefined(); // prettier-ignore
  });

  test("for what is so already count for nothing", () => {
    expect(countVotes(four.map((by) => vote(by, a, true)), set(four))).toBeUndefined(); // prettier-ignore
    expect(countVotes(four.map((by) => vote(by, e, false)), set(four))).toBeUndefined(); // prettier-ignore
    expect(countVotes(four.map(none), set(four))).toBeUndefined();
    expect(set(four)).not.toContain(ZERO_ADDRESS);
  });
});

describe("a change of validators", () => {
  const start = { fromBlock: 1, validators: set(four) };
  const add = { candidate: e.address, add: true };

  /** Blocks that follow one another; each option replaces what an honest chain would have. */
  function chain(options: Partial<BlockOptions>[], first = 10): SealedHeader[] {
    const out: SealedHeader[] = [];
    for (const [i, option] of options.entries()) {
      const proposer = (four[i % 4] as Validator).address;
      const base = { number: first + i, listed: four, sealers: four.slice(0, 3), proposer, vote: add };
      const parentHash = out.at(-1)?.hash;
      out.push(decodeSealedHeader(sealedBlock({ ...base, ...(parentHash ? { parentHash } : {}), ...option })));
    }
    return out;
  }

  test("is followed through the blocks whose votes decide it", () => {
    expect(followChange(start, chain([{}, {}, {}]))).toEqual({ fromBlock: 13, validators: set([...four, e]) });
    expect(followChange(start, chain([{}, { vote: null }, {}, {}]))).toMatchObject({ fromBlock: 14 });
    const drop = { vote: { candidate: d.address, add: false } };
    expect(followChange(start, chain([drop, drop, drop]))).toEqual({ fromBlock: 13, validators: set([a, b, c]) });
  });

  test.each<[string, () => SealedHeader[], RegExp]>([
    ["without blocks", () => [], /without a block/],
    ["with a vote too few", () => chain([{}, {}]), /do not change/],
    ["with a block behind the decision", () => chain([{}, {}, {}, {}]), /do not change/],
    ["with a block before the first vote", () => chain([{ vote: null }, {}, {}, {}]), /do not change/],
    ["with a gap", () => chain([{}, {}, {}, {}]).filter((_, i) => i !== 1), /follow one another/],
    ["with a block of another chain", () => chain([{}, { parentHash: toHex(uint(1, 32)) }, {}]), /follow one another/],
    ["with a number left out", () => chain([{}, { number: 12 }, {}]), /follow one another/],
    ["with a block that is not sealed", () => chain([{}, {}, { sealers: [a, b] }]), /2 seals/],
    ["with a block that the new one sealed", () => chain([{}, {}, { sealers: [a, b, c, e] }]), /stranger/],
    ["with votes in a stranger's name", () => chain([{}, {}, { proposer: e.address }]), /stranger/],
    ["with a proposer who lists others", () => chain([{}, { listed: [...four, e] }, {}]), /names other validators/],
    ["with votes that were forgotten between", () => chain([{}, {}, {}], VOTING_BLOCKS - 1), /forgotten/],
    ["out of order", () => chain([{}, {}, {}], 0), /not in order/],
  ])("%s is refused", (_, headers, message) => {
    const blocks = headers();
    expectRefusal("validators", () => followChange(start, blocks), message);
  });

  test("may begin where votes are forgotten", () => {
    expect(followChange(start, chain([{}, {}, {}], VOTING_BLOCKS))).toMatchObject({ fromBlock: VOTING_BLOCKS + 3 });
  });
});
