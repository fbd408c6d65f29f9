import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPublicKey,
  createSecretKey,
  type KeyObject,
  verify,
} from "node:crypto";
import { createKeccak } from "hash-wasm";
import { P256_SPKI_PREFIX, RSA_SPKI_PREFIX } from "../spki.ts";

// The primitives with native and WASM code, for Node. native/web.ts gives the same results in plain JavaScript.

const keccak = await createKeccak(256);

export const keccak256 = (data: Uint8Array): Uint8Array => keccak.init().update(data).digest("binary");
export const sha256 = (data: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(data).digest());

const keys = new Map<string, KeyObject>();
const KEYS_KEPT = 10_000;

/** Importing a key costs more than verifying with it, so imported keys are kept. */
function publicKey(id: string, der: () => Buffer): KeyObject {
  let key = keys.get(id);
  if (key === undefined) {
    key = createPublicKey({ key: der(), format: "der", type: "spki" });
    if (keys.size >= KEYS_KEPT) keys.clear();
    keys.set(id, key);
  }
  return key;
}

const p256Key = (point: Uint8Array) =>
  publicKey(Buffer.from(point).toString("base64"), () => Buffer.concat([P256_SPKI_PREFIX, point]));

const HALF_N = Buffer.from("7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8", "hex");

/** An unsigned integer of 32 bytes as a DER INTEGER. */
function derInteger(bytes: Uint8Array): number[] {
  let from = 0;
  while (from < 31 && bytes[from] === 0) from++;
  const digits = [...bytes.subarray(from)];
  if ((digits[0] as number) >= 0x80) digits.unshift(0);
  return [0x02, digits.length, ...digits];
}

/** r ‖ s as the DER SEQUENCE of RFC 3279: Node verifies it in two thirds of the time. */
function derSignature(signature: Uint8Array): Uint8Array {
  const body = [...derInteger(signature.subarray(0, 32)), ...derInteger(signature.subarray(32))];
  return Uint8Array.from([0x30, body.length, ...body]);
}

/** ES256 over `message` with the public key as an uncompressed point (65 bytes); signature r ‖ s, s ≤ n/2. */
export function p256Verify(point: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (point.length !== 65 || signature.length !== 64 || Buffer.compare(signature.subarray(32), HALF_N) > 0)
    return false;
  try {
    return verify("sha256", message, p256Key(point), derSignature(signature));
  } catch {
    return false;
  }
}

const EXPONENT = Buffer.from("0203010001", "hex");

/** RSASSA-PKCS1-v1_5 with SHA-256, exponent 65537; modulus and signature of 256 bytes. */
export function rsaVerify(modulus: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (modulus.length !== 256 || signature.length !== 256) return false;
  const id = Buffer.from(modulus).toString("base64");
  try {
    const key = publicKey(id, () => Buffer.concat([RSA_SPKI_PREFIX, modulus, EXPONENT]));
    return verify("sha256", message, key, signature);
  } catch {
    return false;
  }
}

const TAG = { authTagLength: 16 };
// Handing a cipher a KeyObject takes half the time of handing it bytes.

export function chachaSeal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv("chacha20-poly1305", createSecretKey(key), nonce, TAG);
  cipher.setAAD(aad, { plaintextLength: plaintext.length });
  const body = cipher.update(plaintext);
  cipher.final();
  return new Uint8Array(Buffer.concat([body, cipher.getAuthTag()]));
}

/** The plaintext, or undefined where the tag does not fit. */
export function chachaOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  if (sealed.length < 16 || key.length !== 32 || nonce.length !== 12) return undefined;
  const length = sealed.length - 16;
  const decipher = createDecipheriv("chacha20-poly1305", createSecretKey(key), nonce, TAG);
  decipher.setAAD(aad, { plaintextLength: length });
  decipher.setAuthTag(sealed.subarray(length));
  const body = decipher.update(sealed.subarray(0, length));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return new Uint8Array(body);
}
