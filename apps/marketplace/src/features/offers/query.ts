import type { Box } from "../map/types.ts";

/** What an offer is looked for by, as it stands in the address of the page. */
export interface OfferQuery {
  text: string;
  mode: "" | "0" | "1" | "2";
  assurance: "" | "1" | "2";
  /** In the token's smallest unit, of a reading or sealed pack. */
  mostPrice: string;
  /** West, south, east, north, in degrees. */
  where: string;
  /** Days, such as 2026-05-31 (UTC), both included. */
  from: string;
  to: string;
  /** Anchored within so many seconds. */
  fresh: "" | "3600" | "86400" | "604800";
  /** Of the seller, in percent. */
  leastScore: "" | "25" | "50" | "75";
  before: string;
}
export const FRESH = ["3600", "86400", "604800"] as const;
export const SCORES = ["25", "50", "75"] as const;

type Params = Record<string, string | string[] | undefined>;

const DAY_MS = 86_400_000;
const one = (value: string | string[] | undefined) => (Array.isArray(value) ? (value[0] ?? "") : (value ?? ""));

/** Reads it from an address; what makes no sense there is left out. */
export function readQuery(params: Params): OfferQuery {
  const pick = <T extends string>(value: string, allowed: readonly T[]): T | "" =>
    (allowed as readonly string[]).includes(value) ? (value as T) : "";
  const digits = (value: string) => (/^\d{1,30}$/.test(value) ? value : "");
  const day = (value: string) => (/^\d{4}-\d\d-\d\d$/.test(value) && Date.parse(value) >= 0 ? value : "");
  return {
    text: one(params.text).trim().slice(0, 100),
    mode: pick(one(params.mode), ["0", "1", "2"]),
    assurance: pick(one(params.assurance), ["1", "2"]),
    mostPrice: digits(one(params.mostPrice)),
    where: readBox(one(params.where)) ? one(params.where) : "",
    from: day(one(params.from)),
    to: day(one(params.to)),
    fresh: pick(one(params.fresh), FRESH),
    leastScore: pick(one(params.leastScore), SCORES),
    before: digits(one(params.before)),
  };
}

const given = (query: Partial<OfferQuery>) => Object.entries(query).filter(([, value]) => value !== "");

/** The address of the page again. */
export const searchOf = (query: Partial<OfferQuery>) => new URLSearchParams(given(query));

/** The indexer's question. */
export const offersPath = (query: OfferQuery, limit: number): string =>
  `/offers?${new URLSearchParams([["open", "true"], ["limit", String(limit)], ...given(asked(query))] as [string, string][])}`;

/** The same for the map, which shows all places whatever the list is narrowed to. */
export const placesPath = (query: OfferQuery): string => {
  const { where: _, before: __, ...rest } = asked(query);
  return `/places?${searchOf(rest)}`;
};

const asked = (query: OfferQuery): OfferQuery => ({
  ...query,
  from: query.from && String(Date.parse(query.from)),
  to: query.to && String(Date.parse(query.to) + DAY_MS - 1),
});

/** Digits of a degree: a metre. */
const DIGITS = 5;

export const whereOf = (box: Box): string => box.map((degrees) => degrees.toFixed(DIGITS)).join(",");

function readBox(text: string): Box | undefined {
  if (!/^-?\d{1,3}(\.\d{1,9})?(,-?\d{1,3}(\.\d{1,9})?){3}$/.test(text)) return undefined;
  const [west, south, east, north] = text.split(",").map(Number) as Box;
  const fits = west <= east && south <= north && west >= -180 && east <= 180 && south >= -90 && north <= 90;
  return fits ? [west, south, east, north] : undefined;
}
export const boxOfQuery = ({ where }: OfferQuery): Box | undefined => readBox(where);
