import {
  cborDecode,
  cborEncode,
  encodeCose,
  encodeProtected,
  equal,
  fromHex,
  type Hex,
  keyHash,
  pointOfSpki,
  sigStructure,
  spkiOfPoint,
  toHex,
  verifySignature,
} from "@msec/core";
import { AttestationError, demand } from "./errors.ts";

/**
 * Attestation results: an Entity Attestation Token (RFC 9711) as a CBOR Web Token (RFC 8392), signed with ES256 as an untagged
 * COSE_Sign1. It says what a verifier found, for a few minutes, and names the one key that may use it (RFC 8747).
 */

/** What our tokens hold and mean. */
export const RESULT_PROFILE = "tag:msec,2026:attestation-result/1";

/** Claims: of RFC 8392, RFC 8747, RFC 9711, and below −65536 our own. */
const CLAIM = {
  iss: 1,
  aud: 3,
  exp: 4,
  iat: 6,
  cnf: 8,
  nonce: 10,
  ueid: 256,
  profile: 265,
  bootcount: 267,
  measres: 274,
  keyEpoch: -70_001,
  policyId: -70_002,
  policyVersion: -70_003,
  pcrDigest: -70_004,
  evidence: -70_005,
} as const;

/** Type of a UEID that is a hash of enough identifiers (RFC 9711, 4.2.1.1). */
const UEID_RAND = 0x01;
const COSE_KEY = 1;
const EC2 = { kty: 1, value: 2, crv: -1, p256: 1, x: -2, y: -3 } as const;
/** The measurements are what reference values say (RFC 9711, 4.2.17). */
const MEASURED = ["msec.boot", [["boot policy", 1]]] as const;

const MAX_RESULT = 2048;

export interface AttestationResult {
  /** Who verified, a URL. */
  issuer: string;
  /** Whom it is for. */
  audience: string;
  /** Unix seconds. */
  issuedAt: number;
  /** Unix seconds; it holds before it. */
  expires: number;
  /** The challenge that was answered. */
  nonce: Uint8Array;
  deviceId: Hex;
  /** The TPM's resetCount. */
  bootEpoch: number;
  /** Epoch of the signing key that the evidence is of. */
  keyEpoch: number;
  policyId: Hex;
  /** Version of the boot policy that accepts what booted. */
  policyVersion: number;
  pcrDigest: Hex;
  /** S(evidence), as packs' headers carry it. */
  evidence: Hex;
  /** DER SPKI (P-256) of the key that may use this. */
  confirmation: Uint8Array;
}

function claims(result: AttestationResult): Uint8Array {
  const point = pointOfSpki(result.confirmation);
  const key = new Map<number, unknown>([
    [EC2.kty, EC2.value],
    [EC2.crv, EC2.p256],
    [EC2.x, point.slice(1, 33)],
    [EC2.y, point.slice(33)],
  ]);
  return cborEncode(
    new Map<number, unknown>([
      [CLAIM.iss, result.issuer],
      [CLAIM.aud, result.audience],
      [CLAIM.exp, result.expires],
      [CLAIM.iat, result.issuedAt],
      [CLAIM.cnf, new Map([[COSE_KEY, key]])],
      [CLAIM.nonce, result.nonce],
      [CLAIM.ueid, Uint8Array.of(UEID_RAND, ...fromHex(result.deviceId, 32))],
      [CLAIM.profile, RESULT_PROFILE],
      [CLAIM.bootcount, result.bootEpoch],
      [CLAIM.measres, [MEASURED]],
      [CLAIM.keyEpoch, result.keyEpoch],
      [CLAIM.policyId, fromHex(result.policyId, 32)],
      [CLAIM.policyVersion, result.policyVersion],
      [CLAIM.pcrDigest, fromHex(result.pcrDigest, 32)],
      [CLAIM.evidence, fromHex(result.evidence, 32)],
    ]),
  );
}

/** `sign` is ES256 (r ‖ s, s ≤ n/2) of the verifier's key, whose DER SPKI is given. */
export async function signResult(
  result: AttestationResult,
  spki: Uint8Array,
  sign: (message: Uint8Array) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const [header, payload] = [encodeProtected(keyHash(spki)), claims(result)];
  return encodeCose(header, payload, await sign(sigStructure(header, payload)));
}

/**
 * Reads a result of the verifier whose DER SPKI is given. Refuses, by AttestationError: `malformed` what has another form,
 * `signature` another signer's, `expired` one that does not hold at `atMs`, `nonce` one for another audience.
 */
export function readResult(token: Uint8Array, verifier: Uint8Array, audience: string, atMs: number): AttestationResult {
  const { header, payload, signature } = takeApart(token);
  demand(
    equal(header, encodeProtected(keyHash(verifier))) &&
      verifySignature(verifier, sigStructure(header, payload), signature),
    "signature",
    "this attestation result is not signed by the verifier that is asked for",
  );
  const result = readClaims(payload);
  demand(
    result.issuedAt * 1000 <= atMs && atMs < result.expires * 1000,
    "expired",
    "this attestation result is over, or of a time to come: have the device attested again, and look at the clocks",
    result.expires,
  );
  demand(result.audience === audience, "nonce", "this attestation result is for somebody else", result.audience);
  return result;
}

function takeApart(token: Uint8Array) {
  try {
    if (token.length > MAX_RESULT) throw new Error("too long");
    const [header, unprotected, payload, signature, ...more] = cborDecode(token) as Uint8Array[];
    if (
      header instanceof Uint8Array &&
      unprotected instanceof Map &&
      unprotected.size === 0 &&
      payload instanceof Uint8Array &&
      signature instanceof Uint8Array &&
      more.length === 0
    )
      return {
        header: Uint8Array.from(header),
        payload: Uint8Array.from(payload),
        signature: Uint8Array.from(signature),
      };
  } catch {
    // Said below.
  }
  throw malformed();
}

const malformed = () => new AttestationError("malformed", "this is no attestation result of this version");

function readClaims(payload: Uint8Array): AttestationResult {
  try {
    const map = cborDecode(payload) as Map<number, unknown>;
    const bytes = (claim: number) => Uint8Array.from(map.get(claim) as Uint8Array);
    const key = (map.get(CLAIM.cnf) as Map<number, Map<number, Uint8Array>>).get(COSE_KEY) as Map<number, Uint8Array>;
    const result: AttestationResult = {
      issuer: map.get(CLAIM.iss) as string,
      audience: map.get(CLAIM.aud) as string,
      issuedAt: map.get(CLAIM.iat) as number,
      expires: map.get(CLAIM.exp) as number,
      nonce: bytes(CLAIM.nonce),
      deviceId: toHex(bytes(CLAIM.ueid).subarray(1)),
      bootEpoch: map.get(CLAIM.bootcount) as number,
      keyEpoch: map.get(CLAIM.keyEpoch) as number,
      policyId: toHex(bytes(CLAIM.policyId)),
      policyVersion: map.get(CLAIM.policyVersion) as number,
      pcrDigest: toHex(bytes(CLAIM.pcrDigest)),
      evidence: toHex(bytes(CLAIM.evidence)),
      confirmation: spkiOfPoint(Uint8Array.of(4, ...(key.get(EC2.x) as Uint8Array), ...(key.get(EC2.y) as Uint8Array))),
    };
    // The one encoding: whatever else stands in it, or is of another type, makes other bytes.
    if (equal(claims(result), payload)) return result;
  } catch {
    // Said below.
  }
  throw malformed();
}

/** What the device's signing key signs so that a result may name a key that is not the TPM's. */
export const confirmationMessage = (nonce: Uint8Array, spkiDigest: Uint8Array): Uint8Array =>
  new Uint8Array(Buffer.concat([Buffer.from("msec.tls"), nonce, spkiDigest]));
