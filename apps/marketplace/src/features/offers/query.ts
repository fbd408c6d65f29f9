/** What an offer is looked for by, as it stands in the address of the page. */
export interface OfferQuery {
  text: string;
  mode: "" | "0" | "1" | "2";
  assurance: "" | "1" | "2";
  /** In the token's smallest unit, of a reading or sealed pack. */
  mostPrice: string;
  before: string;
}

type Params = Record<string, string | string[] | undefined>;

const one = (value: string | string[] | undefined) => (Array.isArray(value) ? (value[0] ?? "") : (value ?? ""));

/** Reads it from an address; what makes no sense there is left out. */
export function readQuery(params: Params): OfferQuery {
  const pick = <T extends string>(value: string, allowed: readonly T[]): T | "" =>
    (allowed as readonly string[]).includes(value) ? (value as T) : "";
  const digits = (value: string) => (/^\d{1,30}$/.test(value) ? value : "");
  return {
    text: one(params.text).trim().slice(0, 100),
    mode: pick(one(params.mode), ["0", "1", "2"]),
    assurance: pick(one(params.assurance), ["1", "2"]),
    mostPrice: digits(one(params.mostPrice)),
    before: digits(one(params.before)),
  };
}

/** The indexer's question. */
export function offersPath(query: OfferQuery, limit: number): string {
  const given = Object.entries(query).filter(([, value]) => value !== "");
  return `/offers?${new URLSearchParams([["open", "true"], ["limit", String(limit)], ...given] as [string, string][])}`;
}
