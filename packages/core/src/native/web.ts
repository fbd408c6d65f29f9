import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { p256 } from "@noble/curves/nist.js";
import { sha256 as nobleSha256 } from "@noble/hashes/sha2.js";
import { keccak_256 } from "@noble/hashes/sha3.js";

// The primitives in plain JavaScript, for browsers. native/node.ts gives the same results with native code.

export const keccak256 = (data: Uint8Array): Uint8Array => keccak_256(data);
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
