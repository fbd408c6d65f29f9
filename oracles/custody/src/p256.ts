import { createPublicKey, verify } from "node:crypto";

/** ES256 of a message by a DER SPKI; signature r ‖ s. */
export function p256Verify(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 64) return false;
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  return verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature);
}
