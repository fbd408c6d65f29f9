import { type Decoded, deliveryFrom, fundedIn, type Status, statusFrom } from "@msec/trade";
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
