import { type Hex, SUBSCRIPTION_TERMS, type SubscriptionTerms } from "@msec/core";
import { type Decoded, structFrom, valuesOf } from "./abi.ts";

/** Phases of a subscription, by ISubscription.Phase. */
export const PHASE = { none: 0, active: 1, held: 2, ending: 3, ended: 4 } as const;

/** What the contract keeps of a subscription. */
export interface SubscriptionState {
  balance: bigint;
  /** The first batch that may still be delivered. */
  next: number;
  /** Held or ending: the first batch that was not over then. */
  limit: number;
  /** Unix milliseconds: of the last delivery while active, else since when it is held or ending. */
  at: number;
  atBlock: number;
  phase: number;
}

/** A batch as its event gives it and the contract's proofs take it. */
export interface Batch {
  number: number;
  by: Hex;
  at: number;
  atBlock: number;
  asOfEpoch: number;
  slots: bigint;
  Ex: bigint;
  vE: number;
  masked: Hex;
}

export const termsFrom = (given: Decoded): SubscriptionTerms => structFrom(SUBSCRIPTION_TERMS, given);

/** The answer of `stateOf`. */
export function subscriptionStateFrom(given: Decoded): SubscriptionState {
  const names = ["balance", "next", "limit", "at", "atBlock", "phase"];
  const [balance, next, limit, at, atBlock, phase] = valuesOf(given, names);
  return {
    balance: BigInt(balance as bigint),
    next: Number(next),
    limit: Number(limit),
    at: Number(at) * 1000,
    atBlock: Number(atBlock),
    phase: Number(phase),
  };
}

/** The batch of a `BatchDelivered`. */
export function batchFrom(given: Decoded): Batch {
  const names = ["number", "by", "at", "atBlock", "asOfEpoch", "slots", "Ex", "vE", "masked"];
  const [number, by, at, atBlock, asOfEpoch, slots, Ex, vE, masked] = valuesOf(given, names);
  return {
    number: Number(number),
    by: (by as string).toLowerCase() as Hex,
    at: Number(at),
    atBlock: Number(atBlock),
    asOfEpoch: Number(asOfEpoch),
    slots: BigInt(slots as bigint),
    Ex: BigInt(Ex as bigint),
    vE: Number(vE),
    masked: masked as Hex,
  };
}
