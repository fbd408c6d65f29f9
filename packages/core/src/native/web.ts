import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { p256 } from "@noble/curves/nist.js";
import { sha256 as nobleSha256 } from "@noble/hashes/sha2.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { createKeccak, type IHasher } from "hash-wasm";
import { compare, concat, fromHex, type Hex, toBigInt, uint } from "../bytes.ts";

// The primitives for browsers, in plain JavaScript but for Keccak, which most of a verification is. native/node.ts gives
// the same results with native code.

let compiled: IHasher | undefined;
/** Where a page's Content-Security-Policy forbids WebAssembly, JavaScript goes on. */
void createKeccak(256).then(
  (hasher) => (compiled = hasher),
  () => undefined,
);

export const keccakIsCompiled = (): boolean => compiled !== undefined;
export const keccak256 = (data: Uint8Array): Uint8Array =>
  compiled ? compiled.init().update(data).digest("binary") : keccak_256(data);
export const sha256 = (data: Uint8Array): Uint8Array => nobleSha256(data);

/** ES256 over `message` with the public key as an uncompressed point (65 bytes); signature r ‖ s. */
export function p256Verify(point: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (point.length !== 65) return false;
  try {
    return p256.verify(signature, message, point, { prehash: true, lowS: true });
  } catch {
    return false;
  }
}

/** DigestInfo of SHA-256 up to the digest (RFC 8017 §9.2, note 1). */
const SHA256_INFO = fromHex("0x3031300d060960864801650304020105000420" satisfies Hex);

/** RSASSA-PKCS1-v1_5 with SHA-256, exponent 65537; modulus and signature of 256 bytes. */
export function rsaVerify(modulus: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (modulus.length !== 256 || signature.length !== 256) return false;
  const [n, s] = [toBigInt(modulus), toBigInt(signature)];
  if (s >= n) return false;
  let power = s;
  for (let i = 0; i < 16; i++) power = (power * power) % n;
  const padding = new Uint8Array(202).fill(0xff);
  const expected = concat(Uint8Array.of(0, 1), padding, Uint8Array.of(0), SHA256_INFO, sha256(message));
  return compare(uint((power * s) % n, 256), expected) === 0;
}

export function chachaSeal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  return chacha20poly1305(key, nonce, aad).encrypt(plaintext);
}

/** The plaintext, or undefined where the tag does not fit. */
export function chachaOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  try {
    return chacha20poly1305(key, nonce, aad).decrypt(sealed);
  } catch {
    return undefined;
  }
}
