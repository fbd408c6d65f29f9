import { defineStruct, demand, fromHex, type Hex, toHex, ZERO32 } from "@msec/core";
import { type Deployed } from "./deployed.ts";
import { typedData, type TypedData } from "./typed-data.ts";

const PERMIT = defineStruct("Permit", [
  ["address", "owner"],
  ["address", "spender"],
  ["uint256", "value"],
  ["uint256", "nonce"],
  ["uint256", "deadline"],
]);

/** What lets a contract take an amount of the owner's tokens (EIP-2612), as calldata has it. */
export interface Permit {
  value: bigint;
  /** Unix seconds. */
  deadline: bigint;
  v: number;
  r: Hex;
  s: Hex;
}

/** No permit: the allowance is there already. */
export const NO_PERMIT: Permit = { value: 0n, deadline: 0n, v: 27, r: ZERO32, s: ZERO32 };

/** What the owner signs. `nonce` is the token's `nonces(owner)`. */
export function permitData(
  { chainId, addresses }: Deployed,
  permit: { owner: Hex; spender: Hex; value: bigint; nonce: bigint; deadline: bigint },
): TypedData {
  return typedData({ name: "M-Sec", chainId, verifyingContract: addresses.MSecToken }, PERMIT, permit);
}

/** The permit of a wallet's signature over {@link permitData}. */
export function permitOf(value: bigint, deadline: bigint, signature: Hex): Permit {
  const bytes = fromHex(signature, 65);
  // Some wallets number the parity 0 and 1.
  const v = (bytes[64] as number) + ((bytes[64] as number) < 27 ? 27 : 0);
  demand(v === 27 || v === 28, "bad-signature", "the last byte of a wallet's signature is 27 or 28", v);
  return { value, deadline, v, r: toHex(bytes.subarray(0, 32)), s: toHex(bytes.subarray(32, 64)) };
}
