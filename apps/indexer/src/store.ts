import { transaction } from "@msec/companion-db";
import { type Hex, type Thing } from "@msec/core";
import type pg from "pg";
import { type ContractEvent } from "./decode.ts";
import { type Told } from "./streams.ts";
import { VIEWS } from "./views.ts";

/** Raised with every change of tables or views: what an older version kept is then read from the chain again. */
const VERSION = 3;

const TABLES = `
create table city (
  one boolean primary key default true check (one),
  version integer not null,
  chain_id bigint not null,
  addresses text not null
);
create table blocks (
  number bigint primary key,
  hash text not null,
  at bigint not null
);
create table events (
  block bigint not null references blocks on delete cascade,
  index integer not null,
  tx text not null,
  contract text not null,
  name text not null,
  args jsonb not null,
  primary key (block, index)
);
create index events_by_name on events (contract, name, block, index);
create index events_by_args on events using gin (args jsonb_path_ops);
create index events_by_deal on events ((args->>'dealId'), block, index);
create index events_by_case on events ((args->>'id'), block, index);
create index events_by_offer on events ((args->>'offerId'), block, index);
create index events_by_subscription on events ((args->>'subscriptionId'), block, index);
create index events_by_stream on events ((args->>'streamId'), block, index);
create index events_by_device on events ((args->>'deviceId'), block, index);
create table streams (
  stream_id text primary key,
  description jsonb not null,
  thing_version bigint not null default 0,
  thing jsonb,
  place point,
  from_ms bigint,
  to_ms bigint,
  anchored_at_ms bigint
);
create index streams_by_place on streams using gist (place);
create table scores (
  seller text primary key,
  provider text not null,
  score real,
  block bigint not null,
  asked_at timestamptz not null default now()
);
${VIEWS}`;

/** A block that was read: the newest one, or one that holds events. */
export interface Block {
  number: number;
  hash: Hex;
  /** Unix seconds. */
  at: number;
}

/** What a city's chain has said. The only truth in it is the events; all else is views of them. */
export class Store {
  readonly db: pg.Pool;

  private constructor(db: pg.Pool) {
    this.db = db;
  }

  /**
   * @param rebuild Forgets everything first.
   * @throws Error if the database holds another city.
   */
  static async open(db: pg.Pool, city: { chainId: number; addresses: object }, rebuild: boolean): Promise<Store> {
    const addresses = JSON.stringify(Object.entries(city.addresses).sort());
    await transaction(db, async (tx) => {
      // Two that start at once take turns.
      await tx.query("select pg_advisory_xact_lock(hashtext('msec.indexer'))");
      const there = (await tx.query("select to_regclass('city') is not null as there")).rows[0] as { there: boolean };
      const known = there.there
        ? ((await tx.query("select version, chain_id, addresses from city")).rows[0] as
            | { version: number; chain_id: string; addresses: string }
            | undefined)
        : undefined;
      const sameCity = known && Number(known.chain_id) === city.chainId && known.addresses === addresses;
      if (known && !sameCity && !rebuild)
        throw new Error(
          `the database holds another city, of chain ${known.chain_id}: give the indexer a database of its own, or start it with --rebuild`,
        );
      if (sameCity && known.version === VERSION && !rebuild) return;
      await tx.query("drop table if exists city, blocks, events, streams, scores cascade");
      await tx.query(TABLES);
      await tx.query("insert into city (version, chain_id, addresses) values ($1, $2, $3)", [
        VERSION,
        city.chainId,
        addresses,
      ]);
    });
    return new Store(db);
  }

  /** The newest block that was read, or undefined before the first. */
  async head(): Promise<Block | undefined> {
    return (await this.blocks(1))[0];
  }

  /** The newest blocks that are kept, newest first. */
  async blocks(most: number, below = Number.MAX_SAFE_INTEGER): Promise<Block[]> {
    const { rows } = await this.db.query(
      "select number, hash, at from blocks where number < $2 order by number desc limit $1",
      [most, below],
    );
    return rows.map((row) => ({ number: Number(row.number), hash: row.hash as Hex, at: Number(row.at) }));
  }

  /** Takes the events of a range of blocks and its last block, whole or not at all. */
  async append(events: readonly ContractEvent[], blocks: readonly Block[]): Promise<void> {
    await transaction(this.db, async (tx) => {
      // Of the blocks before only those with events are kept.
      await tx.query(
        "delete from blocks b where number = (select max(number) from blocks) and not exists (select 1 from events e where e.block = b.number)",
      );
      await tx.query(
        "insert into blocks select * from jsonb_to_recordset($1) as b (number bigint, hash text, at bigint)",
        [JSON.stringify(blocks)],
      );
      await tx.query(
        "insert into events select * from jsonb_to_recordset($1) as e (block bigint, index integer, tx text, contract text, name text, args jsonb)",
        [JSON.stringify(events)],
      );
    });
  }

  /** Forgets every block after `number`. */
  async rollback(number: number): Promise<void> {
    await this.db.query("delete from blocks where number > $1", [number]);
  }

  /** Streams that events name and no operator has described yet. */
  async undescribed(): Promise<Hex[]> {
    const { rows } = await this.db.query(
      "select distinct stream_id from offers where not exists (select 1 from streams s where s.stream_id = offers.stream_id)",
    );
    return rows.map(({ stream_id }) => stream_id as Hex);
  }

  async describe(streamId: Hex, description: object): Promise<void> {
    await this.db.query("insert into streams values ($1, $2) on conflict do nothing", [
      streamId,
      JSON.stringify(description),
    ]);
  }

  /** Notes how far described streams have come: what reaches furthest of all that was told. */
  async reached(list: readonly Told[]): Promise<void> {
    await this.db.query(
      `update streams s set from_ms = least(from_ms, t.first), to_ms = greatest(to_ms, t."toMs"),
         anchored_at_ms = greatest(anchored_at_ms, t."anchoredAt")
       from (
         select t.*, nullif("firstSlot" * 1000 * (s.description->>'slotSeconds')::bigint, 0) as first
         from jsonb_to_recordset($1) as t ("streamId" text, "firstSlot" bigint, "toMs" bigint, "anchoredAt" bigint)
         join streams s on s.stream_id = t."streamId"
       ) t
       where s.stream_id = t."streamId" and (s.from_ms, s.to_ms, s.anchored_at_ms) is distinct from
         (least(from_ms, t.first), greatest(to_ms, t."toMs"), greatest(anchored_at_ms, t."anchoredAt"))`,
      [JSON.stringify(list)],
    );
  }

  /** Described streams of which a newer description was told than is known. */
  async outdated(list: readonly Told[]): Promise<Hex[]> {
    const { rows } = await this.db.query(
      `select stream_id from streams join jsonb_to_recordset($1) as t ("streamId" text, thing bigint)
         on stream_id = t."streamId" where t.thing > thing_version`,
      [JSON.stringify(list)],
    );
    return rows.map(({ stream_id }) => stream_id as Hex);
  }

  /** Whose a stream is: the device's owner of its owner epoch. */
  async ownerOf(streamId: Hex): Promise<Hex | undefined> {
    const { rows } = await this.db.query(
      `select owner from streams s join owners o on o.device_id = s.description->>'deviceId'
         and o.owner_epoch = (s.description->>'ownerEpoch')::bigint where stream_id = $1`,
      [streamId],
    );
    return (rows[0] as { owner: Hex } | undefined)?.owner;
  }

  async putThing(streamId: Hex, version: number, thing: Thing): Promise<void> {
    const { place } = thing;
    await this.db.query(
      `update streams set thing_version = $2, thing = $3, place = point($4::float8, $5::float8)
       where stream_id = $1 and thing_version < $2`,
      [streamId, version, JSON.stringify(thing), place?.longitude ?? null, place?.latitude ?? null],
    );
  }

  /** Sellers of whose score the chain was not asked in the last hour, or not since they were rated. */
  async unscored(): Promise<Hex[]> {
    const { rows } = await this.db.query(
      `select distinct o.seller from offers o left join scores s on s.seller = o.seller
       where s.seller is null or s.asked_at < now() - interval '1 hour' or exists (
         select 1 from events e where e.contract = 'Reputation' and e.name = 'Rated' and e.block > s.block
           and e.args->>'provider' = s.provider
       )`,
    );
    return rows.map(({ seller }) => seller as Hex);
  }

  /** @param score Percent; null where nobody has rated the seller. */
  async putScore(seller: Hex, provider: Hex, score: number | null): Promise<void> {
    await this.db.query(
      `insert into scores values ($1, $2, $3, (select coalesce(max(number), 0) from blocks))
       on conflict (seller) do update
       set provider = excluded.provider, score = excluded.score, block = excluded.block, asked_at = now()`,
      [seller, provider, score],
    );
  }
}
