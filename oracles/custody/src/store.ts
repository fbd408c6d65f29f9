import { type Epoch, type Hex, type SignedThing, type StreamPreimage, toHex } from "@msec/core";
import { transaction } from "@msec/companion-db";
import type pg from "pg";

// Everything of an operator that must outlive its process. Each function is one query or one transaction.
//
// A pack's row is written twice: when it is held, and when its epoch is confirmed. No index names the epoch and pages keep
// room, so that the second writing stays on the row's page and touches no index. Contents are ciphertext: trying to
// compress them is in vain.

const TABLES = `
create table if not exists streams (
  stream_id bytea primary key,
  preimage jsonb not null,
  holders jsonb not null
);
create table if not exists stream_keys (
  stream_id bytea not null,
  key_epoch bigint not null,
  spki bytea not null,
  primary key (stream_id, key_epoch)
);
create table if not exists things (
  stream_id bytea primary key,
  version bigint not null,
  document text not null,
  signature text not null
);
create table if not exists packs (
  header_digest bytea primary key,
  stream_id bytea not null,
  key_epoch bigint not null,
  seq bigint not null,
  slot bigint not null,
  readings bigint not null,
  cose bytea not null,
  content bytea,
  content_digest bytea not null,
  received_at bigint not null,
  epoch bigint,
  unique (stream_id, key_epoch, seq)
) with (fillfactor = 80);
create index if not exists packs_by_slot on packs (stream_id, slot, seq);
create index if not exists packs_by_content on packs (content_digest);
create table if not exists dropped (
  header_digest bytea primary key,
  cose bytea not null,
  content bytea,
  stream_id bytea not null,
  slot bigint not null,
  dropped_at bigint not null
);
alter table packs alter column content set storage external;
create table if not exists opened (
  header_digest bytea not null,
  signer bytea not null,
  signature text not null,
  primary key (header_digest, signer)
);
create table if not exists refused (
  header_digest bytea not null,
  signer bytea not null,
  reason int not null,
  signature text not null,
  primary key (header_digest, signer)
);
create table if not exists equivocations (
  stream_id bytea not null,
  key_epoch bigint not null,
  seq bigint not null,
  cose_a bytea not null,
  cose_b bytea not null,
  at bigint not null,
  primary key (stream_id, key_epoch, seq)
);
create table if not exists candidates (
  hash bytea primary key,
  number bigint not null,
  epoch jsonb not null,
  header_digests bytea not null,
  signatures jsonb,
  raw text,
  nonce bigint
);
create index if not exists candidates_by_number on candidates (number);
create table if not exists epochs (
  number bigint primary key,
  hash bytea not null,
  epoch jsonb not null,
  signatures jsonb not null,
  proposer bytea not null,
  header_digests bytea not null,
  tx text not null
);
create table if not exists sealed_blocks (
  number bigint primary key,
  header bytea not null,
  account bytea[] not null
);
create table if not exists certificates (
  epoch bigint primary key,
  block bigint not null,
  storage bytea[] not null
);
create table if not exists device_certificates (
  device_id bytea not null,
  key_epoch bigint not null,
  block bigint not null,
  account bytea[] not null,
  key bytea[] not null,
  state bytea[] not null,
  primary key (device_id, key_epoch)
);
create table if not exists validator_terms (
  from_block bigint primary key,
  validators jsonb not null,
  headers bytea[] not null
);
create table if not exists erasures (
  stream_id bytea not null,
  number bigint not null,
  from_slot bigint not null,
  to_slot bigint not null,
  requested_at bigint not null,
  done_at bigint,
  primary key (stream_id, number)
);
alter table erasures add column if not exists receipted boolean not null default false;
`;

/** What is anchored of a day. */
export interface DayCount {
  day: number;
  packs: number;
  readings: number;
  /** Packs whose contents are gone. */
  erased: number;
}

export interface StreamRow {
  preimage: StreamPreimage;
  holders: HoldersRow;
}

export interface HoldersRow {
  version: number;
  holders: Hex[];
  signature: Hex;
}

/** How far a stream has come, for whoever looks for data. */
export interface StreamReach {
  streamId: Hex;
  /** Version of its description; null while it has none. */
  thing: number | null;
  firstSlot: number | null;
  /** When the epoch of its newest anchored pack closed. */
  anchoredAt: number | null;
}

export interface PackRow {
  headerDigest: Hex;
  streamId: Hex;
  keyEpoch: number;
  seq: number;
  slot: number;
  readings: number;
  cose: Uint8Array;
  content: Uint8Array | null;
  contentDigest: Hex;
  receivedAt: number;
  epoch: number | null;
}

export interface EpochRow {
  epoch: Epoch;
  hash: Hex;
  signatures: Hex[];
  proposer: Hex;
  /** In the order of the epoch's leaves. */
  headerDigests: Hex[];
  tx: Hex;
}

export interface Candidate {
  epoch: Epoch;
  hash: Hex;
  headerDigests: Hex[];
  signatures: Hex[] | null;
  raw: Hex | null;
  nonce: number | null;
}

export interface Erasure {
  streamId: Hex;
  number: number;
  fromSlot: number;
  toSlot: number;
  requestedAt: number;
  doneAt: number | null;
  /** Whether the chain has this operator's receipt. */
  receipted: boolean;
}

/** Nodes that prove the word of an epoch at a block. */
export interface CertificateRow {
  epoch: number;
  storage: Uint8Array[];
}

/** Nodes that prove a device's key and state in the registry at a block. */
export interface DeviceCertificateRow {
  deviceId: Hex;
  keyEpoch: number;
  account: Uint8Array[];
  key: Uint8Array[];
  state: Uint8Array[];
}

/** A block with its seals, and the nodes that prove the anchor's account in its state. */
export interface SealedBlockRow {
  number: number;
  header: Uint8Array;
  account: Uint8Array[];
}

/** Validators from a block on, and the sealed headers that show the change to them: none for the first that are known. */
export interface TermRow {
  fromBlock: number;
  validators: Hex[];
  headers: Uint8Array[];
}

const buf = (hex: Hex) => Buffer.from(hex.slice(2), "hex");
const hex = (bytes: Buffer) => `0x${bytes.toString("hex")}` as Hex;
const join = (digests: readonly Hex[]) => Buffer.concat(digests.map(buf));
const split = (bytes: Uint8Array): Hex[] =>
  Array.from({ length: bytes.length / 32 }, (_, i) => toHex(bytes.subarray(32 * i, 32 * i + 32)));

/** Epochs for which a pack that was taken off its line is kept. */
const DROPPED_EPOCHS = 50;

const PACK_COLUMNS =
  "header_digest, stream_id, key_epoch, seq, slot, readings, cose, content, content_digest, received_at, epoch";

function packRow(row: Record<string, Buffer & string>): PackRow {
  const at = (name: string) => row[name] as Buffer & string;
  return {
    headerDigest: hex(at("header_digest")),
    streamId: hex(at("stream_id")),
    keyEpoch: Number(at("key_epoch")),
    seq: Number(at("seq")),
    slot: Number(at("slot")),
    readings: Number(at("readings")),
    cose: new Uint8Array(at("cose")),
    content: row.content === null ? null : new Uint8Array(at("content")),
    contentDigest: hex(at("content_digest")),
    receivedAt: Number(at("received_at")),
    epoch: row.epoch === null ? null : Number(at("epoch")),
  };
}

export class Store {
  readonly db: pg.Pool;
  readonly #lock: pg.PoolClient;

  private constructor(db: pg.Pool, lock: pg.PoolClient) {
    this.db = db;
    this.#lock = lock;
  }

  /**
   * Makes the tables where they are missing. Refuses a database that another process of this kind has open; `onLost` is
   * told when the connection breaks that keeps others out, and the process must then end.
   */
  static async open(db: pg.Pool, onLost: (error: Error) => void): Promise<Store> {
    const lock = await db.connect();
    const { rows } = await lock.query("select pg_try_advisory_lock(20260) as free");
    if (!(rows[0] as { free: boolean }).free) {
      lock.release();
      throw new Error("another custody process has this database open: one operator runs one process");
    }
    lock.on("error", onLost);
    await db.query(TABLES);
    return new Store(db, lock);
  }

  /** Lets another process have the database. */
  async close(): Promise<void> {
    this.#lock.removeAllListeners("error");
    this.#lock.release(true);
    await this.db.end();
  }

  async streams(): Promise<StreamRow[]> {
    const { rows } = await this.db.query("select preimage, holders from streams");
    return rows as StreamRow[];
  }

  async putStream(streamId: Hex, row: StreamRow): Promise<void> {
    await this.db.query(
      "insert into streams (stream_id, preimage, holders) values ($1, $2, $3) on conflict (stream_id) do update set holders = excluded.holders",
      [buf(streamId), row.preimage, row.holders],
    );
  }

  async thing(streamId: Hex): Promise<SignedThing | undefined> {
    const { rows } = await this.db.query("select version, document, signature from things where stream_id = $1", [
      buf(streamId),
    ]);
    const row = rows[0] as (Omit<SignedThing, "version"> & { version: string }) | undefined;
    return row && { ...row, version: Number(row.version) };
  }

  /** Keeps a description unless one of the same or a higher version is known. Returns whether it was kept. */
  async putThing(streamId: Hex, { version, document, signature }: SignedThing): Promise<boolean> {
    const { rowCount } = await this.db.query(
      `insert into things values ($1, $2, $3, $4) on conflict (stream_id) do update
       set version = excluded.version, document = excluded.document, signature = excluded.signature
       where things.version < excluded.version`,
      [buf(streamId), version, document, signature],
    );
    return rowCount === 1;
  }

  async reach(): Promise<StreamReach[]> {
    const { rows } = await this.db.query(
      `select s.stream_id, t.version, first.slot, (e.epoch->>'closedAt')::bigint as anchored_at
       from streams s left join things t using (stream_id)
       left join lateral (select slot from packs p where p.stream_id = s.stream_id order by slot limit 1) first on true
       left join lateral (
         select epoch from packs p where p.stream_id = s.stream_id and epoch is not null
         order by key_epoch desc, seq desc limit 1
       ) head on true
       left join epochs e on e.number = head.epoch`,
    );
    return rows.map((row) => ({
      streamId: hex(row.stream_id as Buffer),
      thing: numberOrNull(row.version),
      firstSlot: numberOrNull(row.slot),
      anchoredAt: numberOrNull(row.anchored_at),
    }));
  }

  async keys(streamId: Hex): Promise<{ keyEpoch: number; spki: Uint8Array }[]> {
    const { rows } = await this.db.query("select key_epoch, spki from stream_keys where stream_id = $1 order by 1", [
      buf(streamId),
    ]);
    return rows.map((row) => ({ keyEpoch: Number(row.key_epoch), spki: new Uint8Array(row.spki) }));
  }

  async putKey(streamId: Hex, keyEpoch: number, spki: Uint8Array): Promise<void> {
    await this.db.query("insert into stream_keys values ($1, $2, $3) on conflict do nothing", [
      buf(streamId),
      keyEpoch,
      Buffer.from(spki),
    ]);
  }

  /** Commits packs, and what this operator says of those it opened, in one transaction. */
  async putPacks(
    packs: readonly PackRow[],
    opened: readonly { headerDigest: Hex; signer: Hex; signature: Hex }[],
  ): Promise<void> {
    await transaction(this.db, async (tx) => {
      await tx.query(
        `insert into packs (header_digest, stream_id, key_epoch, seq, slot, readings, cose, content, content_digest, received_at)
         select * from unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[], $8::bytea[], $9::bytea[], $10::bigint[])
         on conflict (header_digest) do nothing`,
        [
          packs.map((p) => buf(p.headerDigest)),
          packs.map((p) => buf(p.streamId)),
          packs.map((p) => p.keyEpoch),
          packs.map((p) => p.seq),
          packs.map((p) => p.slot),
          packs.map((p) => p.readings),
          packs.map((p) => Buffer.from(p.cose)),
          packs.map((p) => p.content && Buffer.from(p.content)),
          packs.map((p) => buf(p.contentDigest)),
          packs.map((p) => p.receivedAt),
        ],
      );
      for (const row of opened)
        await tx.query("insert into opened values ($1, $2, $3) on conflict do nothing", [
          buf(row.headerDigest),
          buf(row.signer),
          row.signature,
        ]);
    });
  }

  /**
   * Takes packs that were never anchored off a stream's line. They are kept aside: an epoch that was signed before may
   * still bring one of them onto the chain.
   */
  async dropPacks(headerDigests: readonly Hex[]): Promise<void> {
    await this.db.query(
      `with gone as (delete from packs where header_digest = any($1::bytea[]) and epoch is null returning *)
       insert into dropped (header_digest, cose, content, stream_id, slot, dropped_at)
       select header_digest, cose, content, stream_id, slot, (select coalesce(max(number), 0) from epochs) from gone
       on conflict do nothing`,
      [headerDigests.map(buf)],
    );
  }

  /** Packs that were taken off their lines lately. */
  async dropped(
    headerDigests: readonly Hex[],
  ): Promise<{ headerDigest: Hex; cose: Uint8Array; content: Uint8Array | null }[]> {
    const { rows } = await this.db.query(
      "select header_digest, cose, content from dropped where header_digest = any($1::bytea[])",
      [headerDigests.map(buf)],
    );
    return rows.map((row) => ({
      headerDigest: hex(row.header_digest),
      cose: new Uint8Array(row.cose),
      content: row.content === null ? null : new Uint8Array(row.content),
    }));
  }

  /** In the order of their lines, as whoever takes them in needs them. */
  async packs(headerDigests: readonly Hex[]): Promise<PackRow[]> {
    const { rows } = await this.db.query(
      `select ${PACK_COLUMNS} from packs where header_digest = any($1::bytea[]) order by seq`,
      [headerDigests.map(buf)],
    );
    return rows.map(packRow);
  }

  async packByContent(contentDigest: Hex): Promise<PackRow | undefined> {
    const { rows } = await this.db.query(`select ${PACK_COLUMNS} from packs where content_digest = $1 limit 1`, [
      buf(contentDigest),
    ]);
    return rows[0] && packRow(rows[0]);
  }

  /** Packs of a stream's line after `seq`, ascending. */
  async packsAfter(streamId: Hex, seq: number, limit: number): Promise<PackRow[]> {
    const { rows } = await this.db.query(
      `select ${PACK_COLUMNS} from packs where stream_id = $1 and seq > $2 order by seq limit $3`,
      [buf(streamId), seq, limit],
    );
    return rows.map(packRow);
  }

  /** Headers (no contents) of anchored packs with a slot in a range, ascending by seq. */
  async window(streamId: Hex, fromSlot: number, toSlot: number, limit: number): Promise<PackRow[]> {
    const columns = PACK_COLUMNS.replace(
      "content,",
      "case when content is null then null else ''::bytea end as content,",
    );
    const { rows } = await this.db.query(
      `select ${columns} from packs where stream_id = $1 and slot between $2 and $3 and epoch is not null order by seq limit $4`,
      [buf(streamId), fromSlot, toSlot, limit],
    );
    return rows.map(packRow);
  }

  /** What is anchored of each day (UTC, counted from 1970) that has something, ascending. */
  async days(streamId: Hex, slotSeconds: number, fromDay: number, toDay: number): Promise<DayCount[]> {
    const { rows } = await this.db.query<Record<keyof DayCount, string>>(
      `select slot::bigint * $2 / 86400 as day, count(*) as packs, sum(readings) as readings,
         count(*) filter (where content is null) as erased
       from packs where stream_id = $1 and epoch is not null
         and slot between $3::bigint * 86400 / $2 and (($4::bigint + 1) * 86400 - 1) / $2
       group by 1 order by 1`,
      [buf(streamId), slotSeconds, fromDay, toDay],
    );
    return rows.map(({ day, packs, readings, erased }) => ({
      day: Number(day),
      packs: Number(packs),
      readings: Number(readings),
      erased: Number(erased),
    }));
  }

  /** The anchored header next to a slot range on the stream's line: the last before it, or the first after it. */
  async neighbour(streamId: Hex, side: "before" | "after", slot: number): Promise<PackRow | undefined> {
    const [compare, order] = side === "before" ? ["<", "desc"] : [">", "asc"];
    const { rows } = await this.db.query(
      `select ${PACK_COLUMNS} from packs where stream_id = $1 and slot ${compare} $2 and epoch is not null order by seq ${order} limit 1`,
      [buf(streamId), slot],
    );
    return rows[0] && packRow(rows[0]);
  }

  async packAt(streamId: Hex, keyEpoch: number, seq: number): Promise<PackRow | undefined> {
    const { rows } = await this.db.query(
      `select ${PACK_COLUMNS} from packs where stream_id = $1 and key_epoch = $2 and seq = $3`,
      [buf(streamId), keyEpoch, seq],
    );
    return rows[0] && packRow(rows[0]);
  }

  /** Last anchored pack of a stream. */
  async head(streamId: Hex, atOrBeforeEpoch = Number.MAX_SAFE_INTEGER): Promise<PackRow | undefined> {
    const { rows } = await this.db.query(
      `select ${PACK_COLUMNS} from packs where stream_id = $1 and epoch <= $2 order by seq desc limit 1`,
      [buf(streamId), atOrBeforeEpoch],
    );
    return rows[0] && packRow(rows[0]);
  }

  /** Packs held and not anchored, of all streams, in the order of their lines. */
  async pending(): Promise<PackRow[]> {
    const { rows } = await this.db.query(
      `select ${PACK_COLUMNS} from packs where epoch is null order by stream_id, seq`,
    );
    return rows.map(packRow);
  }

  /** Packs and readings anchored so far. Counted by epoch: there are many more packs. */
  async totals(): Promise<{ packs: number; readings: number }> {
    const { rows } = await this.db.query(
      "select coalesce(sum((epoch->>'packs')::bigint), 0) as packs, coalesce(sum((epoch->>'readings')::bigint), 0) as readings from epochs",
    );
    const row = rows[0] as Record<string, string>;
    return { packs: Number(row.packs), readings: Number(row.readings) };
  }

  async opened(headerDigests: readonly Hex[]): Promise<{ headerDigest: Hex; signer: Hex; signature: Hex }[]> {
    const { rows } = await this.db.query(
      "select header_digest, signer, signature from opened where header_digest = any($1::bytea[])",
      [headerDigests.map(buf)],
    );
    return rows.map((row) => ({
      headerDigest: hex(row.header_digest),
      signer: hex(row.signer),
      signature: row.signature as Hex,
    }));
  }

  async putOpened(row: { headerDigest: Hex; signer: Hex; signature: Hex }): Promise<void> {
    await this.db.query("insert into opened values ($1, $2, $3) on conflict do nothing", [
      buf(row.headerDigest),
      buf(row.signer),
      row.signature,
    ]);
  }

  async putRefused(row: { headerDigest: Hex; signer: Hex; reason: number; signature: Hex }): Promise<void> {
    await this.db.query("insert into refused values ($1, $2, $3, $4) on conflict do nothing", [
      buf(row.headerDigest),
      buf(row.signer),
      row.reason,
      row.signature,
    ]);
  }

  async refusal(headerDigest: Hex, signer: Hex): Promise<{ reason: number; signature: Hex } | undefined> {
    const { rows } = await this.db.query(
      "select reason, signature from refused where header_digest = $1 and signer = $2",
      [buf(headerDigest), buf(signer)],
    );
    return rows[0] as { reason: number; signature: Hex } | undefined;
  }

  async refusers(headerDigest: Hex): Promise<Hex[]> {
    const { rows } = await this.db.query("select signer from refused where header_digest = $1", [buf(headerDigest)]);
    return rows.map((row) => hex(row.signer));
  }

  async putEquivocation(streamId: Hex, keyEpoch: number, seq: number, a: Uint8Array, b: Uint8Array): Promise<boolean> {
    const { rowCount } = await this.db.query(
      "insert into equivocations values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
      [buf(streamId), keyEpoch, seq, Buffer.from(a), Buffer.from(b), Date.now()],
    );
    return rowCount === 1;
  }

  async equivocations(): Promise<
    { streamId: Hex; keyEpoch: number; seq: number; coseA: Uint8Array; coseB: Uint8Array }[]
  > {
    const { rows } = await this.db.query("select * from equivocations");
    return rows.map((row) => ({
      streamId: hex(row.stream_id),
      keyEpoch: Number(row.key_epoch),
      seq: Number(row.seq),
      coseA: new Uint8Array(row.cose_a),
      coseB: new Uint8Array(row.cose_b),
    }));
  }

  /** Keeps a candidate before it is signed, so that its packs are known when the chain shows it. */
  async putCandidate(candidate: Pick<Candidate, "epoch" | "hash" | "headerDigests">): Promise<void> {
    await this.db.query(
      "insert into candidates (hash, number, epoch, header_digests) values ($1, $2, $3, $4) on conflict do nothing",
      [buf(candidate.hash), candidate.epoch.number, candidate.epoch, join(candidate.headerDigests)],
    );
  }

  /** Keeps a candidate's signatures and the transaction that will carry it, before it is sent. */
  async putSigned(hash: Hex, signatures: readonly Hex[], raw: Hex, nonce: number): Promise<void> {
    await this.db.query("update candidates set signatures = $2, raw = $3, nonce = $4 where hash = $1", [
      buf(hash),
      JSON.stringify(signatures),
      raw,
      nonce,
    ]);
  }

  async candidate(hash: Hex): Promise<Candidate | undefined> {
    const { rows } = await this.db.query("select * from candidates where hash = $1", [buf(hash)]);
    return rows[0] && candidateRow(rows[0]);
  }

  /** A candidate for a number that was signed by a quorum and perhaps sent. */
  async signedCandidate(number: number): Promise<Candidate | undefined> {
    const { rows } = await this.db.query(
      "select * from candidates where number = $1 and signatures is not null limit 1",
      [number],
    );
    return rows[0] && candidateRow(rows[0]);
  }

  async lastEpoch(): Promise<EpochRow | undefined> {
    const { rows } = await this.db.query("select * from epochs order by number desc limit 1");
    return rows[0] && epochRow(rows[0]);
  }

  async epoch(number: number): Promise<EpochRow | undefined> {
    const { rows } = await this.db.query("select * from epochs where number = $1", [number]);
    return rows[0] && epochRow(rows[0]);
  }

  /** How many of the newest epochs one operator proposed in a row. */
  async termLength(proposer: Hex): Promise<number> {
    const { rows } = await this.db.query(
      "select number from epochs where number > coalesce((select max(number) from epochs where proposer <> $1), 0)",
      [buf(proposer)],
    );
    return rows.length;
  }

  /** Confirms an epoch: its packs are anchored, its rivals for the number forgotten, all in one transaction. */
  async confirm(row: EpochRow): Promise<void> {
    await transaction(this.db, async (tx) => {
      await tx.query("insert into epochs values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing", [
        row.epoch.number,
        buf(row.hash),
        row.epoch,
        JSON.stringify(row.signatures),
        buf(row.proposer),
        join(row.headerDigests),
        row.tx,
      ]);
      const { rowCount } = await tx.query(
        "update packs set epoch = $1 where header_digest = any($2::bytea[]) and (epoch is null or epoch = $1)",
        [row.epoch.number, row.headerDigests.map(buf)],
      );
      if (rowCount !== row.headerDigests.length)
        throw new Error(
          `epoch ${row.epoch.number} has ${row.headerDigests.length} packs, ${rowCount} of them are held and free`,
        );
      await tx.query("delete from candidates where number <= $1 and hash <> $2", [row.epoch.number, buf(row.hash)]);
      await tx.query("delete from dropped where dropped_at < $1", [row.epoch.number - DROPPED_EPOCHS]);
    });
  }

  /** Forgets epochs after `number`, which the chain has lost for others: their packs wait again. Returns their streams. */
  async rollback(number: number): Promise<Hex[]> {
    return transaction(this.db, async (tx) => {
      await tx.query("delete from epochs where number > $1", [number]);
      await tx.query("delete from certificates where epoch > $1", [number]);
      const { rows } = await tx.query("update packs set epoch = null where epoch > $1 returning stream_id", [number]);
      return [...new Set(rows.map((row) => hex(row.stream_id)))];
    });
  }

  /** Who brought an epoch onto the chain, after it had to be sent again. */
  async setProposer(number: number, proposer: Hex, tx: Hex): Promise<void> {
    await this.db.query("update epochs set proposer = $2, tx = $3 where number = $1", [number, buf(proposer), tx]);
  }

  /** Number of the newest confirmed epoch; 0 before the first. */
  async newestEpoch(): Promise<number> {
    const { rows } = await this.db.query("select coalesce(max(number), 0) as number from epochs");
    return Number((rows[0] as { number: string }).number);
  }

  /** Confirmed epochs after `number` without a certificate of the chain, the newest first. */
  async uncertified(number: number, limit: number): Promise<{ number: number; hash: Hex }[]> {
    const { rows } = await this.db.query(
      `select number, hash from epochs where number > $1 and not exists (select from certificates where epoch = number)
       order by number desc limit $2`,
      [number, limit],
    );
    return rows.map((row) => ({ number: Number(row.number), hash: hex(row.hash as Buffer) }));
  }

  /** Keeps what proves epochs at one block, and the changes of validators before it, in one transaction. */
  async putCertificates(
    block: SealedBlockRow,
    certificates: readonly CertificateRow[],
    devices: readonly DeviceCertificateRow[],
    terms: readonly TermRow[],
  ): Promise<void> {
    const bytes = (nodes: readonly Uint8Array[]) => nodes.map((node) => Buffer.from(node));
    await transaction(this.db, async (tx) => {
      for (const { fromBlock, validators, headers } of terms)
        await tx.query("insert into validator_terms values ($1, $2, $3)", [
          fromBlock,
          JSON.stringify(validators),
          bytes(headers),
        ]);
      await tx.query("insert into sealed_blocks values ($1, $2, $3) on conflict do nothing", [
        block.number,
        Buffer.from(block.header),
        bytes(block.account),
      ]);
      for (const { epoch, storage } of certificates)
        await tx.query("insert into certificates values ($1, $2, $3) on conflict do nothing", [
          epoch,
          block.number,
          bytes(storage),
        ]);
      for (const { deviceId, keyEpoch, account, key, state } of devices)
        await tx.query(
          `insert into device_certificates values ($1, $2, $3, $4, $5, $6) on conflict (device_id, key_epoch) do update
           set block = excluded.block, account = excluded.account, key = excluded.key, state = excluded.state`,
          [buf(deviceId), keyEpoch, block.number, bytes(account), bytes(key), bytes(state)],
        );
    });
  }

  async certificates(epochs: readonly number[]): Promise<{ certificate: CertificateRow; block: SealedBlockRow }[]> {
    const { rows } = await this.db.query(
      `select epoch, storage, number, header, account from certificates join sealed_blocks on number = block
       where epoch = any($1::bigint[]) order by epoch`,
      [epochs],
    );
    return rows.map((row) => ({
      certificate: { epoch: Number(row.epoch), storage: row.storage as Buffer[] },
      block: { number: Number(row.number), header: row.header as Buffer, account: row.account as Buffer[] },
    }));
  }

  async deviceCertificate(
    deviceId: Hex,
    keyEpoch: number,
  ): Promise<{ certificate: DeviceCertificateRow; block: Omit<SealedBlockRow, "account"> } | undefined> {
    const { rows } = await this.db.query(
      `select d.account, key, state, number, header from device_certificates d join sealed_blocks on number = block
       where device_id = $1 and key_epoch = $2`,
      [buf(deviceId), keyEpoch],
    );
    const row = rows[0] as
      | { account: Buffer[]; key: Buffer[]; state: Buffer[]; number: string; header: Buffer }
      | undefined;
    if (!row) return undefined;
    const { account, key, state, number, header } = row;
    return { certificate: { deviceId, keyEpoch, account, key, state }, block: { number: Number(number), header } };
  }

  /** Newest block that certifies something; 0 before the first. */
  async newestSealedBlock(): Promise<number> {
    const { rows } = await this.db.query("select coalesce(max(number), 0) as number from sealed_blocks");
    return Number((rows[0] as { number: string }).number);
  }

  async terms(): Promise<TermRow[]> {
    const { rows } = await this.db.query("select * from validator_terms order by from_block");
    return rows.map((row) => ({
      fromBlock: Number(row.from_block),
      validators: row.validators as Hex[],
      headers: row.headers as Buffer[],
    }));
  }

  /** Starts the line of validators anew: every certificate is taken again, under the validators of now. */
  async restartTerms(term: TermRow): Promise<void> {
    await transaction(this.db, async (tx) => {
      await tx.query("delete from certificates");
      await tx.query("delete from device_certificates");
      await tx.query("delete from sealed_blocks");
      await tx.query("delete from validator_terms");
      await tx.query("insert into validator_terms values ($1, $2, '{}')", [
        term.fromBlock,
        JSON.stringify(term.validators),
      ]);
    });
  }

  /** Notes an erasure. One that a chain which lost blocks has given another range under its number is carried out anew. */
  async putErasure(e: Omit<Erasure, "doneAt" | "receipted">): Promise<void> {
    await this.db.query(
      `insert into erasures as e values ($1, $2, $3, $4, $5)
       on conflict (stream_id, number) do update
       set from_slot = excluded.from_slot, to_slot = excluded.to_slot, requested_at = excluded.requested_at, done_at = null, receipted = false
       where (e.from_slot, e.to_slot) <> (excluded.from_slot, excluded.to_slot)`,
      [buf(e.streamId), e.number, e.fromSlot, e.toSlot, e.requestedAt],
    );
  }

  async erasures(streamId?: Hex): Promise<Erasure[]> {
    const { rows } = await this.db.query(
      "select * from erasures where $1::bytea is null or stream_id = $1 order by stream_id, number",
      [streamId ? buf(streamId) : null],
    );
    return rows.map((row) => ({
      streamId: hex(row.stream_id),
      number: Number(row.number),
      fromSlot: Number(row.from_slot),
      toSlot: Number(row.to_slot),
      requestedAt: Number(row.requested_at),
      doneAt: row.done_at === null ? null : Number(row.done_at),
      receipted: row.receipted as boolean,
    }));
  }

  /** Digests of the contents that are held of a range of slots. */
  async contentsIn(streamId: Hex, fromSlot: number, toSlot: number): Promise<Hex[]> {
    const { rows } = await this.db.query(
      "select content_digest from packs where stream_id = $1 and slot between $2 and $3 and content is not null",
      [buf(streamId), fromSlot, toSlot],
    );
    return rows.map((row) => hex(row.content_digest as Buffer));
  }

  /** Deletes the contents of a range of slots; headers and leaves stay. Returns how many there were. */
  async dropContents(streamId: Hex, fromSlot: number, toSlot: number): Promise<number> {
    const { rowCount } = await this.db.query(
      "update packs set content = null where stream_id = $1 and slot between $2 and $3 and content is not null",
      [buf(streamId), fromSlot, toSlot],
    );
    await this.db.query(
      "update dropped set content = null where stream_id = $1 and slot between $2 and $3 and content is not null",
      [buf(streamId), fromSlot, toSlot],
    );
    return rowCount ?? 0;
  }

  async finishErasure(streamId: Hex, number: number, doneAt: number): Promise<void> {
    await this.db.query("update erasures set done_at = $3 where stream_id = $1 and number = $2", [
      buf(streamId),
      number,
      doneAt,
    ]);
  }

  async putReceipted(streamId: Hex, number: number): Promise<void> {
    await this.db.query("update erasures set receipted = true where stream_id = $1 and number = $2", [
      buf(streamId),
      number,
    ]);
  }

  /** The chain may have lost receipts: each is looked for there again. */
  async forgetReceipted(): Promise<void> {
    await this.db.query("update erasures set receipted = false");
  }

  /** Slots with contents whose every pack was anchored in an epoch that closed before a time. */
  async expiredSlots(streamId: Hex, closedBefore: number): Promise<{ fromSlot: number; toSlot: number } | undefined> {
    const { rows } = await this.db.query(
      `select min(slot) as first, max(slot) as last from packs p
       where stream_id = $1 and content is not null
         and epoch <= (select max(number) from epochs where (epoch->>'closedAt')::bigint < $2)
         and slot < coalesce((select min(slot) from packs q where q.stream_id = $1 and
           (q.epoch is null or q.epoch > (select max(number) from epochs where (epoch->>'closedAt')::bigint < $2))), 4294967296)`,
      [buf(streamId), closedBefore],
    );
    const row = rows[0] as { first: string | null; last: string | null };
    return row.first === null ? undefined : { fromSlot: Number(row.first), toSlot: Number(row.last) };
  }
}

const numberOrNull = (value: unknown): number | null => (value === null ? null : Number(value));

function candidateRow(row: Record<string, unknown>): Candidate {
  return {
    epoch: row.epoch as Epoch,
    hash: hex(row.hash as Buffer),
    headerDigests: split(row.header_digests as Buffer),
    signatures: row.signatures as Hex[] | null,
    raw: row.raw as Hex | null,
    nonce: row.nonce === null ? null : Number(row.nonce),
  };
}

function epochRow(row: Record<string, unknown>): EpochRow {
  return {
    epoch: row.epoch as Epoch,
    hash: hex(row.hash as Buffer),
    signatures: row.signatures as Hex[],
    proposer: hex(row.proposer as Buffer),
    headerDigests: split(row.header_digests as Buffer),
    tx: row.tx as Hex,
  };
}
