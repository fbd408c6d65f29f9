import { keccak256 } from "#native";
import { concat, equal, fromBase64, fromHex, type Hex, toHex, uint } from "./bytes.ts";
import { demand } from "./errors.ts";
import { checkListed, checkSeals, decodeSealedHeader, followChange, sameSet, type SealedHeader, validatorSet, type ValidatorTerm } from "./qbft.ts"; // prettier-ignore
import { rlpBytes, rlpDecode, rlpList } from "./rlp.ts";
import { trieValue } from "./trie.ts";

// The chain's own certificate of an epoch: that its word stands in the anchor, in a state whose root a block names that a
// quorum of validators sealed. It needs no endpoint, and outlives the chain.

/** An epoch's word in a block; bytes are base64. */
export interface EpochCertificate {
  number: number;
  /** RLP of a block's header with its seals: the epoch's own block or any later one. */
  header: string;
  /** Nodes from the state's root to the anchor's account. */
  account: string[];
  /** Nodes from the account's storage root to the epoch's word. */
  storage: string[];
}

/** Certificates of a bundle's epochs, and how the chain's validators have changed until then. */
export interface Certificate {
  /** A list of sealed headers for each change of validators, base64 of RLP. */
  changes: string[][];
  epochs: EpochCertificate[];
}

/** What certificates have shown. */
export interface Certified {
  /** Epochs whose word was proved, ascending. */
  epochs: number[];
  /** Validators who seal the newest of the blocks, as far as the changes given lead. */
  validators: Hex[];
  /** Whether the reader pinned these validators, or some from whom every change to these is shown. */
  pinned: boolean;
  /** Fewest seals that one of the blocks has. */
  seals: number;
  /** Changes of validators that were followed, from those that the reader pinned. */
  changes: number;
}

/** Where DataAnchor keeps its mapping from numbers to words: the contract is immutable, and a test holds it to this. */
const HASHES_SLOT = 3;

/** Storage slot of an epoch's word in DataAnchor. */
export const epochSlot = (number: number): Hex => toHex(keccak256(concat(uint(number, 32), uint(HASHES_SLOT, 32))));

/** Refuses a state that does not hold `word` in an account's slot. Words of zero are not proved: a trie leaves them out. */
export function checkWord(
  stateRoot: Hex,
  account: Hex,
  slot: Hex,
  word: Hex,
  nodes: { account: readonly Uint8Array[]; storage: readonly Uint8Array[] },
): void {
  const [, , storageRoot] = rlpList(
    rlpDecode(trieValue(fromHex(stateRoot, 32), fromHex(account, 20), nodes.account)),
    4,
  );
  const value = rlpBytes(rlpDecode(trieValue(rlpBytes(storageRoot, 32), fromHex(slot, 32), nodes.storage)));
  const digits = fromHex(word, 32);
  const first = digits.findIndex((byte) => byte !== 0);
  demand(
    first >= 0 && equal(value, digits.subarray(first)),
    "state",
    "the chain has another word there than the one claimed",
    toHex(value),
  );
}

const terms = (changes: readonly SealedHeader[][], first: readonly Hex[]): ValidatorTerm[] => {
  const out: ValidatorTerm[] = [{ fromBlock: 1, validators: validatorSet(first) }];
  for (const headers of changes) out.push(followChange(out[out.length - 1] as ValidatorTerm, headers));
  return out;
};

/**
 * Checks certificates of epochs in a DataAnchor and every change of validators before them. Throws a ProtocolError with
 * the code `validators` or `state` where something does not hold.
 * @param claims Hashes of the epochs that may be certified, by number.
 * @param pinned Validators that the reader trusts; without them nobody vouches for those that sealed.
 */
export function checkCertificate(
  certificate: Certificate,
  anchor: Hex,
  claims: ReadonlyMap<number, Hex>,
  pinned?: readonly Hex[],
): Certified {
  const decode = (header: string) => decodeSealedHeader(fromBase64(header));
  const changes = certificate.changes.map((headers) => headers.map(decode));
  const rows = certificate.epochs.map((epoch) => ({ epoch, header: decode(epoch.header) }));
  const oldest = changes[0]?.[0] ?? rows[0]?.header;
  demand(oldest !== undefined, "validators", "the certificate certifies nothing");
  const line = terms(changes, oldest.validators);
  const pins = pinned && validatorSet(pinned);
  const trustedFrom = pins === undefined ? 0 : line.findIndex(({ validators }) => sameSet(validators, pins));
  demand(
    trustedFrom >= 0,
    "validators",
    "the chain was sealed by other validators than those pinned, and no change to them is shown",
    line[0]?.validators,
  );
  const numbers = new Set<number>();
  const seals = new Map<string, number>();
  let newest = 0;
  for (const { epoch, header } of rows) {
    const hash = claims.get(epoch.number);
    demand(
      hash !== undefined && !numbers.has(epoch.number),
      "malformed",
      "a certificate of no epoch of the bundle",
      epoch.number,
    );
    numbers.add(epoch.number);
    if (!seals.has(epoch.header)) {
      const at = line.findLastIndex(({ fromBlock }) => fromBlock <= header.number);
      demand(at >= trustedFrom, "validators", `block ${header.number} is older than the validators pinned`);
      const { validators } = line[at] as ValidatorTerm;
      checkListed(header, validators);
      seals.set(epoch.header, checkSeals(header, validators).length);
      newest = Math.max(newest, at);
    }
    const nodes = { account: epoch.account.map(fromBase64), storage: epoch.storage.map(fromBase64) };
    checkWord(header.stateRoot, anchor, epochSlot(epoch.number), hash, nodes);
  }
  demand(rows.length > 0, "validators", "the certificate certifies nothing");
  return {
    epochs: [...numbers].sort((a, b) => a - b),
    validators: (line[newest] as ValidatorTerm).validators,
    pinned: pins !== undefined,
    seals: Math.min(...seals.values()),
    changes: newest - trustedFrom,
  };
}
