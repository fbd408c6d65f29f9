import { dealSecret, type Hex, toHex } from "@msec/core";
import { type SignTypedData, type TypedData } from "./typed-data.ts";

export const random32 = (): Uint8Array => globalThis.crypto.getRandomValues(new Uint8Array(32));

/** 32 random bytes that make two signatures of one text differ. */
export const freshNonce = (): Hex => toHex(random32());

/**
 * A secret from two equal signatures of the wallet, which can make it again. A wallet that does not sign alike twice, or
 * not with 65 bytes, could not: then it is random, and lost if it is not kept.
 */
export async function secretOf(sign: SignTypedData, data: TypedData): Promise<Uint8Array> {
  const first = await sign(data);
  const second = await sign(data);
  return first === second && /^0x[0-9a-fA-F]{130}$/.test(first) ? dealSecret(first) : random32();
}
