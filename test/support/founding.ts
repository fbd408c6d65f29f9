import { type Founding } from "@msec/chain";
import { addressOfKey, fromHex, type Hex } from "@msec/core";

/** The n-th made-up key; also a made-up organisation. */
export const key = (n: number): Hex => `0x${n.toString(16).padStart(64, "0")}`;
export const address = (n: number): Hex => addressOfKey(fromHex(key(n)));

/** A city's contracts for tests that need some: accounts 11 to 14 are the committee, 21 and 22 registrars, `user` has money. */
export function smallCity(user: Hex, amount: bigint): Founding {
  const members = [11, 12, 13, 14].map(address).sort();
  return {
    committee: { q: 3, members, organisations: members.map((_, i) => key(1 + i)), fromEpoch: 1 },
    organisations: [21, 22].map((n) => ({ account: address(n), organisation: key(n) })),
    registrars: [21, 22].map(address),
    threshold: 2,
    softwareCap: 10,
    balances: [{ account: user, amount }],
  };
}
