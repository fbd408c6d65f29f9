import type * as shape from "@msec/indexer/shapes";
import type { z } from "zod";

export type IndexedPlaces = z.output<typeof shape.places>;
export type IndexedPlace = z.output<typeof shape.place>;

/** West, south, east, north, in degrees. */
export type Box = [number, number, number, number];
