import { randomBytes, timingSafeEqual } from "node:crypto";
import { compare, deviceIdOfEk, equal, type Hex, keyHash, sha256, toHex } from "@msec/core";
import { AGENT_PCR, BOOT_PCRS, BOOT_SELECTION, type BootEvent, FIRMWARE_PCRS, keyPolicy, replay } from "../boot.ts";
import {
  ALG,
  type Attest,
  type Attested,
  attestationKey,
  decodeAttest,
  decodePublic,
  decodeSignature,
  EK_TEMPLATES,
  type EkTemplate,
  encodePublic,
  GENERATED,
  handleName,
  makeCredential,
  nameOf,
  pcrDigest,
  policySigningKey,
  type PublicArea,
  qualifiedNameOf,
  RH,
  sameTemplate,
  type SignedAttest,
  spkiOf,
  TpmError,
  verifiesUnder,
} from "../tpm/index.ts";
import { type Certificate, judgeEkCertificate, type TrustStore } from "./certificate.ts";
import { AttestationError, demand } from "./errors.ts";
import { type FirmwareEvent, judgeEventLog } from "./event-log.ts";
import { type Answer, certifyNonce, type Challenge, type Evidence, evidenceDigest, quoteNonce } from "./evidence.ts";

/** What a registrar holds a maker's TPMs to. */
export interface MakerProfile extends TrustStore {
  /** Templates of all endorsement keys that a TPM of this maker carries: leaving one out would let it enrol twice. */
  templates: EkTemplate["name"][];
}

/** What was found out about a device; it speaks for the TPM only together with an answered challenge. */
export interface JudgedEvidence {
  deviceId: Hex;
  /** SHA-256 of each endorsement key's public area, the naming one first: the nullifiers. */
  ekHashes: Hex[];
  /** Digest in the attestation key's name. */
  akName: Hex;
  keyEpoch: number;
  spki: Uint8Array;
  keyHash: Hex;
  digest: Hex;
  authority: Uint8Array;
  tpm: NonNullable<Certificate["tpm"]>;
}

/** Digest of a template, as a maker's profile on the chain lists it. */
export const templateHash = (name: EkTemplate["name"]): Hex => toHex(sha256(encodePublic(templateOf(name).area)));

function templateOf(name: string): EkTemplate {
  const template = EK_TEMPLATES.find((t) => t.name === name);
  if (!template) throw new AttestationError("wrong-template", "the endorsement key's template is not known here", name);
  return template;
}

/** SHA-256 of a maker's roots, one after the other, as its profile on the chain names them. */
export const rootsHash = (roots: Uint8Array[]): Hex =>
  toHex(sha256(new Uint8Array(Buffer.concat([...roots].sort(compare)))));

/** Refuses evidence that contradicts itself, the maker's certificates or what keys must be. Throws AttestationError. */
export function judgeEvidence(evidence: Evidence, profile: MakerProfile, atMs: number): JudgedEvidence {
  const certificates = evidence.endorsements.map((entry) => judgeEndorsement(entry, profile, atMs));
  const presented = evidence.endorsements.map((e) => e.template);
  const order = EK_TEMPLATES.map((t) => t.name).filter((name) => profile.templates.includes(name));
  demand(
    presented.length > 0 && presented.join() === order.join(),
    "missing-endorsement",
    `a TPM of this maker shows exactly its endorsement keys ${order.join(", ")}, in this order`,
    presented,
  );

  const ak = area(evidence.attestationKey, "attestation-key");
  demand(
    sameTemplate(ak, attestationKey(new Uint8Array())),
    "attestation-key",
    "the attestation key may sign what its TPM did not make, or may leave it: it must be restricted and resident",
    ak.attributes,
  );
  const key = area(evidence.signingKey, "signing-key");
  demand(
    equal(key.policy, keyPolicy(evidence.booted, evidence.authority)),
    "key-policy",
    "the signing key is not bound to what booted and to the approved-firmware key that are named",
    toHex(key.policy),
  );
  demand(
    sameTemplate(key, policySigningKey(key.policy)),
    "signing-key",
    "the signing key has attributes that let it be used without its policy, or outside its TPM",
    key.attributes,
  );
  const said = judgeAttest(evidence.certified, ak, certifyNonce(evidence.keyEpoch), "certify");
  demand(
    equal(said.attested.name, nameOf(key)),
    "signing-key",
    "the attestation key certified another key than the one shown",
    toHex(said.attested.name),
  );

  const ekHashes = evidence.endorsements.map((e) => toHex(sha256(e.publicArea)));
  const spki = spkiOf(key);
  return {
    deviceId: deviceIdOfEk(evidence.endorsements[0]!.publicArea),
    ekHashes,
    akName: toHex(nameOf(ak).subarray(2)),
    keyEpoch: evidence.keyEpoch,
    spki,
    keyHash: keyHash(spki),
    digest: evidenceDigest(evidence),
    authority: evidence.authority,
    tpm: certificates[0]!.tpm as NonNullable<Certificate["tpm"]>,
  };
}

function judgeEndorsement(entry: Evidence["endorsements"][number], store: TrustStore, atMs: number): Certificate {
  const template = templateOf(entry.template);
  const ek = area(entry.publicArea, "endorsement-key");
  demand(
    sameTemplate(ek, template.area),
    "wrong-template",
    `the endorsement key was not made by template ${template.name}`,
    entry.template,
  );
  const certificate = judgeEkCertificate(entry.certificate, store, atMs);
  demand(
    isKeyOf(certificate, ek),
    "endorsement-key",
    "the certificate is of another endorsement key than the one shown",
    certificate.serial,
  );
  return certificate;
}

function isKeyOf({ key }: Certificate, ek: PublicArea): boolean {
  if (key.kind === "rsa" && ek.type === ALG.RSA)
    return equal(key.modulus, ek.modulus) && Number(toHex(key.exponent)) === (ek.exponent || 65_537);
  if (key.kind !== "ec" || ek.type !== ALG.ECC || key.point[0] !== 4) return false;
  const size = (key.point.length - 1) / 2;
  const pad = (value: Uint8Array) => Buffer.concat([Buffer.alloc(Math.max(0, size - value.length)), value]);
  return equal(key.point.subarray(1), new Uint8Array(Buffer.concat([pad(ek.x), pad(ek.y)])));
}

/** Reads a public area in its one encoding; anything else gets `code`. */
function area(bytes: Uint8Array, code: "attestation-key" | "signing-key" | "endorsement-key"): PublicArea {
  try {
    return decodePublic(bytes);
  } catch (error) {
    throw new AttestationError(code, `the public area can't be read: ${(error as Error).message}`);
  }
}

/** What a TPM said under its attestation key: made by a TPM, of this kind, for this nonce, by this key in its place. */
function judgeAttest<K extends Attested["kind"]>(
  signed: SignedAttest,
  ak: PublicArea,
  nonce: Uint8Array,
  kind: K,
): Attest & { attested: Extract<Attested, { kind: K }> } {
  let genuine: boolean;
  try {
    genuine = verifiesUnder(ak, signed.attest, decodeSignature(signed.signature));
  } catch (error) {
    if (!(error instanceof TpmError)) throw error;
    genuine = false;
  }
  demand(genuine, "signature", "the attestation is not signed by the attestation key shown: another one, or changed");
  // The number comes first, so that what is no attestation at all is told apart from one of another kind.
  demand(
    signed.attest.length >= 4 && Buffer.from(signed.attest).readUInt32BE(0) === GENERATED,
    "magic",
    "the attestation key signed something that its TPM did not make",
  );
  let said: Attest;
  try {
    said = decodeAttest(signed.attest);
  } catch (error) {
    throw new AttestationError("type", `the attestation can't be read: ${(error as Error).message}`);
  }
  const { attested } = said;
  if (attested.kind !== kind)
    throw new AttestationError("type", `expected an attestation of the kind "${kind}"`, attested.kind);
  demand(
    said.extraData.length > 0 && equal(said.extraData, nonce),
    "nonce",
    "the attestation does not carry this challenge's nonce: it is old, another registrar's, or was made without one",
    toHex(said.extraData),
  );
  demand(
    equal(said.qualifiedSigner, qualifiedNameOf(handleName(RH.ENDORSEMENT), ak)),
    "certifier",
    "the key that signed lies elsewhere than in the endorsement hierarchy, where counters are not the TPM's own",
    toHex(said.qualifiedSigner),
  );
  return { ...said, attested: attested as Extract<Attested, { kind: K }> };
}

const CHALLENGE_MS = 300_000;

/** A challenge as the registrar that asked it keeps it. It is answered at most once. */
export class OpenChallenge {
  readonly challenge: Challenge;
  readonly #evidence: Evidence;
  readonly #secrets: Uint8Array[];
  readonly #untilMs: number;
  #answered = false;

  /** Of evidence that {@link judgeEvidence} let pass. */
  constructor(evidence: Evidence, atMs: number) {
    const ak = nameOf(decodePublic(evidence.attestationKey));
    this.#evidence = evidence;
    this.#untilMs = atMs + CHALLENGE_MS;
    this.#secrets = evidence.endorsements.map(() => new Uint8Array(randomBytes(32)));
    this.challenge = {
      nonce: new Uint8Array(randomBytes(32)),
      credentials: evidence.endorsements.map((entry, i) =>
        makeCredential(decodePublic(entry.publicArea), ak, this.#secrets[i] as Uint8Array),
      ),
    };
  }

  /**
   * Refuses an answer that does not come from the TPM that holds the endorsement keys and the attestation key, or that
   * does not account for what booted. `before` are the counters of the device's last attestation under the same key.
   */
  judge(answer: Answer, atMs: number, before?: BootCounters): JudgedAnswer {
    demand(!this.#answered && atMs <= this.#untilMs, "nonce", "this challenge is over: ask for a new one");
    this.#answered = true;
    const right = (secret: Uint8Array, i: number) =>
      answer.secrets[i]?.length === secret.length && timingSafeEqual(answer.secrets[i], secret);
    demand(
      answer.secrets.length === this.#secrets.length && this.#secrets.every(right),
      "credential",
      "the device did not open the credential: its attestation key is not in the TPM that holds the endorsement key",
    );
    const ak = decodePublic(this.#evidence.attestationKey);
    const said = judgeAttest(answer.quote, ak, quoteNonce(this.challenge.nonce, this.#evidence), "quote");
    const { selection, digest } = said.attested;
    demand(
      JSON.stringify(selection) === JSON.stringify(BOOT_SELECTION),
      "selection",
      `the quote is not over the PCRs ${BOOT_PCRS.join(", ")} of the SHA-256 bank`,
      selection,
    );
    demand(
      answer.pcrs.length === BOOT_PCRS.length && equal(pcrDigest(ALG.SHA256, answer.pcrs), digest),
      "event-log",
      "the PCR values shown are not the ones that were quoted: ask again, one may just have changed",
    );
    const measured = replay(answer.log).get(AGENT_PCR) ?? new Uint8Array(32);
    demand(
      equal(measured, answer.pcrs[BOOT_PCRS.indexOf(AGENT_PCR)] as Uint8Array),
      "event-log",
      "the event log does not account for the PCR that the agent is measured into",
      answer.log.map((e) => e.what),
    );
    const quoted = (pcr: number): [number, Uint8Array] => [pcr, answer.pcrs[BOOT_PCRS.indexOf(pcr)] as Uint8Array];
    const firmware = answer.firmwareLog && judgeEventLog(answer.firmwareLog, new Map(FIRMWARE_PCRS.map(quoted)));
    const { resetCount, restartCount, safe } = said.clock;
    demand(
      before === undefined ||
        resetCount > before.resetCount ||
        (resetCount === before.resetCount && restartCount >= before.restartCount),
      "counters",
      "the TPM has started less often than it had before: it was cleared, so the device needs a new key",
      { before, now: { resetCount, restartCount } },
    );
    return {
      pcrDigest: toHex(digest),
      resetCount,
      restartCount,
      safe,
      firmwareVersion: said.firmwareVersion,
      log: answer.log,
      ...(firmware ? { firmware } : {}),
    };
  }
}

export interface BootCounters {
  resetCount: number;
  restartCount: number;
}

/** What a fresh quote proved. Whether `pcrDigest` may boot is for the boot policy of that time to say. */
export interface JudgedAnswer extends BootCounters {
  pcrDigest: Hex;
  /** The TPM's own word that its clock was not set back. */
  safe: boolean;
  firmwareVersion: bigint;
  log: BootEvent[];
  /** What the firmware measured, where the device showed its log: it accounts for the quoted PCRs. */
  firmware?: FirmwareEvent[];
}
