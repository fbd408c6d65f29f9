import { keccak256 } from "#native";
import { concat, fromHex, type Hex, toHex, ZERO_ADDRESS } from "./bytes.ts";
import { demand } from "./errors.ts";
import { recoverAddress } from "./account.ts";
import { type Rlp, rlpBytes, rlpDecode, rlpEncode, rlpList, rlpOfUint, rlpUint } from "./rlp.ts";

// Blocks that prove themselves: headers of a QBFT chain as GoQuorum 24.4.1 writes them, with the validators' seals, and the
// votes by which validators change.

/** mixHash of every block of the Istanbul family: "ctical byzantine fault tolerance". */
export const ISTANBUL_DIGEST: Hex = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365";

/** keccak-256 of the RLP of no uncles. */
const NO_UNCLES = toHex(keccak256(Uint8Array.of(0xc0)));
const VANITY = new Uint8Array(32);
/** After so many blocks GoQuorum forgets the votes that decided nothing; the networks of `deploy/quorum` keep its default. */
export const VOTING_BLOCKS = 30_000;

export interface Vote {
  candidate: Hex;
  /** Whether the candidate is to become a validator, or to be one no longer. */
  add: boolean;
}

/** What a QBFT block carries in its extraData. */
export interface QbftExtra {
  /** As the proposer has it: no other validator checks this list. */
  validators: Hex[];
  vote: Vote | null;
  round: number;
  /** 65 bytes each: r ‖ s ‖ 0 or 1. */
  seals: Uint8Array[];
}

/** What is read of a sealed header. */
export interface SealedHeader extends QbftExtra {
  number: number;
  /** Unix seconds. */
  timestamp: number;
  proposer: Hex;
  parentHash: Hex;
  stateRoot: Hex;
  /** Of the block, as its successor and every node name it: the round counts as 0. */
  hash: Hex;
  /** What each seal signs. */
  sealHash: Hex;
}

const VOTE = { add: Uint8Array.of(0xff), drop: new Uint8Array() };

/** RLP of [vanity, validators, vote, round, seals]. */
export function encodeExtra({ validators, vote, round, seals }: QbftExtra, vanity: Uint8Array = VANITY): Uint8Array {
  return rlpEncode([
    vanity,
    validators.map((v) => fromHex(v, 20)),
    vote === null ? [] : [fromHex(vote.candidate, 20), vote.add ? VOTE.add : VOTE.drop],
    rlpOfUint(round),
    seals,
  ]);
}

function decodeVote(item: Rlp): Vote | null {
  const parts = rlpList(item);
  if (parts.length === 0) return null;
  const [candidate, kind] = rlpList(item, 2);
  const value = rlpBytes(kind);
  demand(
    value.length === 0 || (value.length === 1 && value[0] === 0xff),
    "malformed",
    "a vote for a validator is for or against it",
    toHex(value),
  );
  return { candidate: toHex(rlpBytes(candidate, 20)), add: value.length === 1 };
}

/** Decodes the RLP of a header with its seals; refuses every form but the one that GoQuorum writes. */
export function decodeSealedHeader(bytes: Uint8Array): SealedHeader {
  const fields = rlpList(rlpDecode(bytes), 15);
  const hash = (i: number) => toHex(rlpBytes(fields[i], 32));
  rlpBytes(fields[6], 256);
  rlpBytes(fields[14], 8);
  hash(4);
  hash(5);
  demand(hash(13) === ISTANBUL_DIGEST, "validators", "the block is not of a chain whose validators seal", hash(13));
  demand(hash(1) === NO_UNCLES && rlpUint(fields[7]) === 1, "malformed", "a QBFT block has difficulty 1 and no uncles");
  for (const gas of [9, 10]) rlpUint(fields[gas]);
  const [vanity, validatorList, vote, round, sealList] = rlpList(rlpDecode(rlpBytes(fields[12])), 5) as [
    Rlp,
    Rlp,
    Rlp,
    Rlp,
    Rlp,
  ];
  const extra: QbftExtra = {
    validators: rlpList(validatorList).map((v) => toHex(rlpBytes(v, 20))),
    vote: decodeVote(vote),
    round: rlpUint(round),
    seals: rlpList(sealList).map((seal) => rlpBytes(seal, 65)),
  };
  const unsealed = (atRound: number) =>
    toHex(
      keccak256(
        rlpEncode([
          ...fields.slice(0, 12),
          encodeExtra({ ...extra, round: atRound, seals: [] }, rlpBytes(vanity, 32)),
          ...fields.slice(13),
        ]),
      ),
    );
  return {
    ...extra,
    number: rlpUint(fields[8]),
    timestamp: rlpUint(fields[11]),
    proposer: toHex(rlpBytes(fields[2], 20)),
    parentHash: hash(0),
    stateRoot: hash(3),
    hash: unsealed(0),
    sealHash: unsealed(extra.round),
  };
}

/** Seals that n validators must give: ⌈2n/3⌉. */
export const sealsNeeded = (n: number): number => Math.ceil((2 * n) / 3);

/** Validators in one order, so that sets can be compared; refuses none and one that stands twice. */
export function validatorSet(validators: readonly Hex[]): Hex[] {
  const set = validators.map((v) => toHex(fromHex(v, 20))).sort();
  demand(set.length > 0, "validators", "the list of validators is empty: those of a contract are not followed");
  demand(new Set(set).size === set.length, "validators", "a validator stands twice in the list", set);
  return set;
}

export const sameSet = (a: readonly Hex[], b: readonly Hex[]): boolean => a.join() === b.join();

/** Refuses a header without enough seals, each by another of `validators`. Returns who sealed. */
export function checkSeals(header: SealedHeader, validators: readonly Hex[]): Hex[] {
  const digest = fromHex(header.sealHash);
  const signers = header.seals.map((seal) => {
    const parity = seal[64] as number;
    demand(parity < 2, "bad-signature", "a seal ends in 0 or 1", parity);
    return recoverAddress(digest, toHex(concat(seal.subarray(0, 64), Uint8Array.of(27 + parity))));
  });
  for (const signer of signers)
    demand(validators.includes(signer), "validators", `block ${header.number} is sealed by a stranger`, signer);
  demand(new Set(signers).size === signers.length, "validators", "a validator has sealed twice", header.number);
  const needed = sealsNeeded(validators.length);
  demand(
    signers.length >= needed,
    "validators",
    `block ${header.number} has ${signers.length} seals, ${needed} of ${validators.length} validators are needed`,
    signers.length,
  );
  return signers.sort();
}

/** A header without a vote counts as one that changes nothing. */
const NO_VOTE: Vote = { candidate: ZERO_ADDRESS, add: false };

/**
 * Counts the votes of blocks that follow one another, as every node does (GoQuorum, `snapApplyHeader`): a vote stands until
 * its validator casts another for the same candidate, and decides with more than half of the validators.
 * @returns The validators after the first block that decides, and how many blocks that takes; undefined if none does.
 */
export function countVotes(
  headers: readonly Pick<SealedHeader, "vote" | "proposer">[],
  validators: readonly Hex[],
): { validators: Hex[]; blocks: number } | undefined {
  const tally = new Map<Hex, Set<Hex>>();
  for (const [i, { vote, proposer }] of headers.entries()) {
    const { candidate, add } = vote ?? NO_VOTE;
    const votes = tally.get(candidate) ?? new Set<Hex>();
    tally.set(candidate, votes);
    const isMember = validators.includes(candidate);
    if (add === isMember) votes.delete(proposer);
    else votes.add(proposer);
    if (votes.size <= Math.floor(validators.length / 2)) continue;
    const after = isMember ? validators.filter((v) => v !== candidate) : [...validators, candidate];
    return { validators: validatorSet(after), blocks: i + 1 };
  }
  return undefined;
}

/** A stretch of the chain with the validators that seal it. */
export interface ValidatorTerm {
  /** First block of the term. */
  fromBlock: number;
  validators: Hex[];
}

/**
 * Follows one change of validators: blocks from the first vote that counts to the one that decides, without a gap, each
 * sealed by the validators before. Votes are counted rather than lists believed, since no validator checks the list that
 * another proposes.
 */
export function followChange(term: ValidatorTerm, headers: readonly SealedHeader[]): ValidatorTerm {
  const [first] = headers;
  const last = headers[headers.length - 1];
  demand(first !== undefined && last !== undefined, "validators", "a change of validators without a block");
  demand(first.number >= term.fromBlock, "validators", "changes of validators are not in order", first.number);
  headers.forEach((header, i) => {
    const before = headers[i - 1];
    demand(
      before === undefined || (header.parentHash === before.hash && header.number === before.number + 1),
      "validators",
      "blocks of a change of validators do not follow one another",
      header.number,
    );
    demand(
      before === undefined || header.number % VOTING_BLOCKS !== 0,
      "validators",
      "votes were forgotten in between",
      header.number,
    );
    demand(
      term.validators.includes(header.proposer),
      "validators",
      "a block was proposed by a stranger",
      header.proposer,
    );
    checkListed(header, term.validators);
    checkSeals(header, term.validators);
  });
  const result = countVotes(headers, term.validators);
  demand(
    result !== undefined && result.blocks === headers.length && first.vote?.candidate === last.vote?.candidate,
    "validators",
    "the votes given do not change the validators with the last of their blocks",
    last.number,
  );
  return { fromBlock: last.number + 1, validators: result.validators };
}

/** Refuses a header that names other validators than those known: a change is not shown. */
export function checkListed(header: SealedHeader, validators: readonly Hex[]): void {
  const listed = validatorSet(header.validators);
  demand(
    sameSet(listed, validators),
    "validators",
    `block ${header.number} names other validators than those before it: a change is not shown`,
    listed,
  );
}
