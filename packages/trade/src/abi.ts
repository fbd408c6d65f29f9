import { type Fields, type StructType, type ValueOfFields } from "@msec/core";

// Structs on their way into calldata and out of events.

type Wide = "uint64" | "uint128" | "uint256";

/** A struct as encoders of calldata take it, ethers' and viem's: integers of 64 bits and more are bigints. */
export type AbiStruct<F extends Fields> = {
  [E in F[number] as E[1]]: E[0] extends Wide ? bigint : ValueOfFields<readonly [E]>[E[1]];
};

const isWide = (type: string) => type === "uint64" || type === "uint128" || type === "uint256";

export function abiStruct<F extends Fields>(type: StructType<F>, value: ValueOfFields<F>): AbiStruct<F> {
  const given = value as Record<string, unknown>;
  return Object.fromEntries(
    type.fields.map(([kind, name]) => [name, isWide(kind) ? BigInt(given[name] as number) : given[name]]),
  ) as AbiStruct<F>;
}

/** A struct with its fields by name, as ethers and viem decode it and as the indexer's JSON has it. */
export type Decoded = object;

export const fieldsOf = (given: Decoded) => given as Readonly<Record<string, unknown>>;

/** A decoded struct in the shapes of @msec/core. */
export function structFrom<F extends Fields>(type: StructType<F>, given: Decoded): ValueOfFields<F> {
  return Object.fromEntries(
    type.fields.map(([kind, name]) => {
      const value = fieldsOf(given)[name];
      if (kind === "uint128" || kind === "uint256") return [name, BigInt(value as bigint)];
      if (kind.startsWith("uint")) return [name, Number(value)];
      return [name, (value as string).toLowerCase()];
    }),
  ) as unknown as ValueOfFields<F>;
}

/** The values of a decoded struct by position where it is a list (ethers, whose lists hide names like `at`), else by name. */
export const valuesOf = (given: Decoded, names: readonly string[]): unknown[] =>
  names.map((name, i) => (Array.isArray(given) ? (given as readonly unknown[])[i] : fieldsOf(given)[name]));

/** A call of a contract, as viem takes it beside ABI and address; ethers takes the two one after the other. */
export interface Call<N extends string, A extends unknown[]> {
  functionName: N;
  args: A;
}
