import { createPrivateKey, type KeyObject } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { putSecret, secretFile } from "@msec/service";
import sodium from "libsodium-wrappers";
import { z } from "zod";
import { base64, fromBase64, toBase64 } from "./encoding.ts";
import { PrivacyError } from "./errors.ts";

await sodium.ready;

const IDENTITY = "identity";
const boxKey = (name: string) => `key-${name}`;

/** RFC 8410: what precedes the 32 bytes of an Ed25519 private key in PKCS #8. */
const ED25519_PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");

function stored(dataDir: string, secret: string): Uint8Array {
  // Never made on the way: a key that the other parties do not know opens nothing.
  if (!existsSync(join(dataDir, `${secret}.sealed`)))
    throw new Error(`there is no ${secret}.sealed in ${dataDir}: make the keys with keygen, or restore them`);
  return secretFile(dataDir, secret);
}

/** Makes the manager's identity and the keys of these names, where they are missing. */
export function makeKeys(dataDir: string, names: readonly string[]): void {
  for (const secret of [IDENTITY, ...names.map(boxKey)]) secretFile(dataDir, secret);
}

const tesseraKey = z.object({ type: z.literal("unlocked"), data: z.object({ bytes: base64(32) }) });

/** Takes over the private key of a Tessera (`tm.key`, unlocked). Refuses to replace a key that is there. */
export function importTesseraKey(dataDir: string, name: string, file: string): void {
  const parsed = tesseraKey.safeParse(JSON.parse(readFileSync(file, "utf8")));
  if (!parsed.success)
    throw new Error(`${file} is no unlocked key of Tessera: expected {"type":"unlocked","data":{"bytes":…}}`);
  if (existsSync(join(dataDir, `${boxKey(name)}.sealed`)))
    throw new Error(`there is a key ${name} in ${dataDir} already: choose another name`);
  putSecret(dataDir, boxKey(name), fromBase64(parsed.data.data.bytes));
}

/** The key by which a manager shows the others who it is: Ed25519. */
export function identityKey(dataDir: string): KeyObject {
  return createPrivateKey({
    key: Buffer.concat([ED25519_PKCS8, stored(dataDir, IDENTITY)]),
    format: "der",
    type: "pkcs8",
  });
}

/** The manager's own keys (X25519), the first of which is used where a sender names none. */
export class KeyRing {
  readonly #secrets: ReadonlyMap<string, Uint8Array>;
  readonly #shared = new Map<string, Uint8Array>();

  constructor(secrets: readonly Uint8Array[]) {
    this.#secrets = new Map(secrets.map((secret) => [toBase64(sodium.crypto_scalarmult_base(secret)), secret]));
  }

  /** Opens the keys of these names; throws where one is missing. */
  static open(dataDir: string, names: readonly string[]): KeyRing {
    return new KeyRing(names.map((name) => stored(dataDir, boxKey(name))));
  }

  /** Public keys, base64. */
  get publicKeys(): string[] {
    return [...this.#secrets.keys()];
  }

  get first(): string {
    return this.publicKeys[0] as string;
  }

  has(publicKey: string): boolean {
    return this.#secrets.has(publicKey);
  }

  /** The key that `own` shares with `other` (crypto_box_beforenm); the same for both of them. */
  shared(own: string, other: string): Uint8Array {
    const name = own + other;
    const known = this.#shared.get(name);
    if (known) return known;
    const secret = this.#secrets.get(own);
    if (!secret) throw new PrivacyError(404, `${own} is no key of this manager: see /keys`);
    const key = sodium.crypto_box_beforenm(fromBase64(other), secret);
    this.#shared.set(name, key);
    return key;
  }
}
