import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { putSecret, secretFile } from "./secrets.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "msec-secrets-"))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const mode = (path: string) => statSync(path).mode & 0o777;

test("a secret is made at random on first use and is the same ever after", () => {
  const a = secretFile(folder, "operator");
  expect(a).toHaveLength(32);
  expect(secretFile(folder, "operator")).toEqual(a);
  expect(secretFile(folder, "sealing")).not.toEqual(a);
  expect(secretFile(folder, "long", 64)).toHaveLength(64);
});

test("at rest it is sealed, in files and a folder for their owner alone", () => {
  const at = join(folder, "new");
  const secret = secretFile(at, "operator");
  const sealed = readFileSync(join(at, "operator.sealed"));
  expect(sealed).toHaveLength(24 + 16 + 32);
  expect(sealed.includes(Buffer.from(secret))).toBe(false);
  expect(readFileSync(join(at, "wrapping.key")).includes(Buffer.from(secret))).toBe(false);
  expect(mode(at)).toBe(0o700);
  expect([mode(join(at, "operator.sealed")), mode(join(at, "wrapping.key"))]).toEqual([0o600, 0o600]);
});

test("a secret that exists already can be put there, in place of another", () => {
  const secret = new Uint8Array(32).fill(9);
  secretFile(folder, "operator");
  putSecret(folder, "operator", secret);
  expect(secretFile(folder, "operator")).toEqual(secret);
});

test.each([
  ["another wrapping key", (bytes: Buffer) => Buffer.alloc(bytes.length, 1)],
  ["a wrapping key cut short", (bytes: Buffer) => bytes.subarray(0, 10)],
])("under %s it says which two files do not belong together", (_, change) => {
  secretFile(folder, "operator");
  const wrapping = join(folder, "wrapping.key");
  writeFileSync(wrapping, change(readFileSync(wrapping)));
  expect(() => secretFile(folder, "operator")).toThrow(
    `${join(folder, "operator.sealed")} does not open under ${wrapping}: one of the two is not this operator's`,
  );
});

test.each([
  ["changed", (bytes: Buffer) => bytes.fill(0, 30, 31)],
  ["cut short", (bytes: Buffer) => bytes.subarray(0, 20)],
  ["emptied", () => Buffer.alloc(0)],
])("a sealed file that was %s does not open", (_, change) => {
  secretFile(folder, "operator");
  const path = join(folder, "operator.sealed");
  const bytes = readFileSync(path);
  bytes[30] = 1;
  writeFileSync(path, change(bytes));
  expect(() => secretFile(folder, "operator")).toThrow(/does not open under/);
});

test("a wrapping key that is missing beside a sealed secret is said, and not replaced by a new one", () => {
  secretFile(folder, "operator");
  rmSync(join(folder, "wrapping.key"));
  expect(() => secretFile(folder, "operator")).toThrow(/wrapping\.key is missing/);
  expect(() => statSync(join(folder, "wrapping.key"))).toThrow(/ENOENT/);
});
