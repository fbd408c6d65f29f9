import { AttestationError } from "./errors.ts";

/** One DER element (X.690). `raw` is the whole of it, `content` what follows tag and length. */
export interface Der {
  tag: number;
  raw: Uint8Array;
  content: Uint8Array;
}

export const TAG = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OID: 0x06,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
} as const;

const refuse = (why: string, value?: unknown) => new AttestationError("malformed", `this is not DER: ${why}`, value);

/** Reads the elements that `bytes` consist of. Lengths must be definite and shortest, tags of one byte. */
export function readAll(bytes: Uint8Array): Der[] {
  const out: Der[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] as number;
    const first = bytes[at + 1];
    if (first === undefined || (tag & 0x1f) === 0x1f) throw refuse("a tag or length is missing or too long", at);
    let length = first;
    let start = at + 2;
    if (first >= 0x80) {
      const count = first & 0x7f;
      if (count === 0 || count > 3 || start + count > bytes.length) throw refuse("a length is wrong", at);
      length = 0;
      for (const byte of bytes.subarray(start, start + count)) length = length * 256 + byte;
      if (length < (count === 1 ? 0x80 : 2 ** (8 * (count - 1)))) throw refuse("a length is not the shortest", at);
      start += count;
    }
    const end = start + length;
    if (end > bytes.length) throw refuse("it ends too early", at);
    out.push({ tag, raw: bytes.subarray(at, end), content: bytes.subarray(start, end) });
    at = end;
  }
  return out;
}

/** The one element that fills `bytes`. */
export function readOne(bytes: Uint8Array, tag: number): Der {
  const [element, ...more] = readAll(bytes);
  return expect(more.length === 0 ? element : undefined, tag);
}

export function expect(element: Der | undefined, tag: number): Der {
  if (element?.tag !== tag) throw refuse(`expected an element with tag ${tag}`, element?.tag);
  return element;
}

/** Elements of a SEQUENCE or another constructed element. */
export const children = (element: Der | undefined, tag: number = TAG.SEQUENCE): Der[] =>
  readAll(expect(element, tag).content);

/** Dotted form of an OBJECT IDENTIFIER. */
export function oid(element: Der | undefined): string {
  const { content } = expect(element, TAG.OID);
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const [first = 0, ...rest] = arcs;
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - 40 * root, ...rest].join(".");
}

/** Bytes of a BIT STRING that is whole bytes long. */
export function bits(element: Der | undefined): Uint8Array {
  const { content } = expect(element, TAG.BIT_STRING);
  if (content[0] !== 0) throw refuse("expected a bit string of whole bytes", content[0]);
  return content.subarray(1);
}

/** Unsigned big-endian bytes of a positive INTEGER, without the leading zero. */
export function unsigned(element: Der | undefined): Uint8Array {
  const { content } = expect(element, TAG.INTEGER);
  return content[0] === 0 && content.length > 1 ? content.subarray(1) : content;
}

/** UTCTime or GeneralizedTime in UTC with seconds (RFC 5280, 4.1.2.5), as Unix milliseconds. */
export function time(element: Der | undefined): number {
  const text = Buffer.from(element?.content ?? []).toString("latin1");
  const whole = element?.tag === TAG.UTC_TIME ? `${Number(text.slice(0, 2)) >= 50 ? "19" : "20"}${text}` : text;
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(whole);
  if (!match || (element?.tag !== TAG.UTC_TIME && element?.tag !== TAG.GENERALIZED_TIME))
    throw refuse("a time is not written as certificates write it", text);
  const [, y, mo, d, h, mi, s] = match.map(Number) as [number, number, number, number, number, number, number];
  return Date.UTC(y, mo - 1, d, h, mi, s);
}
