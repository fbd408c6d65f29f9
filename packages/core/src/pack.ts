import { chachaOpen, chachaSeal, keccak256, sha256 } from "#native";
import { concat, equal, fromHex, type Hex, toHex, uint, utf8, ZERO32 } from "./bytes.ts";
import { cborDecode, cborDecodeFirst, cborEncode } from "./cbor.ts";
import { demand } from "./errors.ts";
import { keyCommitment, packAad, packKey } from "./keytree.ts";
import { merkleTree, type MerkleTree } from "./merkle.ts";
import { decodeRecord, encodeRecord, type SenmlRecord } from "./senml.ts";
import { keyHash } from "./stream.ts";
import { COSE_ALG, KEY_ALG, type KeyAlg, keyAlgOf, SIGNATURE_BYTES, verifySignature } from "./signing.ts";
import { MODE, slotOf, slotTimes, streamId, type StreamPreimage } from "./stream.ts";
import { hashStruct } from "./struct.ts";
import { PACK, type Pack } from "./types.ts";

export const FLAG = { break: 1, recorded: 2, end: 4 } as const;
/** Largest content, in bytes. */
export const MAX_CONTENT = 48 * 1024;
/** Largest COSE: a header has a fixed shape, so this is generous. */
export const MAX_COSE = 1024;
const NONCE = 12;
const TAG = 16;

/** The newest epoch that a device had seen when it signed; number 0 and zeros for none. */
export interface Beacon {
  number: number;
  digest: Hex;
}

/** What a device signs. It holds no reading. Times are Unix milliseconds, inclusive. */
export interface Header {
  streamId: Hex;
  keyEpoch: number;
  /** The TPM's resetCount; a software element counts its own starts. */
  bootEpoch: number;
  seq: number;
  flags: number;
  /** headerDigest of the header before it on the stream's line; zeros for the first. */
  previous: Hex;
  fromMs: number;
  toMs: number;
  count: number;
  root: Hex;
  keyCommitment: Hex;
  contentDigest: Hex;
  /** SHA-256 of the attestation evidence, or zeros. */
  attestation: Hex;
  beacon: Beacon;
}

/** A COSE_Sign1 taken apart. Bytes are kept as they came. */
export interface SignedHeader {
  cose: Uint8Array;
  header: Header;
  headerDigest: Hex;
  keyAlg: KeyAlg;
  /** SHA-256 of the SPKI that the protected header names. */
  keyHash: Hex;
  signature: Uint8Array;
  /** The Sig_structure: what the signature is over. */
  toBeSigned: Uint8Array;
}

const VERSION = 1;
const ALG = 1;
const KID = 4;

export function encodeHeader(h: Header): Uint8Array {
  return cborEncode([
    VERSION,
    fromHex(h.streamId, 32),
    h.keyEpoch,
    h.bootEpoch,
    h.seq,
    h.flags,
    fromHex(h.previous, 32),
    h.fromMs,
    h.toMs,
    h.count,
    fromHex(h.root, 32),
    fromHex(h.keyCommitment, 32),
    fromHex(h.contentDigest, 32),
    fromHex(h.attestation, 32),
    [h.beacon.number, fromHex(h.beacon.digest, 32)],
  ]);
}

export function decodeHeader(bytes: Uint8Array): Header {
  const fields = cborDecode(bytes);
  demand(Array.isArray(fields) && fields.length === 15, "malformed", "a header is an array of 15");
  const whole = (i: number, bits: number, from: unknown[] = fields as unknown[]): number => {
    const value = from[i];
    demand(
      typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value < 2 ** bits,
      "malformed",
      `header field ${i} is a uint${bits}`,
      value,
    );
    return value;
  };
  const bytes32 = (i: number, from: unknown[] = fields as unknown[]): Hex => {
    const value = from[i];
    demand(value instanceof Uint8Array && value.length === 32, "malformed", `header field ${i} has 32 bytes`, value);
    return toHex(value);
  };
  demand(whole(0, 8) === VERSION, "malformed", "header version is 1", fields[0]);
  const beacon = fields[14] as unknown;
  demand(Array.isArray(beacon) && beacon.length === 2, "malformed", "a beacon is [number, digest]", beacon);
  return {
    streamId: bytes32(1),
    keyEpoch: whole(2, 32),
    bootEpoch: whole(3, 32),
    seq: whole(4, 64),
    flags: whole(5, 8),
    previous: bytes32(6),
    fromMs: whole(7, 64),
    toMs: whole(8, 64),
    count: whole(9, 32),
    root: bytes32(10),
    keyCommitment: bytes32(11),
    contentDigest: bytes32(12),
    attestation: bytes32(13),
    beacon: { number: whole(0, 64, beacon), digest: bytes32(1, beacon) },
  };
}

/** Protected header {1: −7 or −257, 4: keyHash}. */
export function encodeProtected(kid: Hex, keyAlg: KeyAlg = KEY_ALG.ES256): Uint8Array {
  return cborEncode(
    new Map<number, unknown>([
      [ALG, COSE_ALG[keyAlg]],
      [KID, fromHex(kid, 32)],
    ]),
  );
}

/** RFC 9052, section 4.4: what a COSE_Sign1 signature is over, with no external data. */
export function sigStructure(protectedHeader: Uint8Array, payload: Uint8Array): Uint8Array {
  return cborEncode(["Signature1", protectedHeader, new Uint8Array(), payload]);
}

/** An untagged COSE_Sign1 (RFC 9052, section 4.2) with an empty unprotected header. */
export function encodeCose(protectedHeader: Uint8Array, payload: Uint8Array, signature: Uint8Array): Uint8Array {
  demand(
    Object.values(SIGNATURE_BYTES).includes(signature.length),
    "bad-signature",
    "an ES256 signature has 64 bytes, an RS256 one 256",
    signature.length,
  );
  return cborEncode([protectedHeader, new Map(), payload, signature]);
}

/** Takes a COSE_Sign1 apart and checks its form. It does not check the signature: see {@link checkSignature}. */
export function decodeCose(cose: Uint8Array): SignedHeader {
  demand(cose.length <= MAX_COSE, "oversize", `a signed header has at most ${MAX_COSE} bytes`, cose.length);
  const fields = cborDecode(cose);
  demand(Array.isArray(fields) && fields.length === 4, "malformed", "a COSE_Sign1 is an array of 4");
  const [protectedHeader, unprotected, payload, signature] = fields as unknown[];
  demand(
    protectedHeader instanceof Uint8Array &&
      unprotected instanceof Map &&
      payload instanceof Uint8Array &&
      signature instanceof Uint8Array,
    "malformed",
    "a COSE_Sign1 is [bstr, map, bstr, bstr]",
  );
  demand(unprotected.size === 0, "malformed", "the unprotected header is empty");
  const map = cborDecode(protectedHeader);
  const keyAlg = Object.values(KEY_ALG).find((alg) => map instanceof Map && map.get(ALG) === COSE_ALG[alg]);
  demand(
    map instanceof Map && map.size === 2 && keyAlg !== undefined,
    "malformed",
    "the protected header is {1: −7 or −257, 4: keyHash}",
  );
  const kid = map.get(KID) as unknown;
  demand(kid instanceof Uint8Array && kid.length === 32, "malformed", "the key id is the SHA-256 of the SPKI");
  demand(
    signature.length === SIGNATURE_BYTES[keyAlg],
    "bad-signature",
    "an ES256 signature has 64 bytes, an RS256 one 256",
    signature.length,
  );
  const toBeSigned = sigStructure(protectedHeader, payload);
  return {
    cose,
    header: decodeHeader(payload),
    headerDigest: toHex(sha256(toBeSigned)),
    keyAlg,
    keyHash: toHex(kid),
    signature,
    toBeSigned,
  };
}

/** Refuses a signature that the key does not fit, a key or algorithm that the header does not name, and s > n/2. */
export function checkSignature(signed: SignedHeader, spki: Uint8Array): void {
  demand(keyHash(spki) === signed.keyHash, "unknown-key", "the header names another signing key", signed.keyHash);
  demand(keyAlgOf(spki) === signed.keyAlg, "unknown-key", "the header names another algorithm", signed.keyAlg);
  demand(
    verifySignature(spki, signed.toBeSigned, signed.signature),
    "bad-signature",
    "the device's signature does not fit the header",
    signed.headerDigest,
  );
}

const T1 = keccak256(utf8("msec.salt"));
const T2 = keccak256(utf8("msec.reading"));

export function readingSalt(packSalt: Uint8Array, i: number): Uint8Array {
  return keccak256(concat(T1, packSalt, uint(i, 4)));
}

/** Leaf of reading i: H(T2 ‖ salt_i ‖ uint32 i ‖ record_i). */
export function readingLeaf(salt: Uint8Array, i: number, record: Uint8Array): Uint8Array {
  return keccak256(concat(T2, salt, uint(i, 4), record));
}

/** Tree over the leaves of a pack's readings: {@link readingLeaf} of {@link readingSalt}, from two buffers used again. */
export function readingTree(packSalt: Uint8Array, records: readonly Uint8Array[]): MerkleTree {
  demand(packSalt.length === 32, "malformed", "a pack's salt has 32 bytes", packSalt.length);
  const saltInput = concat(T1, packSalt, new Uint8Array(4));
  const leafInput = concat(T2, new Uint8Array(36 + records.reduce((most, { length }) => Math.max(most, length), 0)));
  const saltIndex = new DataView(saltInput.buffer, 64);
  const leafIndex = new DataView(leafInput.buffer, 64);
  return merkleTree(
    records.map((record, i) => {
      saltIndex.setUint32(0, i);
      leafIndex.setUint32(0, i);
      leafInput.set(keccak256(saltInput), 32);
      leafInput.set(record, 68);
      return keccak256(leafInput.subarray(0, 68 + record.length));
    }),
  );
}

/** A pack opened: its salt, its records as bytes (empty ones fill a sealed pack), and those read. */
export interface OpenedPack {
  packSalt: Uint8Array;
  records: Uint8Array[];
  readings: SenmlRecord[];
}

/** CBOR[packSalt, [record…]]; for a sealed stream filled up to padCount records and zero bytes up to padBytes. */
export function encodePlaintext(
  stream: StreamPreimage,
  packSalt: Uint8Array,
  records: readonly Uint8Array[],
): Uint8Array {
  demand(packSalt.length === 32, "malformed", "a pack's salt has 32 bytes");
  const body = cborEncode([packSalt, records]);
  if (stream.mode !== MODE.sealed) return body;
  const { padBytes } = stream.schema;
  demand(
    body.length <= padBytes,
    "padding",
    `the slot's rows take ${body.length} bytes, the sealed stream has room for ${padBytes}: choose a larger padBytes`,
    body.length,
  );
  return concat(body, new Uint8Array(padBytes - body.length));
}

/** Fills a sealed pack's rows up to padCount; more rows than that stop the driver. */
export function padRecords(stream: StreamPreimage, records: readonly Uint8Array[]): Uint8Array[] {
  if (stream.mode !== MODE.sealed) return [...records];
  const { padCount } = stream.schema;
  demand(
    records.length <= padCount,
    "padding",
    `a slot has ${records.length} readings, the sealed stream has room for ${padCount}: choose a larger padCount`,
    records.length,
  );
  return [...records, ...Array.from({ length: padCount - records.length }, () => new Uint8Array())];
}

function decodePlaintext(
  stream: StreamPreimage,
  plaintext: Uint8Array,
): { packSalt: Uint8Array; records: Uint8Array[] } {
  const { value, rest } = cborDecodeFirst(plaintext);
  const sealed = stream.mode === MODE.sealed;
  demand(
    !sealed || plaintext.length === stream.schema.padBytes,
    "padding",
    "a sealed pack has padBytes",
    plaintext.length,
  );
  demand(sealed || rest.length === 0, "malformed", "bytes follow the pack's content", rest.length);
  demand(
    rest.every((byte) => byte === 0),
    "padding",
    "only zeros follow the content of a sealed pack",
  );
  demand(Array.isArray(value) && value.length === 2, "malformed", "a pack's content is [packSalt, records]");
  const [packSalt, records] = value as [unknown, unknown];
  demand(packSalt instanceof Uint8Array && packSalt.length === 32, "malformed", "a pack's salt has 32 bytes");
  demand(
    Array.isArray(records) && records.every((record) => record instanceof Uint8Array),
    "malformed",
    "a pack's records are byte strings",
  );
  return { packSalt, records: records as Uint8Array[] };
}

/** nonce ‖ ChaCha20-Poly1305 (RFC 8439). */
export function sealContent(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  demand(nonce.length === NONCE, "malformed", "the nonce has 12 bytes", nonce.length);
  const content = concat(nonce, chachaSeal(key, nonce, aad, plaintext));
  demand(
    content.length <= MAX_CONTENT,
    "oversize",
    `a pack's content has at most ${MAX_CONTENT} bytes`,
    content.length,
  );
  return content;
}

export interface PackInput {
  stream: StreamPreimage;
  /** Leaf node of the pack's slot in the stream's key tree. */
  leaf: Uint8Array;
  keyEpoch: number;
  bootEpoch: number;
  seq: number;
  flags: number;
  previous: Hex;
  readings: readonly SenmlRecord[];
  /** For a sealed stream, whose pack may be empty: the slot. Other streams take it from their readings. */
  slot?: number;
  attestation?: Hex;
  beacon?: Beacon;
  /** 32 random bytes. */
  packSalt: Uint8Array;
  /** 12 random bytes. */
  nonce: Uint8Array;
  /** SHA-256 of the signing key's SPKI. */
  keyHash: Hex;
  /** ES256 where it is left out. */
  keyAlg?: KeyAlg;
}

export interface UnsignedPack {
  header: Header;
  headerBytes: Uint8Array;
  protectedHeader: Uint8Array;
  /** What the secure element signs; its SHA-256 is the headerDigest. */
  toBeSigned: Uint8Array;
  headerDigest: Hex;
  content: Uint8Array;
}

/** Builds and encrypts a pack up to its signature. */
export function preparePack(input: PackInput): UnsignedPack {
  const { stream, readings } = input;
  const id = streamId(stream);
  for (const reading of readings) checkReading(stream, reading);
  const times = readings.map((reading) => reading.tMs);
  let span: { fromMs: number; toMs: number };
  if (stream.mode === MODE.sealed) {
    demand(input.slot !== undefined, "slot", "a sealed pack names its slot");
    span = slotTimes(input.slot, stream.slotSeconds);
  } else {
    demand(times.length > 0, "malformed", "a pack holds at least one reading");
    span = { fromMs: times.reduce((a, b) => Math.min(a, b)), toMs: times.reduce((a, b) => Math.max(a, b)) };
  }
  const records = padRecords(stream, readings.map(encodeRecord));
  const aad = packAad(id, input.keyEpoch, input.seq);
  const key = packKey(input.leaf, aad);
  const content = sealContent(key, input.nonce, aad, encodePlaintext(stream, input.packSalt, records));
  const header: Header = {
    streamId: id,
    keyEpoch: input.keyEpoch,
    bootEpoch: input.bootEpoch,
    seq: input.seq,
    flags: input.flags,
    previous: input.previous,
    ...span,
    count: records.length,
    root: toHex(readingTree(input.packSalt, records).root),
    keyCommitment: toHex(keyCommitment(key)),
    contentDigest: toHex(sha256(content)),
    attestation: input.attestation ?? ZERO32,
    beacon: input.beacon ?? { number: 0, digest: ZERO32 },
  };
  checkHeader(stream, header, content.length);
  for (const t of times)
    demand(t >= span.fromMs && t <= span.toMs, "slot", "a reading lies outside its pack's slot", t);
  const headerBytes = encodeHeader(header);
  const protectedHeader = encodeProtected(input.keyHash, input.keyAlg);
  const toBeSigned = sigStructure(protectedHeader, headerBytes);
  return { header, headerBytes, protectedHeader, toBeSigned, headerDigest: toHex(sha256(toBeSigned)), content };
}

/** The message on the wire: CBOR[bstr cose, bstr content]. */
export function encodeMessage(cose: Uint8Array, content: Uint8Array): Uint8Array {
  return cborEncode([cose, content]);
}

export function decodeMessage(message: Uint8Array): { cose: Uint8Array; content: Uint8Array } {
  demand(
    message.length <= MAX_CONTENT + MAX_COSE + 16,
    "oversize",
    "the message is larger than any pack",
    message.length,
  );
  const fields = cborDecode(message);
  demand(Array.isArray(fields) && fields.length === 2, "malformed", "a message is [cose, content]");
  const [cose, content] = fields as unknown[];
  demand(cose instanceof Uint8Array && content instanceof Uint8Array, "malformed", "a message is [bstr, bstr]");
  demand(
    content.length <= MAX_CONTENT,
    "oversize",
    `a pack's content has at most ${MAX_CONTENT} bytes`,
    content.length,
  );
  return { cose, content };
}

/** What a header must satisfy by itself, given its stream and, where it is at hand, the length of its content. */
export function checkHeader(stream: StreamPreimage, header: Header, contentLength?: number): void {
  demand(header.streamId === streamId(stream), "wrong-stream", "the header is of another stream", header.streamId);
  demand(header.seq >= 1, "order", "the first seq is 1", header.seq);
  demand(header.count >= 1, "malformed", "a pack holds at least one record", header.count);
  demand(header.flags < 8, "malformed", "flags are break 1, recorded 2, end 4", header.flags);
  demand(
    (header.beacon.number === 0) === (header.beacon.digest === ZERO32),
    "malformed",
    "no beacon is number 0 and zeros",
    header.beacon,
  );
  demand(header.fromMs <= header.toMs, "time", "fromMs is at most toMs", [header.fromMs, header.toMs]);
  const slot = slotOf(header.fromMs, stream.slotSeconds);
  demand(slot === slotOf(header.toMs, stream.slotSeconds), "slot", "a pack lies in one slot", [
    header.fromMs,
    header.toMs,
  ]);
  if (contentLength !== undefined)
    demand(
      contentLength >= NONCE + TAG && contentLength <= MAX_CONTENT,
      "oversize",
      "28 bytes to 48 KiB of content",
      contentLength,
    );
  if (stream.mode !== MODE.sealed) return;
  const { fromMs, toMs } = slotTimes(slot, stream.slotSeconds);
  demand(
    header.fromMs === fromMs && header.toMs === toMs,
    "padding",
    "a sealed pack spans its whole slot",
    header.fromMs,
  );
  demand(header.count === stream.schema.padCount, "padding", "a sealed pack has padCount records", header.count);
  demand(
    contentLength === undefined || contentLength === NONCE + TAG + stream.schema.padBytes,
    "padding",
    "a sealed pack's content has 28 + padBytes bytes",
    contentLength,
  );
}

/** Slot of a checked header. */
export function headerSlot(stream: StreamPreimage, header: Header): number {
  return slotOf(header.fromMs, stream.slotSeconds);
}

/** Whether `next` may stand directly after `head` on the stream's line; `head` undefined for the first header. */
export function checkFollows(
  stream: StreamPreimage,
  head: { header: Header; headerDigest: Hex } | undefined,
  next: Header,
): void {
  demand(
    next.previous === (head?.headerDigest ?? ZERO32),
    "branch",
    "`previous` is not the stream's head",
    next.previous,
  );
  if (head === undefined) {
    demand(next.seq === 1 || (next.flags & FLAG.break) !== 0, "order", "the first seq is 1", next.seq);
    return;
  }
  const before = head.header;
  demand((before.flags & FLAG.end) === 0, "after-end", "the stream has ended", next.seq);
  demand(next.keyEpoch >= before.keyEpoch, "order", "keyEpoch never falls", next.keyEpoch);
  demand(
    next.keyEpoch > before.keyEpoch || next.bootEpoch >= before.bootEpoch,
    "order",
    "bootEpoch falls only with a new key: a cleared TPM is enrolled again",
    next.bootEpoch,
  );
  demand(
    next.seq === before.seq + 1 || ((next.flags & FLAG.break) !== 0 && next.seq > before.seq),
    "order",
    "seq rises by one, or under `break`",
    next.seq,
  );
  if (stream.mode === MODE.dataset) return;
  const slot = headerSlot(stream, next);
  const slotBefore = headerSlot(stream, before);
  demand(
    stream.mode === MODE.sealed ? slot > slotBefore : slot >= slotBefore,
    "order",
    stream.mode === MODE.sealed ? "a sealed stream has one pack a slot" : "slot never falls along the line",
    slot,
  );
  demand(next.fromMs >= before.toMs, "order", "a pack starts at or after the end of the one before", next.fromMs);
}

function checkReading(stream: StreamPreimage, reading: SenmlRecord): void {
  const quantity = stream.schema.quantities.find((q) => q.name === reading.n);
  demand(quantity !== undefined, "records", "a reading's name is not in the stream's schema", reading.n);
  demand((reading.u ?? "") === quantity.unit, "records", "a reading's unit is not the schema's", reading.u);
}

/** Refuses a content that is not what its header names. */
export function checkContent(header: Header, content: Uint8Array): void {
  demand(toHex(sha256(content)) === header.contentDigest, "content-digest", "the content is not what the header names");
}

/**
 * Whether a content opens under its pack's key: 28 bytes to 48 KiB with a right tag, which is what the escrow judges in
 * `proveUnopenable`. What is inside may still not fit the header.
 */
export function contentOpens(key: Uint8Array, aad: Uint8Array, content: Uint8Array): boolean {
  if (content.length < NONCE + TAG || content.length > MAX_CONTENT) return false;
  return chachaOpen(key, content.subarray(0, NONCE), aad, content.subarray(NONCE)) !== undefined;
}

/**
 * Opens a pack with the leaf node of its slot and checks everything that its header commits to: content digest, key
 * commitment (before opening), tag, form, count, root, and that readings keep to schema and times.
 */
export function openPack(stream: StreamPreimage, header: Header, leaf: Uint8Array, content: Uint8Array): OpenedPack {
  checkContent(header, content);
  const aad = packAad(header.streamId, header.keyEpoch, header.seq);
  const key = packKey(leaf, aad);
  demand(
    toHex(keyCommitment(key)) === header.keyCommitment,
    "key-commitment",
    "the key is not what the header commits to",
  );
  demand(content.length >= NONCE + TAG, "unopenable", "the content is too short to open", content.length);
  const plaintext = chachaOpen(key, content.subarray(0, NONCE), aad, content.subarray(NONCE));
  demand(plaintext !== undefined, "unopenable", "the content does not open under the key that its header commits to");
  const { packSalt, records } = decodePlaintext(stream, plaintext);
  demand(records.length === header.count, "records", "the content holds another number of records", records.length);
  demand(toHex(readingTree(packSalt, records).root) === header.root, "root", "the records do not hash to the root");
  const readings: SenmlRecord[] = [];
  let ended = false;
  for (const bytes of records) {
    if (bytes.length === 0 && stream.mode === MODE.sealed) {
      ended = true;
      continue;
    }
    demand(!ended, "padding", "readings stand before the padding");
    const reading = decodeRecord(bytes);
    checkReading(stream, reading);
    demand(
      stream.mode === MODE.dataset || (reading.tMs >= header.fromMs && reading.tMs <= header.toMs),
      "slot",
      "a reading lies outside its pack's times",
      reading.tMs,
    );
    readings.push(reading);
  }
  return { packSalt, records, readings };
}

/** The struct whose hash is the pack's leaf in an epoch. */
export function packOf(stream: StreamPreimage, signed: Pick<SignedHeader, "header" | "headerDigest">): Pack {
  const { header, headerDigest } = signed;
  return {
    streamId: header.streamId,
    keyEpoch: header.keyEpoch,
    seq: header.seq,
    headerDigest,
    root: header.root,
    count: header.count,
    fromMs: header.fromMs,
    toMs: header.toMs,
    slot: headerSlot(stream, header),
    keyCommitment: header.keyCommitment,
    contentDigest: header.contentDigest,
  };
}

export function packLeaf(pack: Pack): Hex {
  return hashStruct(PACK, pack);
}

/** Whether two signed headers prove that a device signed twice under one seq. */
export function isEquivocation(a: SignedHeader, b: SignedHeader): boolean {
  return (
    a.header.streamId === b.header.streamId &&
    a.header.keyEpoch === b.header.keyEpoch &&
    a.header.seq === b.header.seq &&
    !equal(fromHex(a.headerDigest), fromHex(b.headerDigest))
  );
}

/** CIDv1 (raw, sha2-256) of a content, as text in base32. */
export function contentCid(contentDigest: Hex): string {
  const bytes = concat(Uint8Array.of(0x01, 0x55, 0x12, 0x20), fromHex(contentDigest, 32));
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  let out = "b";
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out += alphabet[(held >> bits) & 31];
    }
  }
  if (bits > 0) out += alphabet[(held << (5 - bits)) & 31];
  return out;
}
