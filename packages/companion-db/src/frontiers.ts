import { randomBytes } from "node:crypto";
import {
  concat,
  decodeNodes,
  encodeNodes,
  fromHex,
  type Hex,
  LAST_SLOT,
  puncture,
  type TreeNode,
  uint,
} from "@msec/core";
import sodium from "libsodium-wrappers";
import type pg from "pg";
import { type ErasureKeys } from "./erasure-keys.ts";

await sodium.ready;

/** Key frontiers of the streams that an operator holds, in PostgreSQL only wrapped under their erasure keys. */
export const FRONTIER_TABLE = `
create table if not exists frontiers (
  stream_id bytea primary key,
  generation bigint not null,
  wrapped bytea not null
)`;

const aadOf = (streamId: Hex, generation: number) => concat(fromHex(streamId, 32), uint(generation, 8));

function wrap(key: Uint8Array, streamId: Hex, generation: number, frontier: readonly TreeNode[]): Buffer {
  const nonce = randomBytes(sodium.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
  const aad = aadOf(streamId, generation);
  return Buffer.concat([
    nonce,
    sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(encodeNodes(frontier), aad, null, nonce, key),
  ]);
}

function unwrap(key: Uint8Array, streamId: Hex, generation: number, wrapped: Uint8Array): TreeNode[] {
  const n = sodium.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
  const aad = aadOf(streamId, generation);
  return decodeNodes(
    sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, wrapped.subarray(n), aad, wrapped.subarray(0, n), key),
  );
}

/** Custody of key frontiers: kept, read, punctured. */
export class Frontiers {
  readonly #db: pg.Pool;
  readonly #keys: ErasureKeys;
  readonly #open = new Map<Hex, TreeNode[]>();

  private constructor(db: pg.Pool, keys: ErasureKeys) {
    this.#db = db;
    this.#keys = keys;
  }

  /** Makes the table and settles punctures that a crash cut in two. */
  static async open(db: pg.Pool, keys: ErasureKeys): Promise<Frontiers> {
    await db.query(FRONTIER_TABLE);
    const frontiers = new Frontiers(db, keys);
    for (const { streamId, generation } of keys.staged()) await frontiers.#settle(streamId, generation);
    return frontiers;
  }

  /** Ends a puncture of which it is not known whether its frontier was committed: the database says (for update: waits). */
  async #settle(streamId: Hex, generation: number): Promise<void> {
    const { rows } = await this.#db.query("select generation from frontiers where stream_id = $1 for update", [
      Buffer.from(fromHex(streamId)),
    ]);
    this.#open.delete(streamId);
    if (Number(rows[0]?.generation) === generation) this.#keys.promote(streamId);
    else this.#keys.drop(streamId);
  }

  /** Keeps a stream's first frontier. Returns false, and keeps the old one, where a frontier is already held. */
  async keep(streamId: Hex, frontier: readonly TreeNode[]): Promise<boolean> {
    if (await this.get(streamId)) return false;
    const { key, generation } = this.#keys.get(streamId) ?? this.#keys.stage(streamId);
    const { rowCount } = await this.#db.query(
      "insert into frontiers (stream_id, generation, wrapped) values ($1, $2, $3) on conflict do nothing",
      [Buffer.from(fromHex(streamId)), generation, wrap(key, streamId, generation, frontier)],
    );
    return rowCount === 1;
  }

  /** The frontier of a stream, or undefined where none is held. */
  async get(streamId: Hex): Promise<readonly TreeNode[] | undefined> {
    const cached = this.#open.get(streamId);
    if (cached) return cached;
    const { rows } = await this.#db.query("select generation, wrapped from frontiers where stream_id = $1", [
      Buffer.from(fromHex(streamId)),
    ]);
    const row = rows[0] as { generation: string; wrapped: Buffer } | undefined;
    if (row === undefined) return undefined;
    const held = this.#keys.get(streamId);
    if (held === undefined || held.generation !== Number(row.generation))
      throw new Error(
        `the frontier of ${streamId} is wrapped under an erasure key that is gone: the database is an old copy`,
      );
    const frontier = unwrap(held.key, streamId, held.generation, row.wrapped);
    this.#open.set(streamId, frontier);
    return frontier;
  }

  /**
   * Destroys the keys of the slots `from` to `to`: a new erasure key is staged, the frontier without those slots is
   * committed under it, the old key is overwritten. Returns false where the stream is not held.
   */
  async puncture(streamId: Hex, from: number, to: number): Promise<boolean> {
    // A staged key may be the one that the row is under by now: it must not be overwritten by another before that is known.
    const staged = this.#keys.staged().find((s) => s.streamId === streamId);
    if (staged) await this.#settle(streamId, staged.generation);
    const frontier = await this.get(streamId);
    if (frontier === undefined) return false;
    const left = puncture(frontier, from, Math.min(to, LAST_SLOT));
    const { key, generation } = this.#keys.stage(streamId);
    await this.#db.query("update frontiers set generation = $2, wrapped = $3 where stream_id = $1", [
      Buffer.from(fromHex(streamId)),
      generation,
      wrap(key, streamId, generation, left),
    ]);
    this.#keys.promote(streamId);
    this.#open.set(streamId, left);
    return true;
  }
}
