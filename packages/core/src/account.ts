import { secp256k1 } from "@noble/curves/secp256k1.js";
import { keccak256 } from "#native";
import { concat, fromHex, type Hex, toHex } from "./bytes.ts";
import { ProtocolError } from "./errors.ts";
import { type Domain, type Fields, type StructType, typedDataDigest, type ValueOfFields } from "./struct.ts";

/** Address of an uncompressed secp256k1 point (65 bytes). Lower-case hex. */
export function addressOfPoint(point: Uint8Array): Hex {
  return toHex(keccak256(point.subarray(1)).subarray(12));
}

/** Address of a secp256k1 private key (32 bytes). */
export function addressOfKey(privateKey: Uint8Array): Hex {
  return addressOfPoint(secp256k1.getPublicKey(privateKey, false));
}

/** Signs a 32-byte digest: r ‖ s ‖ v (27 or 28), s in the lower half, deterministic (RFC 6979). */
export function signDigest(privateKey: Uint8Array, digest: Uint8Array): Hex {
  const signed = secp256k1.sign(digest, privateKey, { prehash: false, format: "recovered" });
  return toHex(concat(signed.subarray(1), Uint8Array.of(27 + (signed[0] as number))));
}

/** The address that signed `digest`; refuses high s and anything but 65 bytes with v 27 or 28. */
export function recoverAddress(digest: Uint8Array, signature: Hex): Hex {
  const bytes = fromHex(signature, 65);
  const v = bytes[64] as number;
  try {
    if (v !== 27 && v !== 28) throw new Error("v");
    if (secp256k1.Signature.fromBytes(bytes.subarray(0, 64), "compact").hasHighS()) throw new Error("high s");
    const recovered = concat(Uint8Array.of(v - 27), bytes.subarray(0, 64));
    const key = secp256k1.recoverPublicKey(recovered, digest, { prehash: false });
    return addressOfPoint(secp256k1.Point.fromBytes(key).toBytes(false));
  } catch {
    throw new ProtocolError("bad-signature", "not a canonical secp256k1 signature of 65 bytes", signature);
  }
}

/** EIP-712 signature with a raw key, for oracles and devices; wallets sign the same through their own interface. */
export function signTyped<F extends Fields>(
  privateKey: Uint8Array,
  domain: Domain,
  type: StructType<F>,
  value: ValueOfFields<F>,
): Hex {
  return signDigest(privateKey, typedDataDigest(domain, type, value));
}

export function recoverTyped<F extends Fields>(
  domain: Domain,
  type: StructType<F>,
  value: ValueOfFields<F>,
  signature: Hex,
): Hex {
  return recoverAddress(typedDataDigest(domain, type, value), signature);
}
