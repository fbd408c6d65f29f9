import {
  countVotes,
  decodeSealedHeader,
  fromHex,
  type Hex,
  ISTANBUL_DIGEST,
  rlpEncode,
  type Rlp,
  sameSet,
  type SealedHeader,
  validatorSet,
  type ValidatorTerm,
  VOTING_BLOCKS,
} from "@msec/core";
import { type JsonRpcProvider } from "ethers";

// What a QBFT node tells of its blocks, as bytes that prove themselves. Nothing of it is believed that the bytes do not show.

/** A header with its seals, and the bytes that it was read from. */
export interface RawHeader extends SealedHeader {
  bytes: Uint8Array;
}

type Tag = number | "latest";
const tagOf = (block: Tag) => (typeof block === "number" ? `0x${block.toString(16)}` : block);
const hexUint = (text: string) => fromHex(text === "0x0" ? "0x" : text.length % 2 === 0 ? text : `0x0${text.slice(2)}`);

const FIELDS = ["parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom", "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce"]; // prettier-ignore
const NUMBERS = new Set(["difficulty", "number", "gasLimit", "gasUsed", "timestamp"]);

/** A block's header with its seals; undefined where the chain's blocks carry none. Block 0 has a header and no seals. */
export async function sealedHeader(provider: JsonRpcProvider, block: Tag): Promise<RawHeader | undefined> {
  const json = (await provider.send("eth_getBlockByNumber", [tagOf(block), false])) as Record<string, string> | null;
  if (json === null) throw new Error(`the node has no block ${block}`);
  if (json.mixHash !== ISTANBUL_DIGEST) return undefined;
  const fields: Rlp = FIELDS.map((name) => (NUMBERS.has(name) ? hexUint : fromHex)(json[name] as string));
  const bytes = rlpEncode(fields);
  const header = decodeSealedHeader(bytes);
  if (header.hash !== json.hash) throw new Error(`the header of block ${block} does not hash to ${json.hash}`);
  return { ...header, bytes };
}

/** Nodes that prove words in a contract's storage at a block. Nodes of the chain forget states after 128 blocks. */
export async function proveSlots(
  provider: JsonRpcProvider,
  contract: Hex,
  slots: readonly Hex[],
  block: number,
): Promise<{ account: Uint8Array[]; storage: Uint8Array[][] }> {
  const answer = (await provider.send("eth_getProof", [contract, slots, tagOf(block)])) as {
    accountProof: string[];
    storageProof: { proof: string[] }[];
  };
  return {
    account: answer.accountProof.map((node) => fromHex(node)),
    storage: answer.storageProof.map(({ proof }) => proof.map((node) => fromHex(node))),
  };
}

/** Votes that decide something are cast anew in every block that their validator proposes, so they stand close together. */
const MOST_BLOCKS = 500;
const BATCH = 20;
/** So many blocks in a row that name other validators are no proposer's lie. */
const PERSISTENT = 10;

export interface ValidatorChange {
  headers: RawHeader[];
  /** What it led to. */
  term: ValidatorTerm;
}

/** The shortest run of blocks, ending with the last, whose votes change the validators. */
function decidingRun(headers: readonly RawHeader[], validators: readonly Hex[]): RawHeader[] | undefined {
  const candidate = headers.at(-1)?.vote?.candidate;
  for (let from = headers.length - 1; from >= 0 && candidate !== undefined; from--) {
    const run = headers.slice(from);
    if (run[0]?.vote?.candidate === candidate && countVotes(run, validators)?.blocks === run.length) return run;
    if ((headers[from] as RawHeader).number % VOTING_BLOCKS === 0) return undefined;
  }
  return undefined;
}

/**
 * Looks through blocks for changes of validators.
 * @param validators Of block `from`.
 * @returns The blocks that show each change, and the validators of block `to`; `changes` is undefined where these can't be
 * shown by votes, such as after a transition in the genesis file. Throws where block `to` alone names other validators.
 */
export async function validatorChanges(
  provider: JsonRpcProvider,
  validators: readonly Hex[],
  from: number,
  to: number,
): Promise<{ changes: ValidatorChange[] | undefined; validators: Hex[] }> {
  const changes: ValidatorChange[] = [];
  let current = validatorSet(validators);
  let before: RawHeader[] = [];
  const recent: Hex[][] = [];
  for (let first = from; first <= to; first += BATCH) {
    const numbers = Array.from({ length: Math.min(BATCH, to - first + 1) }, (_, i) => first + i);
    for (const header of await Promise.all(numbers.map((n) => sealedHeader(provider, n)))) {
      if (header === undefined) throw new Error("a block of the chain carries no seals");
      const listed = validatorSet(header.validators);
      recent.push(listed);
      if (recent.length > PERSISTENT) recent.shift();
      if (!sameSet(listed, current)) {
        const run = decidingRun(before, current);
        const result = run && countVotes(run, current);
        if (run && result && sameSet(result.validators, listed)) {
          changes.push({ headers: run, term: { fromBlock: header.number, validators: listed } });
          current = listed;
          before = [];
        }
      }
      before.push(header);
      if (before.length > MOST_BLOCKS) before.shift();
    }
  }
  const last = recent.at(-1) as Hex[];
  if (sameSet(last, current)) return { changes, validators: current };
  if (recent.length === PERSISTENT && recent.every((set) => sameSet(set, last)))
    return { changes: undefined, validators: last };
  throw new Error(`block ${to} names other validators than the blocks before it`);
}
