import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { SecureElementError } from "./errors.ts";
import { writeFileAtomic } from "./file.ts";

const VERSION = 1;
const NONCE = 12;
const TAG = 16;

/**
 * Wraps secrets at rest with AES-256-GCM under a 32-byte key from a file that only its owner may read. Whoever reads
 * both files has the secret: this keeps keys out of backups of the data alone, it does not replace a TPM.
 */
export class WrapKey {
  readonly #key: Uint8Array;
  private constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** A key of 32 bytes that rests elsewhere. */
  static of(key: Uint8Array): WrapKey {
    if (key.length !== 32)
      throw new SecureElementError("key-damaged", "a wrapping key has exactly 32 bytes", key.length);
    return new WrapKey(key);
  }

  /** Reads the key; refuses a missing one, one that others may read, and one that is not 32 bytes. */
  static async open(path: string): Promise<WrapKey> {
    let mode: number;
    let key: Uint8Array;
    try {
      mode = (await stat(path)).mode & 0o777;
      key = new Uint8Array(await readFile(path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      throw new SecureElementError("key-missing", `there is no wrapping key at ${path}: run init, or restore it`, path);
    }
    if ((mode & 0o077) !== 0)
      throw new SecureElementError(
        "key-exposed",
        `others may read the wrapping key: chmod 600 ${path}`,
        mode.toString(8),
      );
    if (key.length !== 32)
      throw new SecureElementError("key-damaged", `${path} must hold exactly 32 bytes: restore it`, key.length);
    return new WrapKey(key);
  }

  /** Opens the key, making it first where there is none. */
  static async openOrCreate(path: string): Promise<WrapKey> {
    try {
      return await WrapKey.open(path);
    } catch (error) {
      if (!(error instanceof SecureElementError) || error.code !== "key-missing") throw error;
      await writeFileAtomic(path, randomBytes(32));
      return WrapKey.open(path);
    }
  }

  /** version ‖ nonce(12) ‖ ciphertext ‖ tag(16). `purpose` is authenticated, so that one secret can't stand for another. */
  wrap(secret: Uint8Array, purpose: string): Uint8Array {
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce);
    cipher.setAAD(Buffer.from(purpose));
    const body = cipher.update(secret);
    cipher.final();
    return new Uint8Array(Buffer.concat([Uint8Array.of(VERSION), nonce, body, cipher.getAuthTag()]));
  }

  unwrap(wrapped: Uint8Array, purpose: string): Uint8Array {
    try {
      if (wrapped.length < 1 + NONCE + TAG || wrapped[0] !== VERSION) throw new Error("form");
      const decipher = createDecipheriv("aes-256-gcm", this.#key, wrapped.subarray(1, 1 + NONCE), {
        authTagLength: TAG,
      });
      decipher.setAAD(Buffer.from(purpose));
      decipher.setAuthTag(wrapped.subarray(wrapped.length - TAG));
      const body = decipher.update(wrapped.subarray(1 + NONCE, wrapped.length - TAG));
      decipher.final();
      return new Uint8Array(body);
    } catch (error) {
      throw new SecureElementError(
        "key-damaged",
        `the wrapped ${purpose} does not open: it is damaged or belongs to another wrapping key; restore both together`,
        purpose,
        error,
      );
    }
  }
}
