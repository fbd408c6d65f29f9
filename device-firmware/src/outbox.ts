import type { Hex } from "@msec/core";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DeviceError } from "./errors.ts";
import { type Database, DatabaseSync, type Statement } from "./sqlite.ts";

/**
 * How far a stream's line is. `ok`: sign on. `lost` (the outbox is gone or old) and `refused` (by f + 1 organisations):
 * ask the operators before signing. `break`: the next header is a break. `await`: a break waits to be anchored.
 */
export type LineStatus = "ok" | "lost" | "refused" | "break" | "await";

/** Where a stream's line stands: everything that the next header depends on. */
export interface Line {
  seq: number;
  headerDigest: Hex;
  keyEpoch: number;
  slot: number;
  /** Unix milliseconds; no later pack starts before it. -1 before the first. */
  toMs: number;
  status: LineStatus;
  ended: boolean;
  /** Rows of a recorded source up to this time are in the line already; set after the outbox was lost. */
  skipToMs: number;
}

export interface OutboxPack {
  seq: number;
  keyEpoch: number;
  headerDigest: Hex;
  /** Order of its readings among all packs: the seq that it had first. A pack signed again keeps it. */
  place: number;
  slot: number;
  cose: Uint8Array;
  content: Uint8Array;
}

/** A pack that never entered the line, or whose predecessor did not: to be signed again or kept as refused. */
export type PackState = "line" | "resign" | "refused";
const STATE: Record<PackState, number> = { line: 0, resign: 1, refused: 2 };

const SCHEMA = `
CREATE TABLE IF NOT EXISTS meta (id INTEGER PRIMARY KEY CHECK (id = 1), generation INTEGER NOT NULL);
INSERT OR IGNORE INTO meta VALUES (1, 0);
CREATE TABLE IF NOT EXISTS line (stream TEXT PRIMARY KEY, seq INTEGER NOT NULL, header_digest TEXT NOT NULL,
  key_epoch INTEGER NOT NULL, slot INTEGER NOT NULL, to_ms INTEGER NOT NULL, status TEXT NOT NULL, ended INTEGER NOT NULL,
  skip_to_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS position (stream TEXT PRIMARY KEY, position TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pack (stream TEXT NOT NULL, seq INTEGER NOT NULL, state INTEGER NOT NULL, key_epoch INTEGER NOT NULL,
  header_digest TEXT NOT NULL, place INTEGER NOT NULL, slot INTEGER NOT NULL, cose BLOB NOT NULL, content BLOB NOT NULL, PRIMARY KEY (stream, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pack_resign ON pack (stream, place) WHERE state = 1;
CREATE TABLE IF NOT EXISTS pending (id INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, wrapped BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS receipt (stream TEXT NOT NULL, operator TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (stream, operator));
CREATE TABLE IF NOT EXISTS refusal (stream TEXT NOT NULL, header_digest TEXT NOT NULL, operator TEXT NOT NULL, reason INTEGER NOT NULL,
  PRIMARY KEY (stream, header_digest, operator));
CREATE TABLE IF NOT EXISTS registered (stream TEXT NOT NULL, operator TEXT NOT NULL, fingerprint TEXT NOT NULL, PRIMARY KEY (stream, operator));
`;

interface PackRow {
  seq: number;
  key_epoch: number;
  header_digest: string;
  place: number;
  slot: number;
  cose: Uint8Array;
  content: Uint8Array;
}

const toPack = (row: PackRow): OutboxPack => ({
  seq: row.seq,
  keyEpoch: row.key_epoch,
  headerDigest: row.header_digest as Hex,
  place: row.place,
  slot: row.slot,
  cose: row.cose,
  content: row.content,
});

/**
 * What a device signed and operators have not receipted yet, with everything that must change in the same commit: the
 * line, the driver's position, rows that wait for their pack. Synced at each commit; one process at a time holds it.
 * A full disk or a full outbox is a DeviceError `disk-full` or `outbox-full` and leaves everything as it was.
 */
export class Outbox {
  readonly #db: Database;
  readonly #path: string;
  readonly #statements = new Map<string, Statement>();
  readonly #maxBytes: number;
  readonly #pageBytes: number;

  constructor(path: string, maxBytes: number) {
    this.#path = path;
    this.#maxBytes = maxBytes;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#db = new DatabaseSync(path, { timeout: 0 });
    try {
      this.#db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
      this.#db.exec("PRAGMA secure_delete = ON; PRAGMA journal_size_limit = 4194304; BEGIN IMMEDIATE");
      this.#db.exec(`${SCHEMA}; COMMIT`);
      this.#pageBytes = Number(this.#row("PRAGMA page_size")?.page_size);
    } catch (error) {
      this.#db.close();
      throw this.#explain(error);
    }
  }

  close(): void {
    this.#db.close();
  }

  /** How many times an agent started with this outbox. */
  get generation(): number {
    return Number(this.#row("SELECT generation FROM meta")?.generation);
  }
  set generation(value: number) {
    this.#transaction(() => this.#run("UPDATE meta SET generation = ?", value));
  }

  line(stream: Hex): Line | undefined {
    const row = this.#row("SELECT * FROM line WHERE stream = ?", stream);
    return (
      row && {
        seq: Number(row.seq),
        headerDigest: row.header_digest as Hex,
        keyEpoch: Number(row.key_epoch),
        slot: Number(row.slot),
        toMs: Number(row.to_ms),
        status: row.status as LineStatus,
        ended: row.ended === 1,
        skipToMs: Number(row.skip_to_ms),
      }
    );
  }

  setLine(stream: Hex, line: Line): void {
    this.#transaction(() => this.#putLine(stream, line));
  }

  position(stream: Hex): string | null {
    return (this.#row("SELECT position FROM position WHERE stream = ?", stream)?.position as string) ?? null;
  }

  /** Commits a signed pack with the line after it. `replaces` is the seq of the pack that was signed again. */
  commitPack(stream: Hex, pack: OutboxPack, line: Line, done: { position?: string | null; replaces?: number }): void {
    if (done.replaces === undefined) this.#checkRoom();
    this.#transaction(() => {
      if (done.replaces !== undefined)
        this.#run("DELETE FROM pack WHERE stream = ? AND seq = ?", stream, done.replaces);
      else this.#run("DELETE FROM pending WHERE stream = ?", stream);
      this.#run(
        "INSERT INTO pack VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?)",
        stream,
        pack.seq,
        pack.keyEpoch,
        pack.headerDigest,
        pack.place,
        pack.slot,
        pack.cose,
        pack.content,
      );
      this.#putLine(stream, line);
      if (done.position != null) this.#putPosition(stream, done.position);
    });
  }

  /** Keeps a live row, wrapped, until its pack is signed; with the position after it. */
  addPending(stream: Hex, wrapped: Uint8Array, position: string | null): void {
    this.#checkRoom();
    this.#transaction(() => {
      this.#run("INSERT INTO pending (stream, wrapped) VALUES (?, ?)", stream, wrapped);
      if (position !== null) this.#putPosition(stream, position);
    });
  }

  pending(stream: Hex): Uint8Array[] {
    const rows = this.#rows("SELECT wrapped FROM pending WHERE stream = ? ORDER BY id", stream);
    return rows.map((row) => row.wrapped as Uint8Array);
  }

  clearPending(stream: Hex): void {
    this.#transaction(() => this.#run("DELETE FROM pending WHERE stream = ?", stream));
  }

  /** Packs of the line after `seq`, in order, at most `limit`. */
  packsAfter(stream: Hex, seq: number, limit: number): OutboxPack[] {
    const sql = "SELECT * FROM pack WHERE stream = ? AND state = 0 AND seq > ? ORDER BY seq LIMIT ?";
    return this.#rows(sql, stream, seq, limit).map((row) => toPack(row as unknown as PackRow));
  }

  /** The first pack that has to be signed again. */
  nextToResign(stream: Hex): OutboxPack | undefined {
    const row = this.#row("SELECT * FROM pack WHERE stream = ? AND state = 1 ORDER BY place LIMIT 1", stream);
    return row && toPack(row as unknown as PackRow);
  }

  /** Digest of the header at `seq` of the line, where its pack is still held. */
  lineDigest(stream: Hex, seq: number): Hex | undefined {
    const sql = "SELECT header_digest FROM pack WHERE stream = ? AND state = 0 AND seq = ?";
    return this.#row(sql, stream, seq)?.header_digest as Hex | undefined;
  }

  /** Packs and bytes held for a stream, and the first slot among them. */
  stats(stream: Hex): {
    packs: number;
    bytes: number;
    refused: number;
    firstSlot: number | null;
    firstSeq: number | null;
  } {
    const row = this.#row(
      `SELECT count(*) FILTER (WHERE state < 2) AS packs, total(length(cose) + length(content)) AS bytes,
        count(*) FILTER (WHERE state = 2) AS refused, min(slot) FILTER (WHERE state < 2) AS slot, min(seq) FILTER (WHERE state = 0) AS seq
        FROM pack WHERE stream = ?`,
      stream,
    );
    return {
      packs: Number(row?.packs ?? 0),
      bytes: Number(row?.bytes ?? 0),
      refused: Number(row?.refused ?? 0),
      firstSlot: (row?.slot as number | null) ?? null,
      firstSeq: (row?.seq as number | null) ?? null,
    };
  }

  /** Notes that an operator holds everything up to `seq`. */
  noteReceipt(stream: Hex, operator: Hex, seq: number): void {
    this.#transaction(() =>
      this.#run(
        "INSERT INTO receipt VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq",
        stream,
        operator,
        seq,
      ),
    );
  }

  receipts(stream: Hex): Map<Hex, number> {
    const rows = this.#rows("SELECT operator, seq FROM receipt WHERE stream = ?", stream);
    return new Map(rows.map((row) => [row.operator as Hex, Number(row.seq)]));
  }

  /** Drops what f + 1 organisations hold. Returns how many packs went. */
  deleteThrough(stream: Hex, seq: number): number {
    return this.#transaction(() => {
      const { changes } = this.#run("DELETE FROM pack WHERE stream = ? AND state = 0 AND seq <= ?", stream, seq);
      return Number(changes);
    });
  }

  noteRefusal(stream: Hex, headerDigest: Hex, operator: Hex, reason: number): void {
    this.#transaction(() =>
      this.#run("INSERT OR REPLACE INTO refusal VALUES (?, ?, ?, ?)", stream, headerDigest, operator, reason),
    );
  }

  /** Refusals of packs that still stand in the line: header, operator, reason. */
  refusals(stream: Hex): { seq: number; headerDigest: Hex; operator: Hex; reason: number }[] {
    const rows = this.#rows(
      `SELECT p.seq, r.header_digest, r.operator, r.reason FROM refusal r
        JOIN pack p ON p.stream = r.stream AND p.header_digest = r.header_digest AND p.state = 0
        WHERE r.stream = ? ORDER BY p.seq`,
      stream,
    );
    return rows.map((row) => ({
      seq: Number(row.seq),
      headerDigest: row.header_digest as Hex,
      operator: row.operator as Hex,
      reason: Number(row.reason),
    }));
  }

  /** Before a break: what is anchored goes, what is refused for its content is kept aside, the rest is signed again. */
  beginBreak(stream: Hex, line: Line, anchoredSeq: number, refused: readonly number[]): void {
    this.#transaction(() => {
      this.#run("DELETE FROM pack WHERE stream = ? AND state = 0 AND seq <= ?", stream, anchoredSeq);
      for (const seq of refused)
        this.#run("UPDATE pack SET state = ? WHERE stream = ? AND state = 0 AND seq = ?", STATE.refused, stream, seq);
      this.#run("UPDATE pack SET state = ? WHERE stream = ? AND state = 0", STATE.resign, stream);
      this.#run("DELETE FROM refusal WHERE stream = ?", stream);
      this.#putLine(stream, line);
    });
  }

  registered(stream: Hex): Map<Hex, string> {
    const rows = this.#rows("SELECT operator, fingerprint FROM registered WHERE stream = ?", stream);
    return new Map(rows.map((row) => [row.operator as Hex, row.fingerprint as string]));
  }

  noteRegistered(stream: Hex, operator: Hex, fingerprint: string): void {
    this.#transaction(() =>
      this.#run("INSERT OR REPLACE INTO registered VALUES (?, ?, ?)", stream, operator, fingerprint),
    );
  }

  #putLine(stream: Hex, line: Line): void {
    this.#run(
      "INSERT OR REPLACE INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      stream,
      line.seq,
      line.headerDigest,
      line.keyEpoch,
      line.slot,
      line.toMs,
      line.status,
      line.ended ? 1 : 0,
      line.skipToMs,
    );
  }

  #putPosition(stream: Hex, position: string): void {
    this.#run("INSERT OR REPLACE INTO position VALUES (?, ?)", stream, position);
  }

  #transaction<T>(work: () => T): T {
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      const result = work();
      this.#db.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw this.#explain(error);
    }
  }

  /** SQLite's result codes (sqlite.org/rescode.html) as sentences. */
  #explain(error: unknown): unknown {
    const { errcode } = (error ?? {}) as { errcode?: number };
    if (errcode === undefined) return error;
    const primary = errcode & 0xff;
    if (primary === 5)
      return new DeviceError("outbox-in-use", `another agent runs on ${this.#path}: stop it first`, this.#path, error);
    if (primary === 13 || primary === 10)
      return new DeviceError(
        "disk-full",
        `the disk under ${this.#path} takes no more: free space there; nothing is lost and work goes on by itself`,
        this.#path,
        error,
      );
    if (primary === 11 || primary === 26)
      return new DeviceError(
        "outbox-damaged",
        `${this.#path} is damaged: move it away and start again; the device then asks the operators where its line stands`,
        this.#path,
        error,
      );
    return error;
  }

  /**
   * Refuses what would grow the outbox over its limit. SQLite's own max_page_count would not do: it refuses deletions
   * too, which need a page now and then, so that a full outbox could never be emptied.
   */
  #checkRoom(): void {
    const pages = Number(this.#row("PRAGMA page_count")?.page_count);
    const free = Number(this.#row("PRAGMA freelist_count")?.freelist_count);
    if ((pages - free) * this.#pageBytes < this.#maxBytes) return;
    throw new DeviceError(
      "outbox-full",
      `the outbox holds its ${this.#maxBytes} bytes of packs that operators have not receipted: reconnect the broker, or raise outbox.maxBytes`,
      this.#maxBytes,
    );
  }

  #statement(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (!statement) this.#statements.set(sql, (statement = this.#db.prepare(sql)));
    return statement;
  }
  #run(sql: string, ...values: (string | number | Uint8Array)[]) {
    return this.#statement(sql).run(...values);
  }
  #row(sql: string, ...values: (string | number)[]): Record<string, unknown> | undefined {
    return this.#statement(sql).get(...values);
  }
  #rows(sql: string, ...values: (string | number)[]): Record<string, unknown>[] {
    return this.#statement(sql).all(...values);
  }
}
