import { randomBytes } from "node:crypto";
import { addressOfKey, type Hex } from "@msec/core";
import { getAddress } from "ethers";

// GoQuorum 24.4.1 orders validators by the bytes of their addresses and, in a node that was started again, by their text with its
// checksum, in which B comes before a. Where the two differ, nodes disagree on whose turn it is: rounds fail, and with two nodes on
// either side the chain stands still. So a network has only validators of whom both say the same.

const before = (a: string, b: string): boolean => a < b;

/** Whether an address has the same place among others by bytes and by text. */
export const hasOnePlace = (address: Hex, others: readonly Hex[]): boolean =>
  others.every((other) => before(address, other) === before(getAddress(address), getAddress(other)));

/** A new node key whose address has one place among those of the other nodes. */
export function drawNodeKey(others: readonly Hex[]): Uint8Array {
  for (;;) {
    const key = new Uint8Array(randomBytes(32));
    if (hasOnePlace(addressOfKey(key), others)) return key;
  }
}
