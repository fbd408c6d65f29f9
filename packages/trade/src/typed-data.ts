import { type Domain, type Fields, type Hex, type StructType, typedDataTypes, type ValueOfFields } from "@msec/core";

/** What a wallet is asked to sign (EIP-712): the one argument of viem's `signTypedData`, ethers' three by name. */
export interface TypedData {
  domain: Domain & { version: "1" };
  types: Record<string, { name: string; type: string }[]>;
  primaryType: string;
  message: Record<string, unknown>;
}

/** A wallet, however it is reached. */
export type SignTypedData = (data: TypedData) => Promise<Hex>;

export function typedData<F extends Fields>(domain: Domain, type: StructType<F>, value: ValueOfFields<F>): TypedData {
  const given = value as Record<string, unknown>;
  return {
    domain: { ...domain, version: "1" },
    types: typedDataTypes(type),
    primaryType: type.name,
    message: Object.fromEntries(type.fields.map(([, name]) => [name, given[name]])),
  };
}
