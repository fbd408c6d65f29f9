import { decodeFirst, type DecodeOptions, encode, type EncodeOptions, objectToTokens, Tagged } from "cborg";
import { bigIntDecoder, bigIntEncoder, bigNegIntDecoder } from "cborg/taglib";
import { equal } from "./bytes.ts";
import { Decimal } from "./decimal.ts";
import { ProtocolError } from "./errors.ts";

const DECIMAL_FRACTION = 4;

const encodeOptions: EncodeOptions = {
  typeEncoders: {
    bigint: bigIntEncoder,
    Decimal: ({ exponent, mantissa }: Decimal, _type, options) => {
      Decimal.fromCbor([exponent, mantissa]); // refuses one built by hand that no reader would take
      return objectToTokens(new Tagged(DECIMAL_FRACTION, [exponent, mantissa]), options);
    },
  },
};

/**
 * Deterministic CBOR (RFC 8949, section 4.2.1). Maps are `Map`s whose keys are integers below 24, decimal fractions
 * (tag 4) are {@link Decimal}s.
 */
export function cborEncode(value: unknown): Uint8Array {
  return encode(value, encodeOptions);
}

const decodeOptions: DecodeOptions = {
  useMaps: true,
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  rejectDuplicateMapKeys: true,
  tags: { 2: bigIntDecoder, 3: bigNegIntDecoder, [DECIMAL_FRACTION]: (inner) => Decimal.fromCbor(inner()) },
};

/**
 * Decodes the item at the start of `bytes` and demands that it was encoded deterministically: the check is to encode it
 * again, since strict decoders let over-long floats through. `rest` is what follows the item.
 */
export function cborDecodeFirst(bytes: Uint8Array): { value: unknown; rest: Uint8Array } {
  let value: unknown;
  let rest: Uint8Array;
  let again: Uint8Array;
  try {
    [value, rest] = decodeFirst(bytes, decodeOptions);
    again = cborEncode(value);
  } catch (error) {
    if (error instanceof ProtocolError) throw error;
    throw new ProtocolError("malformed", `not valid CBOR: ${(error as Error).message}`);
  }
  if (!equal(again, bytes.subarray(0, bytes.length - rest.length)))
    throw new ProtocolError("malformed", "CBOR is not in its deterministic form");
  return { value, rest };
}

/** Decodes exactly one deterministic item; bytes after it are refused. */
export function cborDecode(bytes: Uint8Array): unknown {
  const { value, rest } = cborDecodeFirst(bytes);
  if (rest.length > 0) throw new ProtocolError("malformed", `${rest.length} bytes follow the CBOR item`);
  return value;
}
