import { concat, uint } from "./bytes.ts";
import { demand } from "./errors.ts";

// Recursive Length Prefix (Ethereum yellow paper, appendix B): how a chain writes headers, accounts and nodes of its tries.

export type Rlp = Uint8Array | Rlp[];

/** Nothing that is read here lies deeper; hostile nesting must not exhaust the stack. */
const MAX_DEPTH = 16;

function prefix(length: number, short: number): Uint8Array {
  if (length < 56) return Uint8Array.of(short + length);
  let bytes = 1;
  while (length >= 256 ** bytes) bytes++;
  return concat(Uint8Array.of(short + 55 + bytes), uint(length, bytes));
}

export function rlpEncode(item: Rlp): Uint8Array {
  if (!Array.isArray(item))
    return item.length === 1 && (item[0] as number) < 0x80 ? item : concat(prefix(item.length, 0x80), item);
  const body = concat(...item.map(rlpEncode));
  return concat(prefix(body.length, 0xc0), body);
}

/** Reads the one item that `bytes` is. Refuses as malformed what an encoder would have written in another way. */
export function rlpDecode(bytes: Uint8Array): Rlp {
  const { item, end } = read(bytes, 0, bytes.length, 0);
  demand(end === bytes.length, "malformed", "bytes follow the end of the RLP", bytes.length - end);
  return item;
}

function read(bytes: Uint8Array, at: number, limit: number, depth: number): { item: Rlp; end: number } {
  demand(at < limit, "malformed", "the RLP ends too early", at);
  demand(depth < MAX_DEPTH, "malformed", "the RLP is nested too deep", depth);
  const first = bytes[at] as number;
  if (first < 0x80) return { item: bytes.subarray(at, at + 1), end: at + 1 };
  const isList = first >= 0xc0;
  const short = first - (isList ? 0xc0 : 0x80);
  let from = at + 1;
  let length = short;
  if (short > 55) {
    const digits = short - 55;
    demand(digits <= 4 && from + digits <= limit, "malformed", "the RLP is longer than what holds it", at);
    length = bytes.subarray(from, from + digits).reduce((sum, byte) => sum * 256 + byte, 0);
    demand(bytes[from] !== 0 && length > 55, "malformed", "a length in the RLP is not in its shortest form", at);
    from += digits;
  }
  const end = from + length;
  demand(end <= limit, "malformed", "the RLP is longer than what holds it", at);
  if (!isList) {
    demand(length !== 1 || (bytes[from] as number) >= 0x80, "malformed", "a byte in the RLP has a needless prefix", at);
    return { item: bytes.subarray(from, end), end };
  }
  const items: Rlp[] = [];
  while (from < end) {
    const next = read(bytes, from, end, depth + 1);
    items.push(next.item);
    from = next.end;
  }
  return { item: items, end };
}

/** A byte string, of `length` bytes where that is given. */
export function rlpBytes(item: Rlp | undefined, length?: number): Uint8Array {
  demand(item instanceof Uint8Array, "malformed", "the RLP holds a list where bytes are expected");
  demand(
    length === undefined || item.length === length,
    "malformed",
    `the RLP holds ${item.length} bytes where ${length} are expected`,
  );
  return item;
}

export function rlpList(item: Rlp | undefined, length?: number): Rlp[] {
  demand(Array.isArray(item), "malformed", "the RLP holds bytes where a list is expected");
  demand(
    length === undefined || item.length === length,
    "malformed",
    `the RLP holds a list of ${item.length} where ${length} items are expected`,
  );
  return item;
}

/** A whole number without leading zeros, at most 2^53 − 1. */
export function rlpUint(item: Rlp | undefined): number {
  const bytes = rlpBytes(item);
  demand(bytes[0] !== 0, "malformed", "a number in the RLP begins with a zero");
  const value = bytes.length > 8 ? Infinity : bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  demand(value <= Number.MAX_SAFE_INTEGER, "malformed", "a number in the RLP is above 2^53 − 1");
  return value;
}

/** A whole number, 0 to 2^53 − 1, as RLP has it: no bytes for zero. */
export function rlpOfUint(value: number): Uint8Array {
  let bytes = 0;
  while (bytes < 7 && value >= 256 ** bytes) bytes++;
  return uint(value, bytes);
}
