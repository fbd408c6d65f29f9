import { DEAL, type Deal, type Hex, type KeyNode, ZERO32 } from "@msec/core";
import { type Decoded, fieldsOf, structFrom, valuesOf } from "./abi.ts";

/** Escrow's stored status of a deal, as its events give it. */
export interface Status {
  state: number;
  /** Unix milliseconds of the block in which the state began. */
  at: number;
  /** Number of that block. */
  atBlock: number;
  deliveryHash: Hex;
}

export const STATE = { funded: 1, delivered: 2, released: 3, refunded: 4, disputed: 5, resolved: 6 } as const;
/** Set in the state once the right to deliver has passed to the fallback deliverer. */
export const PASSED = 0x80;

/** Why a buyer got the price back, by IEscrow.Refund. */
export const REFUND = [
  "nobody delivered in time",
  "the deliverers declined it",
  "what it was about was erased",
  "consent for its purpose was withdrawn",
  "a key was proved wrong",
  "a pack was proved not to open",
] as const;

export interface Known extends Status {
  /** Block in which the deal ended. */
  endedAt?: number;
  /** Why the buyer was refunded. */
  refund?: string;
}

/** A block as status is judged by: its number, and Unix seconds. */
export interface BlockTime {
  number: number;
  timestamp: number;
}

/** The status that a `StatusChanged` gives. */
export function statusFrom(given: Decoded): Status {
  const [state, at, atBlock, deliveryHash] = valuesOf(given, ["state", "at", "atBlock", "deliveryHash"]);
  return { state: Number(state), at: Number(at), atBlock: Number(atBlock), deliveryHash: deliveryHash as Hex };
}

/** Status of a deal that was only opened yet. */
export const fundedIn = ({ number, timestamp }: BlockTime): Status => ({
  state: STATE.funded,
  at: timestamp * 1000,
  atBlock: number,
  deliveryHash: ZERO32,
});

/** How a deal ended: by the event of its end. `reason` is a `Refunded`'s. */
export type End =
  | { how: "released" | "resolved"; block: number }
  | { how: "refunded"; block: number; reason: number | bigint };

/** A deal's status after its end; it has none to supply any more, only its state counts. */
export function endedBy(status: Status, end: End): Known {
  const ended = { ...status, state: STATE[end.how] | (status.state & PASSED), endedAt: end.block };
  return end.how === "refunded" ? { ...ended, refund: REFUND[Number(end.reason)] ?? "for another reason" } : ended;
}

/** Seconds that a window takes at least for each block: a chain that stood still takes nobody's time. */
const SECONDS_PER_BLOCK = 20;

/** Whether a window of a deal's state has closed by the chain's newest block, as the escrow judges it. */
export function isClosed(status: Pick<Status, "at" | "atBlock">, seconds: number, newest: BlockTime): boolean {
  const blocks = newest.number - status.atBlock;
  return newest.timestamp * 1000 > status.at + seconds * 1000 && blocks * SECONDS_PER_BLOCK >= seconds;
}

export const dealOf = (given: Decoded): Deal => structFrom(DEAL, given);

export const nodesOf = (given: Iterable<Decoded>): KeyNode[] =>
  [...given].map(fieldsOf).map((node) => ({
    depth: Number(node.depth),
    firstSlot: Number(node.firstSlot),
    x: BigInt(node.x as bigint),
    v: Number(node.v),
  }));
