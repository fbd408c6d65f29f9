import { randomBytes } from "node:crypto";
import { closeSync, existsSync, openSync, readFileSync, readSync } from "node:fs";
import { fromHex, type Hex, toHex } from "@msec/core";
import sodium from "libsodium-wrappers";
import { type FileRoot, overwrite, type RootKey, type RootStore, writeWhole } from "./root.ts";

await sodium.ready;

// Erasure keys live outside the database: old rows survive in its log, its replicas and its backups, a key that was
// overwritten here does not. The file is a row of fixed records, each sealed under a root key that lives elsewhere.

const ID = 32;
const NONCE = sodium.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
const TAG = sodium.crypto_aead_xchacha20poly1305_ietf_ABYTES;
const KEY = 32;
/** flags ‖ generation ‖ current key ‖ next key. */
const BODY = 1 + 8 + KEY + KEY;
const RECORD = ID + NONCE + BODY + TAG;
const HEADER = 32;
const FLAG = { staged: 1, replaced: 2 };

interface Row {
  index: number;
  generation: bigint;
  current: Uint8Array;
  next: Uint8Array | undefined;
  /** Whether an earlier key of the stream was sealed under the root in force. */
  replaced: boolean;
}

const seal = (root: Uint8Array, id: Uint8Array, body: Uint8Array): Uint8Array => {
  const nonce = randomBytes(NONCE);
  return Buffer.concat([id, nonce, sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(body, id, null, nonce, root)]);
};

/**
 * The erasure keys of one companion database: 32 bytes a stream. A key is replaced in two durable steps around the
 * database's commit, so that a crash between them loses nothing: {@link stage} writes the new key beside the old one,
 * {@link promote} overwrites the old one. One process at a time may open a file.
 */
export class ErasureKeys {
  readonly #path: string;
  #store: RootStore;
  #root: Uint8Array;
  /** The file is sealed under the staged root, which the store has not adopted yet. */
  #unsettled = false;
  #rotatedAt = -Infinity;
  #last: Promise<unknown> = Promise.resolve();
  readonly #rows = new Map<Hex, Row>();

  private constructor(path: string, store: RootStore, root: Uint8Array) {
    this.#path = path;
    this.#store = store;
    this.#root = root;
    this.#load();
  }

  /**
   * Opens the file, or makes it. Without the root key that it is sealed under nothing is readable, and that is an error.
   * With `before`, a file that is still sealed under that store's root is first sealed under one of `store`.
   */
  static async open(path: string, store: RootStore, before?: FileRoot): Promise<ErasureKeys> {
    if (before?.exists) await move(path, before, store);
    const { current, next } = await store.read(!existsSync(path));
    if (!existsSync(path)) writeWhole(path, nameOf(current));
    const header = headerOf(path);
    if (next && header.equals(nameOf(next))) {
      await store.adopt();
      return new ErasureKeys(path, store, next.key);
    }
    if (!header.equals(nameOf(current))) throw new Error(otherRoot(path, header, current, store));
    if (next) await store.drop();
    return new ErasureKeys(path, store, current.key);
  }

  #load(): void {
    const bytes = readFileSync(this.#path);
    const count = Math.floor((bytes.length - HEADER) / RECORD);
    for (let index = 0; index < count; index++) {
      const record = bytes.subarray(HEADER + index * RECORD, HEADER + (index + 1) * RECORD);
      const id = record.subarray(0, ID);
      let body: Uint8Array;
      try {
        body = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
          null,
          record.subarray(ID + NONCE),
          id,
          record.subarray(ID, ID + NONCE),
          this.#root,
        );
      } catch {
        throw new Error(`record ${index} of ${this.#path} is damaged: restore the file from its own backup`);
      }
      const flags = body[0] as number;
      const next = body.slice(9 + KEY);
      this.#rows.set(toHex(id), {
        index,
        generation: new DataView(body.buffer, body.byteOffset).getBigUint64(1),
        current: body.slice(9, 9 + KEY),
        next: flags & FLAG.staged ? next : undefined,
        replaced: (flags & FLAG.replaced) !== 0,
      });
    }
  }

  #write(streamId: Hex, row: Row): void {
    overwrite(this.#path, HEADER + row.index * RECORD, this.#sealed(streamId, row));
    this.#rows.set(streamId, row);
  }

  #sealed(streamId: Hex, row: Row): Uint8Array {
    const generation = Buffer.alloc(8);
    generation.writeBigUInt64BE(row.generation);
    const flags = Uint8Array.of((row.next ? FLAG.staged : 0) | (row.replaced ? FLAG.replaced : 0));
    const body = Buffer.concat([flags, generation, row.current, row.next ?? Buffer.alloc(KEY)]);
    return seal(this.#root, fromHex(streamId, ID), body);
  }

  /** The key in force and its generation; undefined for an unknown stream. */
  get(streamId: Hex): { key: Uint8Array; generation: number } | undefined {
    const row = this.#rows.get(streamId);
    return row && { key: row.current, generation: Number(row.generation) };
  }

  /** A staged key that no {@link promote} or {@link drop} has settled, after a crash. */
  staged(): { streamId: Hex; generation: number }[] {
    return [...this.#rows]
      .filter(([, row]) => row.next)
      .map(([streamId, row]) => ({ streamId, generation: Number(row.generation) + 1 }));
  }

  /** Makes and keeps a new key beside the one in force; the first key of a stream is in force at once, generation 1. */
  stage(streamId: Hex): { key: Uint8Array; generation: number } {
    const key = new Uint8Array(randomBytes(KEY));
    const row = this.#rows.get(streamId);
    if (row === undefined) {
      this.#write(streamId, { index: this.#rows.size, generation: 1n, current: key, next: undefined, replaced: false });
      return { key, generation: 1 };
    }
    this.#write(streamId, { ...row, next: key });
    return { key, generation: Number(row.generation) + 1 };
  }

  /** Overwrites the key in force with the staged one: from here on nothing that it wrapped can be read. */
  promote(streamId: Hex): void {
    const row = this.#rows.get(streamId);
    if (row?.next === undefined) return;
    const generation = row.generation + 1n;
    this.#write(streamId, { index: row.index, generation, current: row.next, next: undefined, replaced: true });
  }

  /** Forgets a staged key whose frontier never reached the database. */
  drop(streamId: Hex): void {
    const row = this.#rows.get(streamId);
    if (row?.next !== undefined) this.#write(streamId, { ...row, next: undefined });
  }

  /**
   * Where a key was replaced since the last time, seals every record under a new root and has the old one overwritten: what a
   * disk kept of old records is unreadable then. False, and nothing done, within the store's {@link RootStore.restMs}.
   */
  rotateRoot(): Promise<boolean> {
    const run = this.#last.then(() => this.#rotate());
    this.#last = run.catch(() => undefined);
    return run;
  }

  async #rotate(): Promise<boolean> {
    if (this.#unsettled) await this.#settle();
    if (![...this.#rows.values()].some((row) => row.replaced)) return true;
    if (performance.now() - this.#rotatedAt < this.#store.restMs) return false;
    this.#seal(await this.#store.stage());
    await this.#settle();
    this.#rotatedAt = performance.now();
    return true;
  }

  async #settle(): Promise<void> {
    await this.#store.adopt();
    this.#unsettled = false;
  }

  /** Writes every record under another root, at one blow. */
  #seal(next: RootKey): void {
    const before = this.#root;
    this.#root = next.key;
    const rows = [...this.#rows]
      .map(([id, row]): [Hex, Row] => [id, { ...row, replaced: false }])
      .sort(([, a], [, b]) => a.index - b.index);
    try {
      writeWhole(this.#path, Buffer.concat([nameOf(next), ...rows.map(([id, row]) => this.#sealed(id, row))]));
    } catch (error) {
      // The file may have been replaced before its folder could be synced.
      if (!headerOf(this.#path).equals(nameOf(next))) {
        this.#root = before;
        throw error;
      }
    }
    for (const [id, row] of rows) this.#rows.set(id, row);
    this.#unsettled = true;
  }

  /** Seals the file under the root of another store, then destroys the one before. */
  async move(to: RootStore): Promise<void> {
    const { current } = await to.read(true);
    this.#seal(current);
    await this.#store.destroy();
    this.#store = to;
    this.#unsettled = false;
  }
}

async function move(path: string, before: FileRoot, to: RootStore): Promise<void> {
  const { current, next } = await before.read(!existsSync(path));
  const isSealedUnder = (key: RootKey) => headerOf(path).equals(nameOf(key));
  // Cut off between the sealing and the end of the old root.
  const moved = to.exists && existsSync(path) && ![current, next].some((key) => key && isSealedUnder(key));
  if (moved && isSealedUnder((await to.read(false)).current)) return before.destroy();
  await (await ErasureKeys.open(path, before)).move(to);
}

function headerOf(path: string): Buffer {
  const header = Buffer.alloc(HEADER);
  const fd = openSync(path, "r");
  readSync(fd, header, 0, HEADER, 0);
  closeSync(fd);
  return header;
}

/** What a root key is called in the file that it seals: a digest, the end of which is its generation where it has one. */
function nameOf({ key, generation }: RootKey): Buffer {
  const name = Buffer.from(sodium.crypto_generichash(HEADER, "msec.erasure.root", key));
  if (generation !== undefined) name.writeBigUInt64BE(generation, HEADER - 8);
  return name;
}

function otherRoot(path: string, header: Buffer, { generation }: RootKey, { where }: RootStore): string {
  if (generation === undefined)
    return `${path} is sealed under another root key than ${where}: one of the two is an old copy`;
  const sealed = header.readBigUInt64BE(HEADER - 8);
  return sealed < generation
    ? `${path} is an old copy: it is sealed under root key ${sealed}, which ${where} has replaced by number ${generation}; put the newest copy back, keys that were destroyed since then do not return`
    : `${path} is not sealed under root key ${generation} of ${where}: it is of another TPM, or damaged; put its own newest copy back`;
}
