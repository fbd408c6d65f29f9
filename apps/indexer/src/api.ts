import { bytes32 } from "@msec/service";
import { z } from "zod";
import { type Route, route } from "./routes.ts";
import * as shape from "./shapes.ts";
import { type Store } from "./store.ts";

type Row = Record<string, unknown>;
/** Conditions of a query, each with its value; one whose value is undefined is left out. */
type Conditions = [sql: string, value: unknown][];

const EVENTS_A_BLOCK = 1_000_000;
const MOST_PLACES = 5_000;

/** What of an offer is asked for, whether on a list or a map. */
const offerConditions = (q: Omit<z.output<typeof shape.offerQuery>, "limit" | "before">): Conditions => [
  ["stream_id = ?", q.stream],
  ["seller = ?", q.seller],
  ["open = ?", q.open],
  ["(stream->>'mode')::integer = ?", q.mode],
  ["assurance = ?", q.assurance],
  ["(terms->>'unitPrice')::numeric <= ?::numeric", q.mostPrice],
  ["position(lower(?) in lower(description::text || coalesce(thing->'place'->>'name', ''))) > 0", q.text],
  ["place <@ ?::box", q.where?.replace(/^(.+),(.+),(.+),(.+)$/, "($1,$2),($3,$4)")],
  ["to_ms >= ?", q.from],
  ["to_ms is not null and coalesce(from_ms, 0) <= ?", q.to],
  ["anchored_at_ms >= ?", q.fresh === undefined ? undefined : Date.now() - q.fresh * 1000],
  ["score >= ?", q.leastScore],
];

/** The conditions that are given, as SQL and its values. */
function whereOf(conditions: Conditions): { where: string; values: unknown[] } {
  const given = conditions.filter(([, value]) => value !== undefined);
  const where = given.map(([sql], i) => sql.replace("?", `$${i + 1}`)).join(" and ") || "true";
  return { where, values: given.map(([, value]) => value) };
}

/** Every question that the API answers, and how. */
export function routesOf(
  store: Store,
  status: () => Promise<z.input<typeof shape.status>>,
  audit: () => Promise<z.input<typeof shape.audit>>,
): Route[] {
  /** A page of a view, newest first, each row as `shown`. */
  const list = async <T>(
    view: string,
    conditions: Conditions,
    { limit, before }: { limit: number; before?: number | undefined },
    shown: (row: Row) => T,
  ): Promise<{ items: T[]; next: number | null }> => {
    const { where, values } = whereOf([...conditions, [`block * ${EVENTS_A_BLOCK} + index < ?`, before]]);
    const { rows } = (await store.db.query(
      `select * from ${view} v where ${where} order by block desc, index desc limit ${limit + 1}`,
      values,
    )) as { rows: Row[] };
    const last = rows.length > limit ? rows[limit - 1] : undefined;
    return {
      items: rows.slice(0, limit).map(shown),
      next: last ? Number(last.block) * EVENTS_A_BLOCK + Number(last.index) : null,
    };
  };
  /** The streams of the offers that fit, each once, with where they stand. */
  const places = async (conditions: Conditions): Promise<z.input<typeof shape.places>> => {
    const { where, values } = whereOf(conditions);
    const { rows } = (await store.db.query(
      `select v.*, s.description->>'name' as name, s.place, s.thing->'place' as at
       from (
         select stream_id, count(*) as offers, min((terms->>'unitPrice')::numeric) as price,
           min((stream->>'mode')::integer) as mode, max(block * ${EVENTS_A_BLOCK} + index) as newest
         from offer_list v where ${where} group by stream_id
       ) v left join streams s using (stream_id)
       order by place is null, newest desc`,
      values,
    )) as { rows: Row[] };
    const placed = rows.filter((row) => row.place !== null);
    return {
      items: placed.slice(0, MOST_PLACES).map((row) => {
        const { accuracy, name } = row.at as { accuracy?: number; name?: string };
        const { x, y } = row.place as { x: number; y: number };
        return {
          streamId: row.stream_id as string,
          name: row.name as string,
          latitude: y,
          longitude: x,
          accuracy: accuracy ?? null,
          place: name ?? null,
          mode: Number(row.mode),
          offers: Number(row.offers),
          leastPrice: String(row.price),
        };
      }),
      more: placed.length > MOST_PLACES,
      elsewhere: rows.length - placed.length,
    };
  };
  const one = async <T>(view: string, column: string, id: string, shown: (row: Row) => T): Promise<T | undefined> =>
    (await list(view, [[`${column} = ?`, id]], { limit: 1 }, shown)).items[0];
  const eventsOf = async (key: string, id: string) =>
    (await list("event_list", [[`args->>'${key}' = ?`, id]], { limit: 500 }, shownEvent)).items.reverse();
  /** One row of a view by its id, with every event that names it. */
  const story = <S extends z.ZodRawShape>(
    what: string,
    view: string,
    key: "dealId" | "subscriptionId" | "deviceId",
    item: z.ZodObject<S>,
    shown: (row: Row) => z.input<z.ZodObject<S>>,
  ): Route =>
    route({
      path: `/${view}/{${key}}`,
      summary: `${what} and all that happened to it, oldest first`,
      params: { [key]: bytes32 },
      answer: item.extend({ events: z.array(shape.event) }) as z.ZodType,
      handle: async (params) => {
        const id = params[key] as string;
        const found = await one(view, key.replace("Id", "_id"), id, shown);
        return found && { ...found, events: await eventsOf(key, id) };
      },
    });

  return [
    route({
      path: "/status",
      summary: "How far the chain was read",
      answer: shape.status,
      handle: status,
    }),
    route({
      path: "/audit",
      summary:
        "The contracts against their build, roles and pauses, and the invariants with their figures, all of one block",
      answer: shape.audit,
      handle: audit,
    }),
    route({
      path: "/offers",
      summary: "Published offers, newest first",
      query: shape.offerQuery,
      answer: pageOf(shape.offer),
      handle: (_, q) => list("offer_list", offerConditions(q), q, shownOffer),
    }),
    route({
      path: "/places",
      summary: "Where the streams on offer stand",
      query: shape.placesQuery,
      answer: shape.places,
      handle: (_, q) => places(offerConditions({ ...q, open: true })),
    }),
    route({
      path: "/streams/{streamId}",
      summary: "A stream: what it is called and measures, where, and how far it has come",
      params: { streamId: bytes32 },
      answer: shape.stream,
      handle: async ({ streamId }) => {
        const { rows } = await store.db.query("select * from streams where stream_id = $1", [streamId]);
        const row = rows[0] as Row | undefined;
        return (
          row && {
            streamId: row.stream_id as string,
            description: row.description as never,
            thing: (row.thing ?? null) as never,
            measured: measuredOf(row),
          }
        );
      },
    }),
    route({
      path: "/offers/{offerId}",
      summary: "An offer",
      params: { offerId: bytes32 },
      answer: shape.offer,
      handle: ({ offerId }) => one("offer_list", "offer_id", offerId as string, shownOffer),
    }),
    route({
      path: "/deals",
      summary: "Deals of the escrow, newest first",
      query: shape.dealQuery,
      answer: pageOf(shape.deal),
      handle: (_, q) =>
        list(
          "deals",
          [
            ["buyer = ?", q.buyer],
            ["seller = ?", q.seller],
            ["deliverer = ?", q.deliverer],
            ["stream_id = ?", q.stream],
            ["state = ?", q.state],
          ],
          q,
          shownDeal,
        ),
    }),
    story("A deal", "deals", "dealId", shape.deal, shownDeal),
    route({
      path: "/cases",
      summary: "Complaints about quality that are or were before the panel, newest first",
      query: shape.complaintQuery,
      answer: pageOf(shape.complaint),
      handle: (_, q) => list("cases", [["open = ?", q.open]], q, shownCase),
    }),
    route({
      path: "/cases/{dealId}",
      summary: "The complaint about the quality of a deal: who judges, and the votes that were shown",
      params: { dealId: bytes32 },
      answer: shape.complaint,
      handle: ({ dealId }) => one("cases", "deal_id", dealId as string, shownCase),
    }),
    route({
      path: "/subscriptions",
      summary: "Subscriptions, newest first",
      query: shape.subscriptionQuery,
      answer: pageOf(shape.subscription),
      handle: (_, q) =>
        list(
          "subscriptions",
          [
            ["buyer = ?", q.buyer],
            ["deliverer = ?", q.deliverer],
          ],
          q,
          shownSubscription,
        ),
    }),
    story("A subscription", "subscriptions", "subscriptionId", shape.subscription, shownSubscription),
    route({
      path: "/devices",
      summary: "Enrolled devices, newest first",
      query: shape.deviceQuery,
      answer: pageOf(shape.device),
      handle: (_, q) =>
        list(
          "devices",
          [
            ["owner = ?", q.owner],
            ["status = ?", q.status],
          ],
          q,
          shownDevice,
        ),
    }),
    story("A device", "devices", "deviceId", shape.device, shownDevice),
    route({
      path: "/grants",
      summary: "Consents that were given, newest first",
      query: shape.grantQuery,
      answer: pageOf(shape.grant),
      handle: (_, q) =>
        list(
          "grants",
          [
            ["stream_id = ?", q.stream],
            ["grantee = ?", q.grantee],
          ],
          q,
          shownGrant,
        ),
    }),
    route({
      path: "/erasures",
      summary: "Erasures that were asked for, newest first",
      query: shape.erasureQuery,
      answer: pageOf(shape.erasure),
      handle: (_, q) => list("erasures", [["stream_id = ?", q.stream]], q, shownErasure),
    }),
    route({
      path: "/epochs",
      summary: "Anchored epochs, newest first",
      query: shape.epochQuery,
      answer: pageOf(shape.epoch),
      handle: (_, q) => list("epochs", [["number = ?", q.number]], q, shownEpoch),
    }),
    route({
      path: "/events",
      summary: "Every event of the city's contracts, newest first",
      query: shape.eventQuery,
      answer: pageOf(shape.event),
      handle: (_, q) =>
        list(
          "event_list",
          [
            ["contract = ?", q.contract],
            ["name = ?", q.name],
          ],
          q,
          shownEvent,
        ),
    }),
  ];
}

const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), next: z.int().nullable().describe("give it as `before` for the next page") });

const origin = (row: Row) => ({ block: Number(row.block), tx: row.tx as string, at: Number(row.at) });
const numberOrNull = (value: unknown) => (value === null || value === undefined ? null : Number(value));
type Shown<T extends z.ZodType> = z.input<T>;

const measuredOf = (row: Row) => ({
  fromMs: numberOrNull(row.from_ms),
  toMs: numberOrNull(row.to_ms),
  anchoredAtMs: numberOrNull(row.anchored_at_ms),
});

const shownOffer = (row: Row): Shown<typeof shape.offer> => ({
  offerId: row.offer_id as string,
  streamId: row.stream_id as string,
  seller: row.seller as string,
  open: row.open as boolean,
  stream: row.stream as never,
  terms: row.terms as never,
  description: (row.description ?? null) as never,
  assurance: numberOrNull(row.assurance),
  thing: (row.thing ?? null) as never,
  measured: measuredOf(row),
  score: numberOrNull(row.score),
  ...origin(row),
});

const shownDeal = (row: Row): Shown<typeof shape.deal> => ({
  dealId: row.deal_id as string,
  buyer: row.buyer as string,
  seller: row.seller as string,
  deliverer: row.deliverer as string,
  streamId: row.stream_id as string,
  state: row.state as never,
  refund: numberOrNull(row.refund),
  deal: row.deal as never,
  nodes: row.nodes as never,
  ...origin(row),
});

const shownCase = (row: Row): Shown<typeof shape.complaint> => {
  const [members, organisations] = [row.members as string[], row.organisations as string[]];
  const [committed, revealed] = [row.committed as number[], row.revealed as Record<string, number>];
  const excluded = BigInt(row.excluded as string);
  return {
    dealId: row.deal_id as string,
    complaint: row.complaint as string,
    stake: String(row.stake),
    panel: Number(row.panel),
    seats: members.map((member, seat) => ({
      member,
      organisation: organisations[seat] as string,
      mayJudge: ((excluded >> BigInt(seat)) & 1n) === 0n,
      committed: committed.includes(seat),
      perMille: revealed[seat] ?? null,
    })),
    open: row.open as boolean,
    ...origin(row),
  };
};

const shownSubscription = (row: Row): Shown<typeof shape.subscription> => ({
  subscriptionId: row.subscription_id as string,
  buyer: row.buyer as string,
  deliverer: row.deliverer as string,
  terms: row.terms as never,
  deposit: String(row.deposit),
  batches: Number(row.batches),
  ended: numberOrNull(row.ended),
  ...origin(row),
});

const shownDevice = (row: Row): Shown<typeof shape.device> => ({
  deviceId: row.device_id as string,
  owner: row.owner as string,
  organisation: row.organisation as string,
  assurance: Number(row.assurance),
  status: Number(row.status),
  keyEpoch: Number(row.key_epoch),
  attestedAtMs: numberOrNull(row.attested_at_ms),
  ...origin(row),
});

const shownGrant = (row: Row): Shown<typeof shape.grant> => ({
  streamId: row.stream_id as string,
  purpose: row.purpose as string,
  grantee: row.grantee as string,
  fromMs: String(row.from_ms),
  untilMs: String(row.until_ms),
  standing: row.standing as boolean,
  ...origin(row),
});

const shownErasure = (row: Row): Shown<typeof shape.erasure> => ({
  streamId: row.stream_id as string,
  number: Number(row.number),
  fromSlot: Number(row.from_slot),
  toSlot: Number(row.to_slot),
  completeAtMs: numberOrNull(row.complete_at_ms),
  ...origin(row),
});

const shownEpoch = (row: Row): Shown<typeof shape.epoch> => ({
  number: Number(row.number),
  epochHash: row.epoch_hash as string,
  packs: Number(row.packs),
  readings: Number(row.readings),
  ...origin(row),
});

const shownEvent = (row: Row): Shown<typeof shape.event> => ({
  contract: row.contract as string,
  name: row.name as string,
  args: row.args as never,
  index: Number(row.index),
  ...origin(row),
});
