import { type KeyObject, sign } from "node:crypto";
import { fromHex, type Hex, toBigInt, uint } from "@msec/core";

const N = toBigInt(fromHex("0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551" satisfies Hex));

/** An ES256 signature (r ‖ s, 64 bytes) with s in the lower half: OpenZeppelin's P256 refuses the other one. */
export function lowS(signature: Uint8Array): Uint8Array {
  const out = Uint8Array.from(signature);
  const s = toBigInt(out.subarray(32));
  if (s > N / 2n) out.set(uint(N - s, 32), 32);
  return out;
}

/** ES256 over `message` (RFC 7518, section 3.4) with s in the lower half. */
export function es256(key: KeyObject, message: Uint8Array): Uint8Array {
  return lowS(sign("sha256", message, { key, dsaEncoding: "ieee-p1363" }));
}
