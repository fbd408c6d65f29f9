import { randomBytes } from "node:crypto";
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, readSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { fromHex, type Hex, toHex } from "@msec/core";
import sodium from "libsodium-wrappers";

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
const ROOT_FILE = 2 * KEY;

interface Row {
  index: number;
  generation: bigint;
  current: Uint8Array;
  next: Uint8Array | undefined;
}

const seal = (root: Uint8Array, id: Uint8Array, body: Uint8Array): Uint8Array => {
  const nonce = randomBytes(NONCE);
  return Buffer.concat([id, nonce, sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(body, id, null, nonce, root)]);
};

function writeWhole(path: string, bytes: Uint8Array): void {
  const fd = openSync(`${path}.new`, "w", 0o600);
  try {
    writeSync(fd, bytes);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
  syncFolder(path);
}

function syncFolder(path: string): void {
  const fd = openSync(dirname(path), "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function overwrite(path: string, at: number, bytes: Uint8Array): void {
  const fd = openSync(path, "r+");
  try {
    writeSync(fd, bytes, 0, bytes.length, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * The erasure keys of one companion database: 32 bytes a stream. A key is replaced in two durable steps around the
 * database's commit, so that a crash between them loses nothing: {@link stage} writes the new key beside the old one,
 * {@link promote} overwrites the old one. One process at a time may open a file.
 */
export class ErasureKeys {
  readonly #path: string;
  readonly #rootPath: string;
  #root: Uint8Array;
  readonly #rows = new Map<Hex, Row>();

  /** Opens the file, or makes it. Without a root key beside an existing file nothing is readable, and that is an error. */
  constructor(path: string, rootPath: string) {
    this.#path = path;
    this.#rootPath = rootPath;
    if (!existsSync(rootPath)) {
      if (existsSync(path))
        throw new Error(`the root key ${rootPath} is missing: the erasure keys in ${path} cannot be read without it`);
      writeWhole(rootPath, Buffer.concat([randomBytes(KEY), Buffer.alloc(KEY)]));
    }
    const roots = readFileSync(rootPath);
    if (roots.length !== ROOT_FILE)
      throw new Error(`the root key ${rootPath} is damaged: restore it from its own backup`);
    const [current, next] = [new Uint8Array(roots.subarray(0, KEY)), new Uint8Array(roots.subarray(KEY))];
    this.#root = current;
    if (!existsSync(path)) writeWhole(path, nameOf(current));
    const header = Buffer.alloc(HEADER);
    const fd = openSync(path, "r");
    readSync(fd, header, 0, HEADER, 0);
    closeSync(fd);
    if (header.equals(nameOf(next))) this.#adopt(next);
    else if (!header.equals(nameOf(current)))
      throw new Error(`${path} is sealed under another root key than ${rootPath}: one of the two is an old copy`);
    else if (next.some((byte) => byte !== 0)) overwrite(rootPath, KEY, Buffer.alloc(KEY));
    this.#load();
  }

  #adopt(root: Uint8Array): void {
    overwrite(this.#rootPath, 0, Buffer.concat([root, Buffer.alloc(KEY)]));
    this.#root = root;
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
      const next = body.slice(9 + KEY);
      this.#rows.set(toHex(id), {
        index,
        generation: new DataView(body.buffer, body.byteOffset).getBigUint64(1),
        current: body.slice(9, 9 + KEY),
        next: body[0] === 1 ? next : undefined,
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
    const flag = Uint8Array.of(row.next === undefined ? 0 : 1);
    const body = Buffer.concat([flag, generation, row.current, row.next ?? Buffer.alloc(KEY)]);
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
      this.#write(streamId, { index: this.#rows.size, generation: 1n, current: key, next: undefined });
      return { key, generation: 1 };
    }
    this.#write(streamId, { ...row, next: key });
    return { key, generation: Number(row.generation) + 1 };
  }

  /** Overwrites the key in force with the staged one: from here on nothing that it wrapped can be read. */
  promote(streamId: Hex): void {
    const row = this.#rows.get(streamId);
    if (row?.next === undefined) return;
    this.#write(streamId, { index: row.index, generation: row.generation + 1n, current: row.next, next: undefined });
  }

  /** Forgets a staged key whose frontier never reached the database. */
  drop(streamId: Hex): void {
    const row = this.#rows.get(streamId);
    if (row?.next !== undefined) this.#write(streamId, { ...row, next: undefined });
  }

  /** Seals every record under a new root key and overwrites the old one: what a disk kept of old records is unreadable. */
  rotateRoot(): void {
    const next = new Uint8Array(randomBytes(KEY));
    overwrite(this.#rootPath, KEY, next);
    const before = this.#root;
    this.#root = next;
    const rows = [...this.#rows].sort(([, a], [, b]) => a.index - b.index);
    try {
      writeWhole(this.#path, Buffer.concat([nameOf(next), ...rows.map(([id, row]) => this.#sealed(id, row))]));
    } catch (error) {
      this.#root = before;
      throw error;
    }
    this.#adopt(next);
  }
}

/** What a root key is called in the file that it seals. */
function nameOf(root: Uint8Array): Buffer {
  return Buffer.from(sodium.crypto_generichash(HEADER, "msec.erasure.root", root));
}
