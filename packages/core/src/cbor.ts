import { compare, toBigInt, toHex, uint, utf8 } from "./bytes.ts";
import { Decimal } from "./decimal.ts";
import { demand, ProtocolError } from "./errors.ts";

// The part of CBOR (RFC 8949) that the protocol speaks, in the one deterministic form of its section 4.2.1: integers,
// byte strings, text, arrays, maps, booleans, null, finite floats and decimal fractions. A whole number below 2^53 is
// always an integer, any other number the shortest float that is exact. The reader takes nothing else than what the
// writer writes; the tests hold it against decoding and encoding again with another library.

const TAG_POSITIVE = 2;
const TAG_NEGATIVE = 3;
const TAG_DECIMAL = 4;
const MAX_DEPTH = 16;

/** How the seven-bit argument of an item's head announces 1, 2, 4 or 8 bytes. */
const ONE = 24;
const TWO = 25;
const FOUR = 26;
const EIGHT = 27;

// ---------------------------------------------------------------------------------------------------------- writing

let buffer = new Uint8Array(4096);
let view = new DataView(buffer.buffer);
let length = 0;

function room(bytes: number): void {
  if (length + bytes <= buffer.length) return;
  const larger = new Uint8Array(Math.max(2 * buffer.length, length + bytes));
  larger.set(buffer.subarray(0, length));
  buffer = larger;
  view = new DataView(buffer.buffer);
}

function writeHead(major: number, argument: number | bigint): void {
  room(9);
  const type = major << 5;
  if (argument < 24) buffer[length++] = type | Number(argument);
  else if (argument < 0x100) {
    buffer[length++] = type | ONE;
    buffer[length++] = Number(argument);
  } else if (argument < 0x10000) {
    buffer[length] = type | TWO;
    view.setUint16(length + 1, Number(argument));
    length += 3;
  } else if (argument < 0x100000000) {
    buffer[length] = type | FOUR;
    view.setUint32(length + 1, Number(argument));
    length += 5;
  } else {
    buffer[length] = type | EIGHT;
    view.setBigUint64(length + 1, BigInt(argument));
    length += 9;
  }
}

function writeBytes(major: number, bytes: Uint8Array): void {
  writeHead(major, bytes.length);
  room(bytes.length);
  buffer.set(bytes, length);
  length += bytes.length;
}

/** The bits of a half-precision float, or undefined where it would not be exact. */
function halfBits(value: number): number | undefined {
  const sign = value < 0 ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude < 2 ** -14) {
    const steps = magnitude * 2 ** 24;
    return Number.isInteger(steps) ? sign | steps : undefined;
  }
  if (magnitude > 65504) return undefined;
  const exponent = Math.floor(Math.log2(magnitude));
  const steps = (magnitude / 2 ** exponent - 1) * 1024;
  return Number.isInteger(steps) ? sign | ((exponent + 15) << 10) | steps : undefined;
}

function writeNumber(value: number): void {
  if (Number.isSafeInteger(value)) {
    if (value >= 0) writeHead(0, value);
    else writeHead(1, -1 - value);
    return;
  }
  demand(Number.isFinite(value), "malformed", "a number is finite", value);
  room(9);
  const single = Math.fround(value) === value;
  const half = single ? halfBits(value) : undefined;
  if (half !== undefined) {
    buffer[length] = 0xe0 | TWO;
    view.setUint16(length + 1, half);
    length += 3;
  } else if (single) {
    buffer[length] = 0xe0 | FOUR;
    view.setFloat32(length + 1, value);
    length += 5;
  } else {
    buffer[length] = 0xe0 | EIGHT;
    view.setFloat64(length + 1, value);
    length += 9;
  }
}

function writeBigint(value: bigint): void {
  const argument = value < 0n ? -1n - value : value;
  if (argument < 1n << 64n) return writeHead(value < 0n ? 1 : 0, argument);
  writeHead(6, value < 0n ? TAG_NEGATIVE : TAG_POSITIVE);
  writeBytes(2, uint(argument, Math.ceil(argument.toString(16).length / 2)));
}

function write(value: unknown, depth: number): void {
  demand(depth <= MAX_DEPTH, "malformed", `CBOR is nested at most ${MAX_DEPTH} deep`);
  if (typeof value === "number") writeNumber(value);
  else if (typeof value === "bigint") writeBigint(value);
  else if (typeof value === "string") {
    demand(value.isWellFormed(), "malformed", "text has no lone surrogates", value);
    writeBytes(3, utf8(value));
  } else if (value instanceof Uint8Array) writeBytes(2, value);
  else if (Array.isArray(value)) {
    writeHead(4, value.length);
    for (const item of value as unknown[]) write(item, depth + 1);
  } else if (value instanceof Map) writeMap(value, depth);
  else if (value instanceof Decimal) {
    Decimal.fromCbor([value.exponent, value.mantissa]); // refuses one built by hand that no reader would take
    writeHead(6, TAG_DECIMAL);
    write([value.exponent, value.mantissa], depth + 1);
  } else if (value === false || value === true || value === null) {
    room(1);
    buffer[length++] = value === null ? 0xf6 : value ? 0xf5 : 0xf4;
  } else throw new ProtocolError("malformed", "CBOR of the protocol has no such type", value);
}

function writeMap(map: Map<unknown, unknown>, depth: number): void {
  writeHead(5, map.size);
  const start = length;
  const entries: { key: Uint8Array; bytes: Uint8Array }[] = [];
  let sorted = true;
  for (const [key, value] of map) {
    const from = length;
    write(key, depth + 1);
    const end = length;
    write(value, depth + 1);
    const entry = { key: buffer.slice(from, end), bytes: buffer.slice(from, length) };
    const before = entries[entries.length - 1];
    sorted &&= before === undefined || compare(before.key, entry.key) < 0;
    entries.push(entry);
  }
  if (sorted) return;
  entries.sort((a, b) => compare(a.key, b.key));
  length = start;
  for (const { bytes } of entries) {
    buffer.set(bytes, length);
    length += bytes.length;
  }
}

/**
 * Deterministic CBOR. Maps are `Map`s, sorted by their encoded keys whatever their order; decimal fractions (tag 4) are
 * {@link Decimal}s; bigints may stand for any integer.
 */
export function cborEncode(value: unknown): Uint8Array {
  length = 0;
  write(value, 0);
  return buffer.slice(0, length);
}

// ---------------------------------------------------------------------------------------------------------- reading

const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const malformed = (message: string, value?: unknown) => new ProtocolError("malformed", message, value);
const notShortest = () => malformed("CBOR is not in its deterministic form: a longer encoding than needed");

class Reader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Steps over `n` bytes and says where they start. */
  take(n: number): number {
    const from = this.at;
    if (n > this.bytes.length - from) throw malformed("CBOR ends early");
    this.at = from + n;
    return from;
  }

  /** The argument of an item's head, in its shortest form. */
  argument(info: number): number | bigint {
    if (info < ONE) return info;
    if (info === ONE) return least(this.bytes[this.take(1)] as number, ONE);
    if (info === TWO) return least(this.view.getUint16(this.take(2)), 0x100);
    if (info === FOUR) return least(this.view.getUint32(this.take(4)), 0x10000);
    if (info !== EIGHT) throw malformed("CBOR has no indefinite lengths here", info);
    const wide = least(this.view.getBigUint64(this.take(8)), 0x100000000);
    return wide <= Number.MAX_SAFE_INTEGER ? Number(wide) : wide;
  }

  string(size: number | bigint): Uint8Array {
    const from = this.take(Number(size));
    return this.bytes.subarray(from, this.at);
  }

  float(info: number): number {
    let value: number;
    if (info === TWO) value = ofHalf(this.view.getUint16(this.take(2)));
    else if (info === FOUR) value = this.view.getFloat32(this.take(4));
    else value = this.view.getFloat64(this.take(8));
    if (!Number.isFinite(value)) throw malformed("a number is finite", value);
    const single = Math.fround(value) === value;
    const longer = single && (info === EIGHT || (info === FOUR && halfBits(value) !== undefined));
    if (longer || Number.isSafeInteger(value)) throw notShortest();
    return value;
  }

  item(depth: number): unknown {
    if (depth > MAX_DEPTH) throw malformed(`CBOR is nested at most ${MAX_DEPTH} deep`);
    const head = this.bytes[this.take(1)] as number;
    const major = head >> 5;
    const info = head & 31;
    if (major === 7) {
      if (info === 20 || info === 21) return info === 21;
      if (info === 22) return null;
      if (info < TWO || info > EIGHT) throw malformed("CBOR of the protocol has no such simple value", info);
      return this.float(info);
    }
    const argument = this.argument(info);
    switch (major) {
      case 0:
        return argument;
      case 1: {
        if (typeof argument === "number" && argument < Number.MAX_SAFE_INTEGER) return -1 - argument;
        return -1n - BigInt(argument);
      }
      case 2:
        return this.string(argument);
      case 3:
        return this.text(this.string(argument));
      case 4: {
        // an item takes at least one byte, so a length that lies is found before anything is set aside for it
        if (argument > this.bytes.length - this.at) throw malformed("CBOR ends early");
        const items: unknown[] = [];
        for (let i = 0; i < Number(argument); i++) items.push(this.item(depth + 1));
        return items;
      }
      case 5:
        return this.map(argument, depth);
      default:
        return this.tagged(argument, depth);
    }
  }

  text(bytes: Uint8Array): string {
    if (bytes.length <= 32) {
      let out = "";
      for (const byte of bytes) {
        if (byte >= 0x80) return this.decoded(bytes);
        out += String.fromCharCode(byte);
      }
      return out;
    }
    return this.decoded(bytes);
  }

  decoded(bytes: Uint8Array): string {
    try {
      return text.decode(bytes);
    } catch {
      throw malformed("text is UTF-8", toHex(bytes));
    }
  }

  map(size: number | bigint, depth: number): Map<unknown, unknown> {
    if (size > (this.bytes.length - this.at) / 2) throw malformed("CBOR ends early");
    const out = new Map<unknown, unknown>();
    let before: Uint8Array | undefined;
    for (let i = 0; i < Number(size); i++) {
      const from = this.at;
      const key = this.item(depth + 1);
      const encoded = this.bytes.subarray(from, this.at);
      if (before !== undefined && compare(before, encoded) >= 0)
        throw malformed("CBOR is not in its deterministic form: keys are ascending and distinct", key);
      before = encoded;
      out.set(key, this.item(depth + 1));
    }
    return out;
  }

  tagged(tag: number | bigint, depth: number): unknown {
    const content = this.item(depth + 1);
    if (tag === TAG_DECIMAL) return Decimal.fromCbor(content);
    if ((tag !== TAG_POSITIVE && tag !== TAG_NEGATIVE) || !(content instanceof Uint8Array))
      throw malformed("CBOR of the protocol has the tags 2 and 3 over bytes, and 4", tag);
    if (content.length <= 8 || content[0] === 0) throw notShortest();
    return tag === TAG_POSITIVE ? toBigInt(content) : -1n - toBigInt(content);
  }
}

function least<N extends number | bigint>(argument: N, minimum: number): N {
  if (argument < minimum) throw notShortest();
  return argument;
}

function ofHalf(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? Infinity : NaN;
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return (bits & 0x8000) === 0 ? magnitude : -magnitude;
}

/** Decodes the deterministic item at the start of `bytes`; `rest` is what follows it. Byte strings are views of `bytes`. */
export function cborDecodeFirst(bytes: Uint8Array): { value: unknown; rest: Uint8Array } {
  const reader = new Reader(bytes);
  const value = reader.item(0);
  return { value, rest: bytes.subarray(reader.at) };
}

/** Decodes exactly one deterministic item; bytes after it are refused. */
export function cborDecode(bytes: Uint8Array): unknown {
  const reader = new Reader(bytes);
  const value = reader.item(0);
  const left = bytes.length - reader.at;
  if (left > 0) throw malformed(`${left} bytes follow the CBOR item`);
  return value;
}
