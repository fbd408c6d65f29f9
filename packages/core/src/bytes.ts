import { ProtocolError } from "./errors.ts";

/** `0x` and lower-case hex digits. Ids, hashes and addresses travel as this; contents travel as bytes. */
export type Hex = `0x${string}`;

const text = new TextEncoder();

export const ZERO32: Hex = `0x${"00".repeat(32)}`;
export const ZERO_ADDRESS: Hex = `0x${"00".repeat(20)}`;

/** UTF-8 bytes of a string. */
export const utf8 = (s: string): Uint8Array => text.encode(s);

const HEX_OF = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));

export function toHex(bytes: Uint8Array): Hex {
  let out = "";
  for (const byte of bytes) out += HEX_OF[byte];
  return `0x${out}`;
}

/** Value of a hex digit by its character code; 255 for any other character. */
const DIGIT = new Uint8Array(128).fill(255);
for (const [i, c] of [..."0123456789abcdef"].entries())
  DIGIT[c.charCodeAt(0)] = DIGIT[c.toUpperCase().charCodeAt(0)] = i;

/** Bytes of a hex string; `length` in bytes is checked when given. */
export function fromHex(hex: string, length?: number): Uint8Array {
  const isText = typeof hex === "string" && hex.startsWith("0x") && hex.length % 2 === 0;
  const out = new Uint8Array(isText ? (hex.length - 2) / 2 : 0);
  let wrong = isText ? 0 : 255;
  for (let i = 0; i < out.length; i++) {
    const high = DIGIT[hex.charCodeAt(2 + 2 * i)] ?? 255;
    const low = DIGIT[hex.charCodeAt(3 + 2 * i)] ?? 255;
    wrong |= (high | low) & 0xf0;
    out[i] = (high << 4) | low;
  }
  if (wrong !== 0) throw new ProtocolError("malformed", "expected 0x and an even number of hex digits", hex);
  if (length !== undefined && out.length !== length)
    throw new ProtocolError("malformed", `expected ${length} bytes, got ${out.length}`, hex);
  return out;
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compare(a, b) === 0;
}

/** Lexicographic order: negative, zero or positive. */
export function compare(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return (a[i] as number) - (b[i] as number);
  return a.length - b.length;
}

/** Big-endian unsigned integer of `length` bytes. */
export function uint(value: number | bigint, length: number): Uint8Array {
  const out = new Uint8Array(length);
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && (length > 6 || value < 256 ** length)) {
    let rest = value;
    for (let i = length - 1; rest > 0; i--) {
      out[i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
    return out;
  }
  let v = checkUint(value, length * 8);
  for (let i = length - 1; i >= 0; i--) {
    out[i] = Number(v & 0xffn);
    v >>= 8n;
  }
  return out;
}

export function toBigInt(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(toHex(bytes));
}

/** A whole number in 0 … 2^bits − 1, as a bigint; anything else is refused. */
export function checkUint(value: number | bigint, bits: number): bigint {
  if (typeof value === "number" && !Number.isSafeInteger(value))
    throw new ProtocolError("malformed", `expected a whole number that fits uint${bits}`, value);
  const v = BigInt(value);
  if (v < 0n || v >= 1n << BigInt(bits)) throw new ProtocolError("malformed", `expected a uint${bits}`, value);
  return v;
}

/** Base64 (RFC 4648, section 4), the same in Node and browsers. */
export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(binary);
}

export function fromBase64(s: unknown): Uint8Array {
  if (typeof s !== "string" || !/^[A-Za-z0-9+/]*={0,2}$/.test(s) || s.length % 4 !== 0)
    throw new ProtocolError("malformed", "expected base64 text", s);
  const binary = atob(s);
  const out = new Uint8Array(binary.length);
  for (let i = 0; i < out.length; i++) out[i] = binary.charCodeAt(i);
  return out;
}
