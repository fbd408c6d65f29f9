import type pg from "pg";
import { PrivacyError } from "./errors.ts";
import { type Envelope, type Metadata, type PrivacyFlag } from "./payload.ts";

const TABLES = `
create table if not exists payloads (
  key text primary key,
  number bigserial unique,
  sender text not null,
  body bytea not null,
  metadata jsonb not null
);
create table if not exists boxes (
  key text not null references payloads,
  recipient text not null,
  box bytea not null,
  primary key (key, recipient)
);
create index if not exists boxes_by_recipient on boxes (recipient);
create index if not exists payloads_by_sender on payloads (sender);
create table if not exists raw (
  key text primary key,
  body bytea not null,
  box bytea not null
);
create table if not exists outbox (
  id bigserial primary key,
  party text not null,
  key text not null references payloads,
  refusal text,
  unique (party, key)
)`;

const ENVELOPES = `select p.key, p.number, p.body, p.metadata,
  array_agg(b.recipient order by b.recipient) as recipients, array_agg(b.box order by b.recipient) as boxes
  from payloads p join boxes b using (key)`;

/** One statement, so one transaction and one way to the server: nothing is kept unless the metadata is as it was. */
const PUT = `with new as (
    insert into payloads (key, sender, body, metadata) values ($1, $2, $3, $4) on conflict do nothing returning 1
  ), kept as (
    select from new union all select from payloads where key = $1 and metadata = $4::jsonb
  ), boxed as (
    insert into boxes (key, recipient, box) select $1, * from unnest($5::text[], $6::bytea[])
    where exists (select from kept) on conflict do nothing
  ), queued as (
    insert into outbox (party, key) select party, $1 from unnest($7::text[]) party
    where exists (select from kept) on conflict do nothing
  ), sent as (delete from raw where key = $1 and exists (select from kept))
  select exists (select from kept) as kept`;

type Database = Pick<pg.Pool | pg.PoolClient, "query">;

/** A payload that waits for a party's manager. */
export interface Waiting {
  id: string;
  envelope: Envelope;
}

/** A payload, its place in the order in which they came, and the parties that it still waits for. */
export interface Kept {
  number: string;
  envelope: Envelope;
  waiting: string[];
}

const canonical = ({ flag, execHash, affected, mandatory, participants }: Metadata): Metadata => ({
  flag,
  execHash,
  affected: [...affected].sort((a, b) => (a.key < b.key ? -1 : 1)),
  mandatory: [...mandatory].sort(),
  participants: [...participants].sort(),
});

interface Row {
  number: string;
  body: Buffer;
  metadata: Metadata & { flag: PrivacyFlag };
  recipients: string[];
  boxes: Buffer[];
}

const envelopeOf = (row: Row): Envelope => ({
  ...row.metadata,
  body: new Uint8Array(row.body),
  boxes: row.recipients.map((recipient, i) => ({ recipient, box: new Uint8Array(row.boxes[i] as Buffer) })),
});

/** Payloads as they were sealed; nothing in it can be read without the manager's keys. */
export class Store {
  readonly #db: Database;

  private constructor(db: Database) {
    this.#db = db;
  }

  /** On a pool, or on the one client whose transaction all of it is to be part of. */
  static async open(db: Database): Promise<Store> {
    await db.query(TABLES);
    return new Store(db);
  }

  async check(): Promise<void> {
    await this.#db.query("select 1");
  }

  /**
   * Keeps a payload, adding its boxes to those that are there, and queues it for parties. Again: no effect. A 409 where
   * the same payload is there with other metadata.
   */
  async put(key: string, sender: string, envelope: Envelope, waitingParties: string[] = []): Promise<void> {
    const values = [
      ...[key, sender, Buffer.from(envelope.body), JSON.stringify(canonical(envelope))],
      ...[envelope.boxes.map((b) => b.recipient), envelope.boxes.map((b) => Buffer.from(b.box)), waitingParties],
    ];
    const { rows } = await this.#db.query(PUT, values);
    if (rows[0].kept) return;
    // Another request may have kept it since this one began to look.
    if ((await this.#db.query(PUT, values)).rows[0].kept) return;
    throw new PrivacyError(
      409,
      `the payload ${key} is known with another flag, execHash, affected contract or party list: store it anew`,
    );
  }

  async get(key: string): Promise<Envelope | undefined> {
    return (await this.getAll([key])).get(key);
  }

  async getAll(keys: readonly string[]): Promise<Map<string, Envelope>> {
    if (keys.length === 0) return new Map();
    const { rows } = await this.#db.query(`${ENVELOPES} where p.key = any($1) group by p.key`, [keys]);
    return new Map(rows.map((row) => [row.key as string, envelopeOf(row)]));
  }

  /** A payload that was stored before it has recipients: its body and the box for its own sender. */
  async putRaw(key: string, body: Uint8Array, box: Uint8Array): Promise<void> {
    await this.#db.query("insert into raw (key, body, box) values ($1, $2, $3) on conflict do nothing", [
      key,
      Buffer.from(body),
      Buffer.from(box),
    ]);
  }

  async raw(key: string): Promise<{ body: Uint8Array; box: Uint8Array } | undefined> {
    const { rows } = await this.#db.query("select body, box from raw where key = $1", [key]);
    return rows[0] && { body: new Uint8Array(rows[0].body), box: new Uint8Array(rows[0].box) };
  }

  /** Payloads that these keys sent or received, in the order in which they came, after a number. */
  async ofParty(
    keys: readonly string[],
    after: string,
    limit: number,
  ): Promise<{ number: string; envelope: Envelope }[]> {
    const { rows } = await this.#db.query(
      `${ENVELOPES} where p.number > $2 and (p.sender = any($1) or exists (
         select from boxes o where o.key = p.key and o.recipient = any($1)))
       group by p.key order by p.number limit $3`,
      [keys, after, limit],
    );
    return rows.map((row) => ({ number: row.number as string, envelope: envelopeOf(row) }));
  }

  /** All payloads after a number, with whoever they wait for. */
  async page(after: string, limit: number): Promise<Kept[]> {
    const { rows } = await this.#db.query(
      `select *, array(select o.party from outbox o where o.key = page.key order by o.id) as waiting
       from (${ENVELOPES} where p.number > $1 group by p.key order by p.number limit $2) page order by number`,
      [after, limit],
    );
    return rows.map((row) => ({ number: row.number as string, envelope: envelopeOf(row), waiting: row.waiting }));
  }

  /** What was stored and not sent, after a key. */
  async rawPage(after: string, limit: number): Promise<{ key: string; body: Uint8Array; box: Uint8Array }[]> {
    const { rows } = await this.#db.query("select key, body, box from raw where key > $1 order by key limit $2", [
      after,
      limit,
    ]);
    return rows.map(({ key, body, box }) => ({ key, body: new Uint8Array(body), box: new Uint8Array(box) }));
  }

  /** What waits for a party and was not refused by it, oldest first. */
  async waiting(party: string, limit: number): Promise<Waiting[]> {
    const { rows } = await this.#db.query(
      "select id, key from outbox where party = $1 and refusal is null order by id limit $2",
      [party, limit],
    );
    const envelopes = await this.getAll(rows.map((row) => row.key as string));
    return rows.map((row) => ({ id: row.id as string, envelope: envelopes.get(row.key as string) as Envelope }));
  }

  async delivered(id: string): Promise<void> {
    await this.#db.query("delete from outbox where id = $1", [id]);
  }

  async refused(id: string, refusal: string): Promise<void> {
    await this.#db.query("update outbox set refusal = $2 where id = $1", [id, refusal]);
  }

  async counts(): Promise<{ payloads: number; waiting: Record<string, number>; refused: number }> {
    const { rows } = await this.#db.query("select count(*) as n from payloads");
    const outbox = await this.#db.query(
      "select party, count(*) filter (where refusal is null) as n, count(refusal) as refused from outbox group by party",
    );
    return {
      payloads: Number(rows[0].n),
      waiting: Object.fromEntries(outbox.rows.map((row) => [row.party as string, Number(row.n)])),
      refused: outbox.rows.reduce((sum, row) => sum + Number(row.refused), 0),
    };
  }
}
