import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { spkiOfPoint } from "@msec/core";
import { decode, encode, type Reader, type Writer } from "./codec.ts";
import { ALG, CURVE, ST } from "./constants.ts";
import { TpmError } from "./errors.ts";

/** Node's name of a TPM hash algorithm. */
const HASHES: Record<number, string> = {
  [ALG.SHA1]: "sha1",
  [ALG.SHA256]: "sha256",
  [ALG.SHA384]: "sha384",
  [ALG.SHA512]: "sha512",
};

export function hashName(alg: number): string {
  const name = HASHES[alg];
  if (!name) throw new TpmError("malformed", "the structure names a hash algorithm that is not known here", alg);
  return name;
}

/** TPMT_SYM_DEF_OBJECT; null is TPM_ALG_NULL. */
export interface Symmetric {
  alg: number;
  keyBits: number;
  mode: number;
}
/** Asymmetric scheme; null is TPM_ALG_NULL. */
export interface Scheme {
  alg: number;
  hash: number;
}

interface Common {
  nameAlg: number;
  /** TPMA_OBJECT. */
  attributes: number;
  /** authPolicy, empty for none. */
  policy: Uint8Array;
}
export interface RsaPublic extends Common {
  type: typeof ALG.RSA;
  symmetric: Symmetric | null;
  scheme: Scheme | null;
  keyBits: number;
  /** 0 stands for 65537. */
  exponent: number;
  modulus: Uint8Array;
}
export interface EccPublic extends Common {
  type: typeof ALG.ECC;
  symmetric: Symmetric | null;
  scheme: Scheme | null;
  curve: number;
  x: Uint8Array;
  y: Uint8Array;
}
/** A sealed blob. */
export interface SealedPublic extends Common {
  type: typeof ALG.KEYEDHASH;
  unique: Uint8Array;
}
/** TPMT_PUBLIC (Part 2, 12.2.4) of the kinds of objects that are used here. */
export type PublicArea = RsaPublic | EccPublic | SealedPublic;

function readSymmetric(r: Reader): Symmetric | null {
  const alg = r.u16();
  return alg === ALG.NULL ? null : { alg, keyBits: r.u16(), mode: r.u16() };
}
function writeSymmetric(w: Writer, symmetric: Symmetric | null): void {
  if (symmetric) w.u16(symmetric.alg).u16(symmetric.keyBits).u16(symmetric.mode);
  else w.u16(ALG.NULL);
}
function readScheme(r: Reader): Scheme | null {
  const alg = r.u16();
  return alg === ALG.NULL ? null : { alg, hash: r.u16() };
}
export function writeScheme(w: Writer, scheme: Scheme | null): void {
  if (scheme) w.u16(scheme.alg).u16(scheme.hash);
  else w.u16(ALG.NULL);
}

export function readPublic(r: Reader): PublicArea {
  const type = r.u16();
  const common = { nameAlg: r.u16(), attributes: r.u32(), policy: r.sized(64) };
  if (type === ALG.RSA)
    return {
      type: ALG.RSA,
      ...common,
      symmetric: readSymmetric(r),
      scheme: readScheme(r),
      keyBits: r.u16(),
      exponent: r.u32(),
      modulus: r.sized(512),
    };
  if (type === ALG.ECC) {
    const symmetric = readSymmetric(r);
    const scheme = readScheme(r);
    const curve = r.u16();
    if (r.u16() !== ALG.NULL) throw new TpmError("malformed", "an ECC key with a KDF scheme is not known here");
    return { type: ALG.ECC, ...common, symmetric, scheme, curve, x: r.sized(66), y: r.sized(66) };
  }
  if (type === ALG.KEYEDHASH) {
    if (r.u16() !== ALG.NULL) throw new TpmError("malformed", "a keyed hash with a scheme is not known here");
    return { type: ALG.KEYEDHASH, ...common, unique: r.sized(64) };
  }
  throw new TpmError("malformed", "a public area of a kind that is not known here", type);
}

export function writePublic(w: Writer, area: PublicArea): void {
  w.u16(area.type).u16(area.nameAlg).u32(area.attributes).sized(area.policy);
  if (area.type === ALG.KEYEDHASH) {
    w.u16(ALG.NULL).sized(area.unique);
    return;
  }
  writeSymmetric(w, area.symmetric);
  writeScheme(w, area.scheme);
  if (area.type === ALG.RSA) w.u16(area.keyBits).u32(area.exponent).sized(area.modulus);
  else w.u16(area.curve).u16(ALG.NULL).sized(area.x).sized(area.y);
}

export const decodePublic = (bytes: Uint8Array): PublicArea => decode(bytes, readPublic);
export const encodePublic = (area: PublicArea): Uint8Array => encode((w) => writePublic(w, area));

const pad = (value: Uint8Array, length: number) => Buffer.concat([Buffer.alloc(length - value.length), value]);
const base64url = (value: Uint8Array) => Buffer.from(value).toString("base64url");

/** The public key for Node's verifier. Sealed blobs have none. */
export function keyObject(area: PublicArea): KeyObject {
  if (area.type === ALG.RSA) {
    const e = base64url(Buffer.from((area.exponent || 65_537).toString(16).padStart(6, "0"), "hex"));
    return createPublicKey({ format: "jwk", key: { kty: "RSA", n: base64url(area.modulus), e } });
  }
  const name = area.type === ALG.ECC ? { [CURVE.P256]: "P-256", [CURVE.P384]: "P-384" }[area.curve] : undefined;
  if (
    area.type !== ALG.ECC ||
    !name ||
    area.x.length > coordinate(area.curve) ||
    area.y.length > coordinate(area.curve)
  )
    throw new TpmError("malformed", "the object has no public key of a kind that is known here", area.type);
  const length = coordinate(area.curve);
  try {
    return createPublicKey({
      format: "jwk",
      key: { kty: "EC", crv: name, x: base64url(pad(area.x, length)), y: base64url(pad(area.y, length)) },
    });
  } catch (cause) {
    throw new TpmError("malformed", `the key's point is not on ${name}`, area.curve, { cause });
  }
}

const coordinate = (curve: number) => (curve === CURVE.P384 ? 48 : 32);

/** DER SubjectPublicKeyInfo of a P-256 key as the protocol writes it. */
export function spkiOf(area: PublicArea): Uint8Array {
  if (area.type !== ALG.ECC || area.curve !== CURVE.P256)
    throw new TpmError("malformed", "a device signs with P-256: the key is of another kind", area.type);
  keyObject(area);
  return spkiOfPoint(new Uint8Array(Buffer.concat([Uint8Array.of(4), pad(area.x, 32), pad(area.y, 32)])));
}

/** TPMT_SIGNATURE (Part 2, 11.3.4): ECDSA as r and s, RSASSA as one number. */
export type Signature =
  | { alg: typeof ALG.ECDSA; hash: number; r: Uint8Array; s: Uint8Array }
  | { alg: typeof ALG.RSASSA; hash: number; bytes: Uint8Array };

export function readSignature(r: Reader): Signature {
  const alg = r.u16();
  if (alg === ALG.ECDSA) return { alg, hash: r.u16(), r: r.sized(66), s: r.sized(66) };
  if (alg === ALG.RSASSA) return { alg, hash: r.u16(), bytes: r.sized(512) };
  throw new TpmError("malformed", "a signature of a kind that is not known here", alg);
}
export function writeSignature(w: Writer, signature: Signature): void {
  w.u16(signature.alg).u16(signature.hash);
  if (signature.alg === ALG.ECDSA) w.sized(signature.r).sized(signature.s);
  else w.sized(signature.bytes);
}
export const decodeSignature = (bytes: Uint8Array): Signature => decode(bytes, readSignature);
export const encodeSignature = (signature: Signature): Uint8Array => encode((w) => writeSignature(w, signature));

/** r ‖ s of an ECDSA signature, each filled up to `length` bytes. */
export function rawEcdsa(signature: Signature, length = 32): Uint8Array {
  if (signature.alg !== ALG.ECDSA || signature.r.length > length || signature.s.length > length)
    throw new TpmError("malformed", "expected an ECDSA signature of that curve", signature.alg);
  return new Uint8Array(Buffer.concat([pad(signature.r, length), pad(signature.s, length)]));
}

/** Whether the key signed `message`. */
export function verifiesUnder(area: PublicArea, message: Uint8Array, signature: Signature): boolean {
  const key = keyObject(area);
  if (area.type === ALG.ECC && signature.alg === ALG.ECDSA)
    return verify(
      hashName(signature.hash),
      message,
      { key, dsaEncoding: "ieee-p1363" },
      rawEcdsa(signature, coordinate(area.curve)),
    );
  return (
    area.type === ALG.RSA &&
    signature.alg === ALG.RSASSA &&
    verify(hashName(signature.hash), message, key, signature.bytes)
  );
}

/** One bank of a TPML_PCR_SELECTION: which PCRs of which hash. */
export interface PcrSelection {
  hash: number;
  pcrs: number[];
}

export function writeSelection(w: Writer, selection: PcrSelection[]): void {
  w.u32(selection.length);
  for (const { hash, pcrs } of selection) {
    const bits = new Uint8Array(3);
    for (const pcr of pcrs) {
      if (!Number.isInteger(pcr) || pcr < 0 || pcr > 23) throw new TpmError("malformed", "PCRs are 0 to 23", pcr);
      bits[pcr >> 3]! |= 1 << (pcr & 7);
    }
    w.u16(hash).u8(bits.length).bytes(bits);
  }
}
export function readSelection(r: Reader): PcrSelection[] {
  const count = r.u32();
  if (count > 16) throw new TpmError("malformed", "a PCR selection has at most 16 banks", count);
  return Array.from({ length: count }, () => {
    const hash = r.u16();
    const bits = r.bytes(r.u8());
    return {
      hash,
      pcrs: Array.from({ length: bits.length * 8 }, (_, i) => i).filter((i) => (bits[i >> 3]! >> (i & 7)) & 1),
    };
  });
}

/** TPMS_CLOCK_INFO (Part 2, 10.11.1). */
export interface ClockInfo {
  /** Milliseconds that the TPM has been powered, over its life. */
  clock: bigint;
  /** Starts since the TPM was cleared. */
  resetCount: number;
  /** Resumes and restarts since the last start. */
  restartCount: number;
  /** False where the clock may have been higher before. */
  safe: boolean;
}
export function readClockInfo(r: Reader): ClockInfo {
  return { clock: r.u64(), resetCount: r.u32(), restartCount: r.u32(), safe: r.u8() === 1 };
}
function writeClockInfo(w: Writer, c: ClockInfo): void {
  w.u64(c.clock)
    .u32(c.resetCount)
    .u32(c.restartCount)
    .u8(c.safe ? 1 : 0);
}

export type Attested =
  | { kind: "quote"; selection: PcrSelection[]; digest: Uint8Array }
  | { kind: "certify"; name: Uint8Array; qualifiedName: Uint8Array }
  | { kind: "creation"; name: Uint8Array; creationHash: Uint8Array }
  | { kind: "nv"; name: Uint8Array; offset: number; contents: Uint8Array };

/** TPMS_ATTEST (Part 2, 10.12.12). `magic` is read as it came: whoever judges it compares it with GENERATED. */
export interface Attest {
  magic: number;
  /** Qualified name of the key that signed it. */
  qualifiedSigner: Uint8Array;
  /** The caller's nonce. */
  extraData: Uint8Array;
  clock: ClockInfo;
  firmwareVersion: bigint;
  attested: Attested;
}

const ATTEST_TYPES = {
  quote: ST.ATTEST_QUOTE,
  certify: ST.ATTEST_CERTIFY,
  creation: ST.ATTEST_CREATION,
  nv: ST.ATTEST_NV,
} as const;

export function decodeAttest(bytes: Uint8Array): Attest {
  return decode(bytes, (r) => {
    const magic = r.u32();
    const type = r.u16();
    const [qualifiedSigner, extraData] = [r.sized(68), r.sized(68)];
    const [clock, firmwareVersion] = [readClockInfo(r), r.u64()];
    return { magic, qualifiedSigner, extraData, clock, firmwareVersion, attested: readAttested(r, type) };
  });
}

function readAttested(r: Reader, type: number): Attested {
  switch (type) {
    case ST.ATTEST_QUOTE:
      return { kind: "quote", selection: readSelection(r), digest: r.sized(64) };
    case ST.ATTEST_CERTIFY:
      return { kind: "certify", name: r.sized(68), qualifiedName: r.sized(68) };
    case ST.ATTEST_CREATION:
      return { kind: "creation", name: r.sized(68), creationHash: r.sized(64) };
    case ST.ATTEST_NV:
      return { kind: "nv", name: r.sized(68), offset: r.u16(), contents: r.sized(2048) };
    default:
      throw new TpmError("malformed", "an attestation of a kind that is not known here", type);
  }
}

export function encodeAttest(attest: Attest): Uint8Array {
  const { attested } = attest;
  return encode((w) => {
    w.u32(attest.magic).u16(ATTEST_TYPES[attested.kind]).sized(attest.qualifiedSigner).sized(attest.extraData);
    writeClockInfo(w, attest.clock);
    w.u64(attest.firmwareVersion);
    if (attested.kind === "quote") {
      writeSelection(w, attested.selection);
      w.sized(attested.digest);
    } else if (attested.kind === "certify") w.sized(attested.name).sized(attested.qualifiedName);
    else if (attested.kind === "creation") w.sized(attested.name).sized(attested.creationHash);
    else w.sized(attested.name).u16(attested.offset).sized(attested.contents);
  });
}

/** TPMT_TK_HASHCHECK, TPMT_TK_VERIFIED and their like: the TPM's own proof that it did something. */
export interface Ticket {
  tag: number;
  hierarchy: number;
  digest: Uint8Array;
}
export const readTicket = (r: Reader): Ticket => ({ tag: r.u16(), hierarchy: r.u32(), digest: r.sized(64) });
export const writeTicket = (w: Writer, t: Ticket): void => void w.u16(t.tag).u32(t.hierarchy).sized(t.digest);

/** TPMS_NV_PUBLIC (Part 2, 13.5). */
export interface NvPublic {
  index: number;
  nameAlg: number;
  attributes: number;
  policy: Uint8Array;
  size: number;
}
export const readNvPublic = (r: Reader): NvPublic => ({
  index: r.u32(),
  nameAlg: r.u16(),
  attributes: r.u32(),
  policy: r.sized(64),
  size: r.u16(),
});
export const encodeNvPublic = (p: NvPublic): Uint8Array =>
  encode((w) => w.u32(p.index).u16(p.nameAlg).u32(p.attributes).sized(p.policy).u16(p.size));
