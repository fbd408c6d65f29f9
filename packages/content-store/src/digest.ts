import { fromHex, type Hex, toHex } from "@msec/core";
import { CID } from "multiformats/cid";
import { create } from "multiformats/hashes/digest";

const RAW = 0x55;
const SHA2_256 = 0x12;

/** CIDv1 (raw, sha2-256) of a content. */
export function cidOf(digest: Hex): CID {
  return CID.createV1(RAW, create(SHA2_256, fromHex(digest, 32)));
}

/** The SHA-256 in a CID, or undefined for one that is not of a single raw block. */
export function digestOf(cid: CID): Hex | undefined {
  return cid.code === RAW && cid.multihash.code === SHA2_256 ? toHex(cid.multihash.digest) : undefined;
}
