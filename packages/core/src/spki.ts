import { compare, concat, fromHex, type Hex } from "./bytes.ts";
import { demand } from "./errors.ts";

/** DER of SubjectPublicKeyInfo for P-256 (RFC 5480) up to the point, whose first byte is 0x04. */
export const P256_SPKI_PREFIX: Uint8Array = Uint8Array.from([
  0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
  0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
]);

/** DER of SubjectPublicKeyInfo for RSA of 2048 bits (RFC 3279) up to the modulus, and what follows it: exponent 65537. */
export const RSA_SPKI_PREFIX: Uint8Array = fromHex(
  "0x30820122300d06092a864886f70d01010105000382010f003082010a0282010100" satisfies Hex,
);
const RSA_SPKI_SUFFIX = fromHex("0x0203010001" satisfies Hex);
const MODULUS_BYTES = 256;

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

/** Whether an SPKI is of the length that only RSA keys of 2048 bits have. */
export const isRsaSpki = (spki: Uint8Array): boolean =>
  spki.length === RSA_SPKI_PREFIX.length + MODULUS_BYTES + RSA_SPKI_SUFFIX.length;

/** The modulus in an RSA-2048 SPKI with exponent 65537; any other size, exponent or encoding is refused. */
export function modulusOfSpki(spki: Uint8Array): Uint8Array {
  const n = RSA_SPKI_PREFIX.length;
  const modulus = spki.subarray(n, n + MODULUS_BYTES);
  demand(
    isRsaSpki(spki) &&
      compare(spki.subarray(0, n), RSA_SPKI_PREFIX) === 0 &&
      compare(spki.subarray(n + MODULUS_BYTES), RSA_SPKI_SUFFIX) === 0 &&
      (modulus[0] as number) >= 0x80 &&
      ((modulus[MODULUS_BYTES - 1] as number) & 1) === 1,
    "unknown-key",
    "expected a DER SubjectPublicKeyInfo of an RSA key of 2048 bits with exponent 65537",
  );
  return modulus;
}
