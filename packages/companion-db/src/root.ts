import { randomBytes } from "node:crypto";
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";

const KEY = 32;

/** A key of 32 bytes that seals the erasure keys. */
export interface RootKey {
  key: Uint8Array;
  /** How often the root was replaced, where something counts that can't be set back. */
  generation?: bigint;
}

/**
 * Where the root key of one file of erasure keys lives. It is replaced in two steps around the rewriting of that file:
 * {@link stage} keeps a new one beside it, {@link adopt} overwrites the old one. Both may be repeated after a crash.
 */
export interface RootStore {
  /** Least time between two replacements, in milliseconds: what the store's memory stands for its whole life. */
  readonly restMs: number;
  readonly exists: boolean;
  /** For people: the file, or the TPM. */
  readonly where: string;
  /** The root in force and one that was staged. Makes the first one where `fresh`: nothing is sealed under any yet. */
  read(fresh: boolean): Promise<{ current: RootKey; next: RootKey | undefined }>;
  stage(): Promise<RootKey>;
  adopt(): Promise<void>;
  /** Forgets a staged root that sealed nothing. */
  drop(): Promise<void>;
  /** Destroys the store itself, once everything is sealed under another one's root. */
  destroy(): Promise<void>;
}

/** Two keys in a file: the root in force, and the next one or zeros. */
export class FileRoot implements RootStore {
  readonly restMs = 0;
  readonly where: string;

  constructor(path: string) {
    this.where = path;
  }

  get exists(): boolean {
    return existsSync(this.where);
  }

  async read(fresh: boolean): Promise<{ current: RootKey; next: RootKey | undefined }> {
    if (!this.exists) {
      if (!fresh)
        throw new Error(
          `the root key ${this.where} is missing: the erasure keys cannot be read without it; restore it`,
        );
      writeWhole(this.where, Buffer.concat([randomBytes(KEY), Buffer.alloc(KEY)]));
    }
    const [current, next] = this.#keys();
    return { current: { key: current }, next: next.some((byte) => byte !== 0) ? { key: next } : undefined };
  }

  async stage(): Promise<RootKey> {
    const key = new Uint8Array(randomBytes(KEY));
    overwrite(this.where, KEY, key);
    return { key };
  }

  async adopt(): Promise<void> {
    const [, next] = this.#keys();
    if (next.some((byte) => byte !== 0)) overwrite(this.where, 0, Buffer.concat([next, Buffer.alloc(KEY)]));
  }

  async drop(): Promise<void> {
    overwrite(this.where, KEY, Buffer.alloc(KEY));
  }

  async destroy(): Promise<void> {
    overwrite(this.where, 0, Buffer.alloc(2 * KEY));
    rmSync(this.where);
    syncFolder(this.where);
  }

  #keys(): [Uint8Array, Uint8Array] {
    const bytes = readFileSync(this.where);
    if (bytes.length !== 2 * KEY)
      throw new Error(`the root key ${this.where} is damaged: restore it from its own backup`);
    return [new Uint8Array(bytes.subarray(0, KEY)), new Uint8Array(bytes.subarray(KEY))];
  }
}

/** Replaces a file so that after a crash either the old bytes or the new ones are there. */
export function writeWhole(path: string, bytes: Uint8Array): void {
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

/** Writes in place, synced. */
export function overwrite(path: string, at: number, bytes: Uint8Array): void {
  const fd = openSync(path, "r+");
  try {
    writeSync(fd, bytes, 0, bytes.length, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
