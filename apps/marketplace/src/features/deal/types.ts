import { type IndexedDeal, type IndexedEvent } from "@/lib/indexer.ts";

/** A deal with all that happened to it, oldest first. */
export type DealStory = IndexedDeal & { events: IndexedEvent[] };

export const isOver = ({ state }: Pick<DealStory, "state">) => ["released", "refunded", "resolved"].includes(state);
