import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import sodium from "libsodium-wrappers";

await sodium.ready;

/** Replaces a file whole, on disk when it returns, mode 0600. */
export function putPrivate(path: string, bytes: Uint8Array): void {
  const fd = openSync(`${path}.new`, "w", 0o600);
  writeSync(fd, bytes);
  fsyncSync(fd);
  closeSync(fd);
  renameSync(`${path}.new`, path);
}

/** The key that seals a folder's secrets, made on first use; one that is lost is never replaced beside what it sealed. */
function wrappingKey(folder: string): Uint8Array {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, "wrapping.key");
  if (!existsSync(path)) {
    if (readdirSync(folder).some((name) => name.endsWith(".sealed")))
      throw new Error(`${path} is missing, and the secrets beside it cannot be read without it: restore it`);
    putPrivate(path, randomBytes(sodium.crypto_secretbox_KEYBYTES));
  }
  return new Uint8Array(readFileSync(path));
}

/**
 * A secret of an operator at rest: sealed (XSalsa20-Poly1305) under `wrapping.key` of the same folder, both mode 0600. The
 * wrapping key is the one file to put on a token or another disk. Made at random on first use.
 */
export function secretFile(folder: string, name: string, length = 32): Uint8Array {
  const key = wrappingKey(folder);
  const path = join(folder, `${name}.sealed`);
  if (!existsSync(path)) putSecret(folder, name, randomBytes(length));
  const sealed = new Uint8Array(readFileSync(path));
  const n = sodium.crypto_secretbox_NONCEBYTES;
  try {
    return sodium.crypto_secretbox_open_easy(sealed.subarray(n), sealed.subarray(0, n), key);
  } catch {
    throw new Error(
      `${path} does not open under ${join(dirname(path), "wrapping.key")}: one of the two is not this operator's`,
    );
  }
}

/** Writes a secret, for whoever sets up an operator with a key that exists already. */
export function putSecret(folder: string, name: string, secret: Uint8Array): void {
  const key = wrappingKey(folder);
  const nonce = randomBytes(sodium.crypto_secretbox_NONCEBYTES);
  putPrivate(join(folder, `${name}.sealed`), Buffer.concat([nonce, sodium.crypto_secretbox_easy(secret, nonce, key)]));
}
