import { type Decoded, deliveryFrom, fundedIn, PASSED, STATE, type Status, statusFrom } from "@msec/trade";
import { type Delivery } from "@msec/core";
import { type DealStory } from "./types.ts";

/** The status that the escrow has stored, which every call about the deal supplies again. */
export function statusOf({ events, block, at }: DealStory): Status {
  const changed = events.filter(({ contract, name }) => contract === "Escrow" && name === "StatusChanged").at(-1);
  return changed ? statusFrom(changed.args.status as Decoded) : fundedIn({ number: block, timestamp: at });
}

/** The masked keys, once they were delivered. */
export function deliveryOf({ events }: DealStory): Delivery | undefined {
  const delivered = events.filter(({ contract, name }) => contract === "Escrow" && name === "Delivered").at(-1);
  return delivered && deliveryFrom(delivered.args);
}

const ENDS = { Released: STATE.released, Refunded: STATE.refunded, Resolved: STATE.resolved } as const;

/** The status that the escrow keeps of a deal that is over; no event gives it whole. Undefined while it is not over. */
export function finalStatusOf(story: DealStory): Status | undefined {
  const end = story.events.find(({ contract, name }) => contract === "Escrow" && name in ENDS);
  if (!end) return undefined;
  const before = statusOf(story);
  const state = ENDS[end.name as keyof typeof ENDS] | (before.state & PASSED);
  return { state, at: end.at * 1000, atBlock: end.block, deliveryHash: before.deliveryHash };
}
