import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Hex } from "@msec/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ErasureKeys } from "./erasure-keys.ts";
import { FileRoot } from "./root.ts";

const A: Hex = `0x${"aa".repeat(32)}`;
const B: Hex = `0x${"bb".repeat(32)}`;
const C: Hex = `0x${"cc".repeat(32)}`;
const D: Hex = `0x${"dd".repeat(32)}`;
const HEADER = 32;
const RECORD = 32 + 24 + 73 + 16;

let folder: string;
let path: string;
let root: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "msec-erasure-"));
  path = join(folder, "erasure.keys");
  root = join(folder, "erasure.root");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = () => ErasureKeys.open(path, new FileRoot(root));
/** Both files as a crash at this moment would leave them. */
const snapshot = () => ({ keys: readFileSync(path), root: readFileSync(root) });
/** A process that starts on such files. */
function reopened(files: { keys: Buffer; root: Buffer }): Promise<ErasureKeys> {
  const at = mkdtempSync(join(folder, "crash-"));
  writeFileSync(join(at, "erasure.keys"), files.keys);
  writeFileSync(join(at, "erasure.root"), files.root);
  return ErasureKeys.open(join(at, "erasure.keys"), new FileRoot(join(at, "erasure.root")));
}
/** Replaces the root, for which a key must have been replaced: that of a stream of its own. */
async function rotate(keys: ErasureKeys): Promise<void> {
  keys.stage(D);
  keys.stage(D);
  keys.promote(D);
  expect(await keys.rotateRoot()).toBe(true);
}
const keyOf = (keys: ErasureKeys, id: Hex) => keys.get(id)?.key;

describe("a stream's key", () => {
  test("is in force at once, of 32 bytes, and the same after a restart", async () => {
    const keys = await open();
    const { key, generation } = keys.stage(A);
    expect([key.length, generation]).toEqual([32, 1]);
    expect(keys.staged()).toEqual([]);
    expect((await open()).get(A)).toEqual({ key, generation: 1 });
    expect((await open()).get(B)).toBeUndefined();
  });

  test("differs from stream to stream, and each has its own fixed record", async () => {
    const keys = await open();
    const [a, b] = [keys.stage(A).key, keys.stage(B).key];
    expect(a).not.toEqual(b);
    const before = readFileSync(path);
    expect(before.length).toBe(HEADER + 2 * RECORD);
    keys.stage(A);
    keys.promote(A);
    const after = readFileSync(path);
    expect(after.length).toBe(before.length);
    expect(after.subarray(HEADER + RECORD)).toEqual(before.subarray(HEADER + RECORD));
    expect(after.subarray(HEADER, HEADER + RECORD)).not.toEqual(before.subarray(HEADER, HEADER + RECORD));
    expect(keyOf(await open(), B)).toEqual(b);
  });

  test("is never on the disk in the clear, and the files are for their owner alone", async () => {
    const { key } = (await open()).stage(A);
    expect(readFileSync(path).includes(Buffer.from(key))).toBe(false);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(root).mode & 0o777).toBe(0o600);
  });
});

describe("replacing a key", () => {
  test("stage keeps the old key in force, promote puts the new one in its place", async () => {
    const keys = await open();
    const old = keys.stage(A).key;
    const staged = keys.stage(A);
    expect(staged.generation).toBe(2);
    expect(keys.get(A)).toEqual({ key: old, generation: 1 });
    expect(keys.staged()).toEqual([{ streamId: A, generation: 2 }]);
    keys.promote(A);
    expect(keys.get(A)).toEqual(staged);
    expect(keys.staged()).toEqual([]);
    expect((await open()).get(A)).toEqual(staged);
  });

  test("drop forgets the staged key and keeps the old one", async () => {
    const keys = await open();
    const old = keys.stage(A).key;
    keys.stage(A);
    keys.drop(A);
    expect((await open()).get(A)).toEqual({ key: old, generation: 1 });
    expect((await open()).staged()).toEqual([]);
  });

  test("promote and drop of what was not staged change nothing", async () => {
    const keys = await open();
    keys.stage(A);
    const before = readFileSync(path);
    keys.promote(A);
    keys.drop(A);
    keys.promote(B);
    keys.drop(B);
    expect(readFileSync(path)).toEqual(before);
  });

  test("a crash after any durable step leaves either the old key, both, or the new one", async () => {
    const keys = await open();
    const old = keys.stage(A).key;
    const first = snapshot();
    const next = keys.stage(A).key;
    const staged = snapshot();
    keys.promote(A);
    const promoted = snapshot();

    expect((await reopened(first)).get(A)).toEqual({ key: old, generation: 1 });

    const settled = await reopened(staged);
    expect(settled.get(A)).toEqual({ key: old, generation: 1 });
    expect(settled.staged()).toEqual([{ streamId: A, generation: 2 }]);
    settled.promote(A);
    expect(settled.get(A)).toEqual({ key: next, generation: 2 });
    const dropped = await reopened(staged);
    dropped.drop(A);
    expect(dropped.get(A)).toEqual({ key: old, generation: 1 });

    expect((await reopened(promoted)).get(A)).toEqual({ key: next, generation: 2 });
    expect((await reopened(promoted)).staged()).toEqual([]);
  });

  test("a crash in the middle of adding a stream loses nothing of the others", async () => {
    const keys = await open();
    const a = keys.stage(A).key;
    keys.stage(B);
    truncateSync(path, HEADER + RECORD + 60);
    const again = await open();
    expect(keyOf(again, A)).toEqual(a);
    expect(again.get(B)).toBeUndefined();
    const b = again.stage(B).key;
    expect(keyOf(await open(), A)).toEqual(a);
    expect(keyOf(await open(), B)).toEqual(b);
  });

  test("after promote nothing in either file opens to the old key, even with the root key of now", async () => {
    const keys = await open();
    const old = keys.stage(A).key;
    const before = readFileSync(path).subarray(HEADER, HEADER + RECORD);
    keys.stage(A);
    keys.promote(A);
    const now = readFileSync(path);
    for (const part of [before.subarray(56), before.subarray(32, 56), Buffer.from(old)])
      expect(now.includes(part)).toBe(false);
    expect(readFileSync(root).includes(Buffer.from(old))).toBe(false);
    expect(existsSync(`${path}.new`)).toBe(false);
    expect(keyOf(await open(), A)).not.toEqual(old);
  });
});

describe("rotating the root key", () => {
  test("keeps every key, staged ones too, and makes an old copy of the records unreadable", async () => {
    const keys = await open();
    const a = keys.stage(A).key;
    const b = keys.stage(B).key;
    keys.stage(C);
    const staged = keys.stage(C).key;
    const old = snapshot();
    await rotate(keys);
    const again = await open();
    expect([keyOf(again, A), keyOf(again, B)]).toEqual([a, b]);
    again.promote(C);
    expect(again.get(C)).toEqual({ key: staged, generation: 2 });
    const oldRoot = old.root.subarray(0, 32);
    expect(readFileSync(root).includes(oldRoot)).toBe(false);
    await expect(reopened({ keys: old.keys, root: readFileSync(root) })).rejects.toThrow(
      /another root key .* old copy/,
    );
  });

  test("goes on after it: keys are staged and promoted under the new root", async () => {
    const keys = await open();
    keys.stage(A);
    await rotate(keys);
    await rotate(keys);
    keys.stage(A);
    keys.promote(A);
    const { key } = keys.stage(B);
    expect((await open()).get(A)?.generation).toBe(2);
    expect(keyOf(await open(), B)).toEqual(key);
  });

  test("cut off before the file was replaced, the old root stays and the next one is wiped", async () => {
    const keys = await open();
    const a = keys.stage(A).key;
    const before = snapshot();
    await rotate(keys);
    const nextRoot = readFileSync(root).subarray(0, 32);
    const cut = { keys: before.keys, root: Buffer.concat([before.root.subarray(0, 32), nextRoot]) };
    writeFileSync(path, cut.keys);
    writeFileSync(root, cut.root);
    expect(keyOf(await open(), A)).toEqual(a);
    expect(readFileSync(root)).toEqual(Buffer.concat([before.root.subarray(0, 32), Buffer.alloc(32)]));
    expect(keyOf(await open(), A)).toEqual(a);
  });

  test("cut off after the file was replaced, the next root is adopted and the old one overwritten", async () => {
    const keys = await open();
    const a = keys.stage(A).key;
    const before = snapshot();
    await rotate(keys);
    const after = snapshot();
    writeFileSync(root, Buffer.concat([before.root.subarray(0, 32), after.root.subarray(0, 32)]));
    expect(keyOf(await open(), A)).toEqual(a);
    expect(readFileSync(root)).toEqual(after.root);
    expect(readFileSync(root).includes(before.root.subarray(0, 32))).toBe(false);
  });

  test("a left-over of the file being written is of no account", async () => {
    const keys = await open();
    const a = keys.stage(A).key;
    writeFileSync(`${path}.new`, "half a file");
    expect(keyOf(await open(), A)).toEqual(a);
    await rotate(keys);
    expect(keyOf(await open(), A)).toEqual(a);
  });
});

describe("what is damaged or missing is said", () => {
  test("a record that does not open names its number and the file", async () => {
    const keys = await open();
    keys.stage(A);
    keys.stage(B);
    const bytes = readFileSync(path);
    bytes[HEADER + RECORD + 70] = (bytes[HEADER + RECORD + 70] as number) ^ 1;
    writeFileSync(path, bytes);
    await expect(open()).rejects.toThrow(`record 1 of ${path} is damaged: restore the file from its own backup`);
  });

  test("a record moved to another stream does not open there", async () => {
    const keys = await open();
    keys.stage(A);
    keys.stage(B);
    const bytes = readFileSync(path);
    bytes.copy(bytes, HEADER + RECORD, HEADER, HEADER + 32);
    writeFileSync(path, bytes);
    await expect(open()).rejects.toThrow(/record 1 .* is damaged/);
  });

  test("keys without their root key", async () => {
    (await open()).stage(A);
    rmSync(root);
    await expect(open()).rejects.toThrow(
      `the root key ${root} is missing: the erasure keys cannot be read without it; restore it`,
    );
    expect(existsSync(root)).toBe(false);
  });

  test("a root key of the wrong size", async () => {
    (await open()).stage(A);
    truncateSync(root, 40);
    await expect(open()).rejects.toThrow(`the root key ${root} is damaged: restore it from its own backup`);
  });

  test("an old copy of the root key", async () => {
    const keys = await open();
    keys.stage(A);
    const copy = join(folder, "copy");
    copyFileSync(root, copy);
    await rotate(keys);
    copyFileSync(copy, root);
    await expect(open()).rejects.toThrow(
      `${path} is sealed under another root key than ${root}: one of the two is an old copy`,
    );
  });
});
