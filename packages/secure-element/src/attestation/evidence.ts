import { cborDecode, cborEncode, type Hex, sha256, toHex, utf8 } from "@msec/core";
import type { BootEvent } from "../boot.ts";
import type { Credential, EkTemplate, SignedAttest } from "../tpm/index.ts";
import { AttestationError } from "./errors.ts";

/** What a device says of itself at enrolment. Nothing in it is believed before `judgeEvidence` and an answered challenge. */
export interface Evidence {
  /** Every endorsement key that the TPM carries a certificate of, in the order of EK_TEMPLATES; the first names the device. */
  endorsements: { template: EkTemplate["name"]; certificate: Uint8Array; publicArea: Uint8Array }[];
  /** Public area of the attestation key. */
  attestationKey: Uint8Array;
  keyEpoch: number;
  /** Public area of the signing key. */
  signingKey: Uint8Array;
  /** The signing key, certified by the attestation key. */
  certified: SignedAttest;
  /** First branch of the signing key's policy: what had booted when it was made. */
  booted: Uint8Array;
  /** DER SPKI of the approved-firmware key. */
  authority: Uint8Array;
}

/** A registrar's own question: a fresh nonce, and a credential for each endorsement key. */
export interface Challenge {
  nonce: Uint8Array;
  credentials: Credential[];
}

export interface Answer {
  /** What the credentials held. */
  secrets: Uint8Array[];
  /** Of BOOT_SELECTION, with {@link quoteNonce}. */
  quote: SignedAttest;
  /** Values of BOOT_PCRS, in order. */
  pcrs: Uint8Array[];
  /** What the agent was measured as. */
  log: BootEvent[];
  /** The firmware's own event log, where the operating system shows one: crypto-agile form, as it came. */
  firmwareLog?: Uint8Array;
}

const pair = ({ attest, signature }: SignedAttest) => [attest, signature];

export const encodeEvidence = (e: Evidence): Uint8Array =>
  cborEncode([
    1,
    e.endorsements.map(({ template, certificate, publicArea }) => [template, certificate, publicArea]),
    e.attestationKey,
    e.keyEpoch,
    e.signingKey,
    pair(e.certified),
    e.booted,
    e.authority,
  ]);
export const encodeChallenge = (c: Challenge): Uint8Array =>
  cborEncode([1, c.nonce, c.credentials.map(({ blob, secret }) => [blob, secret])]);
export const encodeAnswer = (a: Answer): Uint8Array =>
  cborEncode([
    1,
    a.secrets,
    pair(a.quote),
    a.pcrs,
    a.log.map(({ pcr, digest, what }) => [pcr, digest, what]),
    a.firmwareLog ?? null,
  ]);

/** Names the evidence on the chain: SHA-256 of its one encoding. */
export const evidenceDigest = (evidence: Evidence): Hex => toHex(sha256(encodeEvidence(evidence)));

/** What a quote must carry as its nonce: the registrar's own, tied to the evidence. */
export const quoteNonce = (nonce: Uint8Array, evidence: Evidence): Uint8Array =>
  sha256(new Uint8Array(Buffer.concat([utf8("msec.quote"), nonce, sha256(encodeEvidence(evidence))])));

/** What the certification of a signing key carries as its nonce. */
export const certifyNonce = (keyEpoch: number): Uint8Array => sha256(utf8(`msec.key ${keyEpoch}`));

const malformed = (what: string, value: unknown) =>
  new AttestationError("malformed", `this is no ${what} of this version`, value);

/** Reads `n` fields of an array, the first of which is the version 1. */
function fields(bytes: Uint8Array, n: number, what: string): unknown[] {
  let value: unknown;
  try {
    value = cborDecode(bytes);
  } catch (error) {
    throw malformed(what, (error as Error).message);
  }
  if (!Array.isArray(value) || value.length !== n || value[0] !== 1) throw malformed(what, bytes.length);
  return value;
}

const list = (value: unknown, what: string): unknown[] => {
  if (!Array.isArray(value) || value.length > 16) throw malformed(what, value);
  return value;
};
const binary = (value: unknown, what: string): Uint8Array => {
  if (!(value instanceof Uint8Array)) throw malformed(what, value);
  return Uint8Array.from(value);
};
const text = (value: unknown, what: string): string => {
  if (typeof value !== "string") throw malformed(what, value);
  return value;
};
const whole = (value: unknown, what: string): number => {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw malformed(what, value);
  return value;
};
const attested = (value: unknown, what: string): SignedAttest => {
  const [attest, signature] = list(value, what);
  return { attest: binary(attest, what), signature: binary(signature, what) };
};

export function decodeEvidence(bytes: Uint8Array): Evidence {
  const what = "evidence";
  const [, endorsements, attestationKey, keyEpoch, signingKey, certified, booted, authority] = fields(bytes, 8, what);
  return {
    endorsements: list(endorsements, what).map((entry) => {
      const [template, certificate, publicArea] = list(entry, what);
      return {
        template: text(template, what) as EkTemplate["name"],
        certificate: binary(certificate, what),
        publicArea: binary(publicArea, what),
      };
    }),
    attestationKey: binary(attestationKey, what),
    keyEpoch: whole(keyEpoch, what),
    signingKey: binary(signingKey, what),
    certified: attested(certified, what),
    booted: binary(booted, what),
    authority: binary(authority, what),
  };
}

export function decodeChallenge(bytes: Uint8Array): Challenge {
  const what = "challenge";
  const [, nonce, credentials] = fields(bytes, 3, what);
  return {
    nonce: binary(nonce, what),
    credentials: list(credentials, what).map((entry) => {
      const [blob, secret] = list(entry, what);
      return { blob: binary(blob, what), secret: binary(secret, what) };
    }),
  };
}

export function decodeAnswer(bytes: Uint8Array): Answer {
  const what = "answer";
  const [, secrets, quote, pcrs, log, firmwareLog] = fields(bytes, 6, what);
  return {
    ...(firmwareLog === null ? {} : { firmwareLog: binary(firmwareLog, what) }),
    secrets: list(secrets, what).map((s) => binary(s, what)),
    quote: attested(quote, what),
    pcrs: list(pcrs, what).map((p) => binary(p, what)),
    log: list(log, what).map((entry) => {
      const [pcr, digest, name] = list(entry, what);
      return { pcr: whole(pcr, what), digest: binary(digest, what), what: text(name, what) };
    }),
  };
}
