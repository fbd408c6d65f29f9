import { compare, concat } from "./bytes.ts";
import { demand } from "./errors.ts";

/** DER of SubjectPublicKeyInfo for P-256 (RFC 5480) up to the point, whose first byte is 0x04. */
export const P256_SPKI_PREFIX: Uint8Array = Uint8Array.from([
  0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
  0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
]);

/** SPKI of an uncompressed P-256 point (65 bytes: 04 ‖ x ‖ y). */
export function spkiOfPoint(point: Uint8Array): Uint8Array {
  demand(point.length === 65 && point[0] === 4, "malformed", "expected an uncompressed P-256 point of 65 bytes");
  return concat(P256_SPKI_PREFIX, point);
}

/** The uncompressed point in a P-256 SPKI; any other algorithm or encoding is refused. */
export function pointOfSpki(spki: Uint8Array): Uint8Array {
  const n = P256_SPKI_PREFIX.length;
  demand(
    spki.length === n + 65 && compare(spki.subarray(0, n), P256_SPKI_PREFIX) === 0 && spki[n] === 4,
    "unknown-key",
    "expected a DER SubjectPublicKeyInfo of an uncompressed P-256 key",
  );
  return spki.subarray(n);
}
