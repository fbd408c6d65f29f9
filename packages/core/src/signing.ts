import { p256Verify, rsaVerify } from "#native";
import { demand } from "./errors.ts";
import { isRsaSpki, modulusOfSpki, pointOfSpki } from "./spki.ts";

/** Signing keys of devices as the registry numbers them: ECDSA on P-256, or RSA of 2048 bits (PKCS#1 v1.5); SHA-256. */
export const KEY_ALG = { ES256: 1, RS256: 2 } as const;
export type KeyAlg = (typeof KEY_ALG)[keyof typeof KEY_ALG];

/** COSE algorithm numbers (RFC 9053, RFC 8812). */
export const COSE_ALG: Record<KeyAlg, number> = { 1: -7, 2: -257 };
/** Bytes of a signature. */
export const SIGNATURE_BYTES: Record<KeyAlg, number> = { 1: 64, 2: 256 };

/** The algorithm of a DER SubjectPublicKeyInfo; refuses every other kind and form of key. */
export function keyAlgOf(spki: Uint8Array): KeyAlg {
  if (isRsaSpki(spki)) {
    modulusOfSpki(spki);
    return KEY_ALG.RS256;
  }
  pointOfSpki(spki);
  return KEY_ALG.ES256;
}

/** Whether a signature over `message` is the key's: r ‖ s with s ≤ n/2, or the one PKCS#1 v1.5 form of RFC 8017 §9.2. */
export function verifySignature(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const alg = keyAlgOf(spki);
  if (signature.length !== SIGNATURE_BYTES[alg]) return false;
  return alg === KEY_ALG.RS256
    ? rsaVerify(modulusOfSpki(spki), message, signature)
    : p256Verify(pointOfSpki(spki), message, signature);
}

/**
 * Refuses a key that whoever enrols has not shown to hold: its signature over the digest that owner and registrars sign.
 * The registry contract does not check it, so every registrar must before it signs an `Enrol` or a `Rotation`.
 */
export function checkPossession(spki: Uint8Array, digest: Uint8Array, signature: Uint8Array): void {
  demand(
    digest.length === 32 && verifySignature(spki, digest, signature),
    "bad-signature",
    "the new signing key has not signed this enrolment: have the device sign its digest",
  );
}
