import { ProtocolError } from "./errors.ts";

/** `0x` and lower-case hex digits. Ids, hashes and addresses travel as this; contents travel as bytes. */
export type Hex = `0x${string}`;

const HEX = /^0x([0-9a-fA-F]{2})*$/;
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

/** Bytes of a hex string; `length` in bytes is checked when given. */
export function fromHex(hex: string, length?: number): Uint8Array {
  if (!HEX.test(hex)) throw new ProtocolError("malformed", "expected 0x and an even number of hex digits", hex);
  const out = new Uint8Array((hex.length - 2) / 2);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(hex.slice(2 + 2 * i, 4 + 2 * i), 16);
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
  let v = checkUint(value, length * 8);
  const out = new Uint8Array(length);
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
  return Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
}
