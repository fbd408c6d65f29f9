import { checkUint, concat, fromHex, type Hex, toHex, uint, utf8 } from "./bytes.ts";
import { keccak256 } from "#native";
import { ProtocolError } from "./errors.ts";

// EIP-712 hashStruct: the one hash rule for everything that a contract sees.

type Small = "uint8" | "uint16" | "uint32" | "uint64";
type Large = "uint128" | "uint256";
type FieldType = Small | Large | "bool" | "bytes32" | "address" | "address[]" | "bytes32[]";
type ValueOf<T extends FieldType> = T extends Small
  ? number
  : T extends Large
    ? bigint
    : T extends "bool"
      ? boolean
      : T extends "address[]" | "bytes32[]"
        ? Hex[]
        : Hex;

export type Fields = readonly (readonly [FieldType, string])[];
/** The TypeScript shape of a struct: uint8 to uint64 are numbers (at most 2^53 − 1), wider ones bigints, the rest hex. */
export type ValueOfFields<F extends Fields> = { [K in F[number] as K[1]]: ValueOf<K[0]> };

export interface StructType<F extends Fields> {
  readonly name: string;
  readonly fields: F;
  /** EIP-712 encodeType, such as `Opened(bytes32 headerDigest)`. */
  readonly encodeType: string;
  readonly typeHash: Uint8Array;
}

export function defineStruct<const F extends Fields>(name: string, fields: F): StructType<F> {
  const encodeType = `${name}(${fields.map(([type, field]) => `${type} ${field}`).join(",")})`;
  return { name, fields, encodeType, typeHash: keccak256(utf8(encodeType)) };
}

/** One value as a 32-byte word, as EIP-712 encodeData and abi.encode have it for static types. */
export function word(type: FieldType, value: unknown): Uint8Array {
  switch (type) {
    case "bytes32":
      return fromHex(value as Hex, 32);
    case "address":
      return concat(new Uint8Array(12), fromHex(value as Hex, 20));
    case "bool":
      if (typeof value !== "boolean") throw new ProtocolError("malformed", "expected true or false", value);
      return uint(value ? 1 : 0, 32);
    case "address[]":
      return keccak256(concat(...(value as Hex[]).map((v) => word("address", v))));
    case "bytes32[]":
      return keccak256(concat(...(value as Hex[]).map((v) => word("bytes32", v))));
    default: {
      if (typeof value !== "number" && typeof value !== "bigint")
        throw new ProtocolError("malformed", `expected a ${type}`, value);
      checkUint(value, Number(type.slice(4)));
      return uint(value, 32);
    }
  }
}

/** EIP-712 hashStruct: H(typeHash ‖ encodeData). A missing or ill-typed field is refused as malformed. */
export function hashStruct<F extends Fields>(type: StructType<F>, value: ValueOfFields<F>): Hex {
  const record = value as Record<string, unknown>;
  return toHex(
    keccak256(
      concat(
        type.typeHash,
        ...type.fields.map(([fieldType, field]) => {
          if (record[field] === undefined)
            throw new ProtocolError("malformed", `${type.name} lacks its field ${field}`, value);
          return word(fieldType, record[field]);
        }),
      ),
    ),
  );
}

export interface Domain {
  /** Name of the contract that reads what is signed, such as "DataAnchor". */
  name: string;
  chainId: number;
  verifyingContract: Hex;
}

const DOMAIN_TYPE_HASH = keccak256(
  utf8("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
);

/** EIP-712 domain separator, version "1". */
export function domainSeparator(domain: Domain): Uint8Array {
  return keccak256(
    concat(
      DOMAIN_TYPE_HASH,
      keccak256(utf8(domain.name)),
      keccak256(utf8("1")),
      word("uint256", domain.chainId),
      word("address", domain.verifyingContract),
    ),
  );
}

/** What a wallet signs (EIP-712): H(0x1901 ‖ domainSeparator ‖ hashStruct). */
export function typedDataDigest<F extends Fields>(
  domain: Domain,
  type: StructType<F>,
  value: ValueOfFields<F>,
): Uint8Array {
  return keccak256(concat(Uint8Array.of(0x19, 0x01), domainSeparator(domain), fromHex(hashStruct(type, value))));
}

/** The `types` argument of an EIP-712 signer such as ethers' `signTypedData`. */
export function typedDataTypes(type: StructType<Fields>): Record<string, { name: string; type: string }[]> {
  return { [type.name]: type.fields.map(([fieldType, name]) => ({ name, type: fieldType })) };
}
