import { randomBytes } from "node:crypto";
import { type Hex, toHex } from "@msec/core";
import { Wallet } from "ethers";
import { type SignTypedData } from "../src/index.ts";

/** A wallet that signs alike each time, with another library than the package's own. */
export function wallet(key: Hex): { address: Hex; sign: SignTypedData } {
  const signer = new Wallet(key);
  return {
    address: signer.address.toLowerCase() as Hex,
    sign: ({ domain, types, message }) => signer.signTypedData(domain, types, message) as Promise<Hex>,
  };
}

/** A wallet of a kind whose signatures differ from time to time. */
export const moody: SignTypedData = () => Promise.resolve(toHex(new Uint8Array(randomBytes(65))));
