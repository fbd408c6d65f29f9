import { type Deal, type Hex, keccak256, toHex, utf8 } from "@msec/core";
import { type Call } from "./abi.ts";
import { type BlockTime, isClosed, type Status } from "./deal-status.ts";
import { abiDeal, type AbiDeal, abiStatus, type AbiStatus } from "./purchase.ts";

/** Organisations outside a deal that must judge, at least. */
export const LEAST_JUDGES = 3;

/** What a complaint about quality costs: the judges' whatever they rule, and back where they stay silent. */
export const complaintBond = ({ price }: Pick<Deal, "price">): bigint => (price + 9n) / 10n;

/** All that the chain has of what a buyer complains of. */
export const complaintDigest = (text: string): Hex => toHex(keccak256(utf8(text)));

type Parties = Pick<Deal, "buyer" | "seller" | "deliverer" | "fallbackDeliverer">;

/** Whose organisations do not judge, as `Arbitration` takes them. */
export const partiesOf = ({ buyer, seller, deliverer, fallbackDeliverer }: Parties): [Hex, Hex, Hex, Hex] => [
  buyer,
  seller,
  deliverer,
  fallbackDeliverer,
];

/** The panel of this time judges a delivered deal: one that could be known when it was bought. Unix milliseconds. */
export const panelTime = ({ deliverSeconds }: Pick<Deal, "deliverSeconds">, delivered: Pick<Status, "at">): number =>
  Math.max(0, delivered.at - deliverSeconds * 1000);

/** `Escrow.dispute`: takes a delivered deal to the panel. By the buyer, who has let the escrow take {@link complaintBond}. */
export const disputeCall = (
  deal: Deal,
  status: Status,
  complaint: Hex,
): Call<"dispute", [AbiDeal, AbiStatus, Hex]> => ({
  functionName: "dispute",
  args: [abiDeal(deal), abiStatus(status), complaint],
});

/** `Escrow.resolve`: ends a disputed deal, once it is {@link CasePhase} `ruled` or `lapsed`. By anyone. */
export const resolveCall = (deal: Deal, status: Status): Call<"resolve", [AbiDeal, AbiStatus]> => ({
  functionName: "resolve",
  args: [abiDeal(deal), abiStatus(status)],
});

/** How long the panel of a city has; seconds from the opening of a case. */
export interface CaseWindows {
  commitSeconds: number;
  /** Until votes can no longer be shown. */
  caseSeconds: number;
  /** Until a ruling can no longer be fetched. */
  rulingSeconds: number;
}

/**
 * Where a case is: votes are committed; they are shown; there is a ruling; too few were shown for one, so the sale will
 * stand; the time for a ruling is over, so the sale stands.
 */
export type CasePhase = "commit" | "reveal" | "ruled" | "unruled" | "lapsed";

/** @param opened Status of the disputed deal. */
export function casePhase(
  opened: Pick<Status, "at" | "atBlock">,
  revealed: number,
  { commitSeconds, caseSeconds, rulingSeconds }: CaseWindows,
  newest: BlockTime,
): CasePhase {
  const closed = (seconds: number) => isClosed(opened, seconds, newest);
  if (!closed(commitSeconds)) return "commit";
  if (!closed(caseSeconds)) return "reveal";
  if (closed(rulingSeconds)) return "lapsed";
  return revealed < LEAST_JUDGES ? "unruled" : "ruled";
}

/** How much of the seller's part goes back, of a thousand: the (lower) median of the votes shown. */
export const medianOf = (votes: readonly number[]): number =>
  [...votes].sort((a, b) => a - b)[Math.floor((votes.length - 1) / 2)] as number;
