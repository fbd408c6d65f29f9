import {
  checkPossession,
  demand,
  deviceIdOfSoftware,
  type Domain,
  type Endorsement,
  ENDORSEMENT,
  ENROL,
  type Enrol,
  fromHex,
  type Hex,
  KEY_ALG,
  keyAlgOf,
  keyHash,
  type Quote,
  QUOTE,
  type Rotation,
  ROTATION,
  signTyped,
  typedDataDigest,
  ZERO32,
} from "@msec/core";
import {
  type Answer,
  AttestationError,
  type BootCounters,
  type Challenge,
  type Evidence,
  type JudgedAnswer,
  type JudgedEvidence,
  judgeEvidence,
  type MakerProfile,
  OpenChallenge,
} from "@msec/secure-element/attestation";
import { type Account } from "./layout.ts";

/**
 * A registrar's signature under the enrolment of a software element, after it has checked what the contract does not: that
 * the device signs with the key, and that the key is the one that names the device. Software is never vouched for as a TPM.
 */
export function vouch(registrar: Account, domain: Domain, enrol: Enrol, spki: Uint8Array, possession: Uint8Array): Hex {
  demand(
    enrol.akName === ZERO32 && enrol.ekHash === ZERO32,
    "unknown-key",
    "this enrolment claims a TPM without its evidence: have it attested",
    enrol.deviceId,
  );
  demand(enrol.keyHash === keyHash(spki), "unknown-key", "the enrolment names another key", enrol.keyHash);
  demand(enrol.keyAlg === keyAlgOf(spki), "unknown-key", "the enrolment names another algorithm", enrol.keyAlg);
  demand(
    enrol.deviceId === deviceIdOfSoftware(spki),
    "unknown-key",
    "a software element is named after its first key",
    enrol.deviceId,
  );
  checkPossession(spki, typedDataDigest(domain, ENROL, enrol), possession);
  return signTyped(fromHex(registrar.key), domain, ENROL, enrol);
}

/** What a registrar asks of the chain before it vouches for a TPM. */
export interface AttestationPolicy {
  /** Whether the maker's profile that it judges by is the published one. */
  acceptsProfile(profile: MakerProfile, atMs: number): Promise<boolean>;
  /** Whether this may boot. */
  acceptsBoot(policyId: Hex, pcrDigest: Hex, atMs: number): Promise<boolean>;
  /** The key that the registry has for this epoch of the device, zero for none. */
  keyOf(deviceId: Hex, keyEpoch: number): Promise<Hex>;
  /** Counters of the newest quote under this key, undefined for none. */
  countersOf(deviceId: Hex, keyEpoch: number): Promise<BootCounters | undefined>;
}

const QUOTE_AGE_MS = 300_000;

/** One registrar's own look at a device with a TPM: evidence, challenge, answer; only then does it sign. */
export class Examination {
  readonly challenge: Challenge;
  readonly evidence: JudgedEvidence;
  readonly #registrar: Account;
  readonly #domain: Domain;
  readonly #policy: AttestationPolicy;
  readonly #policyId: Hex;
  readonly #open: OpenChallenge;
  #answer: { judged: JudgedAnswer; atMs: number } | undefined;

  private constructor(
    registrar: Account,
    domain: Domain,
    policy: AttestationPolicy,
    policyId: Hex,
    evidence: Evidence,
    judged: JudgedEvidence,
  ) {
    this.#registrar = registrar;
    this.#domain = domain;
    this.#policy = policy;
    this.#policyId = policyId;
    this.evidence = judged;
    this.#open = new OpenChallenge(evidence, Date.now());
    this.challenge = this.#open.challenge;
  }

  static async begin(
    registrar: Account,
    domain: Domain,
    profile: MakerProfile,
    policy: AttestationPolicy,
    policyId: Hex,
    evidence: Evidence,
  ): Promise<Examination> {
    const now = Date.now();
    if (!(await policy.acceptsProfile(profile, now)))
      throw new AttestationError(
        "unknown-maker",
        "the maker's profile in this registrar's store is not the one that is published: fetch the published one",
      );
    return new Examination(registrar, domain, policy, policyId, evidence, judgeEvidence(evidence, profile, now));
  }

  /** Refuses an answer that is not the challenged TPM's, or a boot that the policy does not accept now. */
  async judge(answer: Answer): Promise<JudgedAnswer> {
    const { deviceId, keyEpoch } = this.evidence;
    const atMs = Date.now();
    const registered = await this.#policy.keyOf(deviceId, keyEpoch);
    if (registered !== ZERO32 && registered !== this.evidence.keyHash)
      throw new AttestationError(
        "signing-key",
        "this TPM is enrolled with another signing key: a TPM is one device; use the folder that it was enrolled with, or rotate its key",
        registered,
      );
    const judged = this.#open.judge(answer, atMs, await this.#policy.countersOf(deviceId, keyEpoch));
    if (!(await this.#policy.acceptsBoot(this.#policyId, judged.pcrDigest, atMs)))
      throw new AttestationError(
        "boot",
        "the boot policy does not accept what has booted: install an approved version and reboot, or have this one published",
        judged.pcrDigest,
      );
    this.#answer = { judged, atMs };
    return judged;
  }

  enrol(enrol: Enrol, possession: Uint8Array): Hex {
    const { evidence } = this;
    this.#same("deviceId", enrol.deviceId, evidence.deviceId);
    this.#same("ekHash", enrol.ekHash, evidence.ekHashes[0]);
    this.#same("key epoch", evidence.keyEpoch, 1);
    this.#sameKey(enrol, possession, typedDataDigest(this.#domain, ENROL, enrol));
    return signTyped(fromHex(this.#registrar.key), this.#domain, ENROL, enrol);
  }

  rotation(rotation: Rotation, possession: Uint8Array): Hex {
    this.#same("deviceId", rotation.deviceId, this.evidence.deviceId);
    this.#same("key epoch", rotation.keyEpoch, this.evidence.keyEpoch);
    this.#sameKey(rotation, possession, typedDataDigest(this.#domain, ROTATION, rotation));
    return signTyped(fromHex(this.#registrar.key), this.#domain, ROTATION, rotation);
  }

  endorsement(endorsement: Endorsement): Hex {
    this.#judged();
    this.#same("deviceId", endorsement.deviceId, this.evidence.deviceId);
    this.#same("ekHash", this.evidence.ekHashes.includes(endorsement.ekHash as Hex), true);
    return signTyped(fromHex(this.#registrar.key), this.#domain, ENDORSEMENT, endorsement);
  }

  quote(quote: Quote): Hex {
    const { judged, atMs } = this.#judged();
    this.#same("deviceId", quote.deviceId, this.evidence.deviceId);
    this.#same("key epoch", quote.keyEpoch, this.evidence.keyEpoch);
    this.#same("boot policy", quote.policyId, this.#policyId);
    this.#same("PCR digest", quote.pcrDigest, judged.pcrDigest);
    this.#same("resetCount", quote.resetCount, judged.resetCount);
    this.#same("restartCount", quote.restartCount, judged.restartCount);
    this.#same("clock", quote.safe, judged.safe);
    this.#same("evidence", quote.evidenceDigest, this.evidence.digest);
    this.#same("time of the quote", Math.abs(Number(quote.quotedAtMs) - atMs) <= QUOTE_AGE_MS, true);
    return signTyped(fromHex(this.#registrar.key), this.#domain, QUOTE, quote);
  }

  #sameKey(
    said: Pick<Enrol, "akName" | "keyAlg" | "keyHash" | "policyId" | "evidenceDigest">,
    possession: Uint8Array,
    digest: Uint8Array,
  ): void {
    this.#judged();
    this.#same("akName", said.akName, this.evidence.akName);
    this.#same("algorithm", said.keyAlg, KEY_ALG.ES256);
    this.#same("key", said.keyHash, this.evidence.keyHash);
    this.#same("boot policy", said.policyId, this.#policyId);
    this.#same("evidence", said.evidenceDigest, this.evidence.digest);
    checkPossession(this.evidence.spki, digest, possession);
  }

  #judged() {
    demand(this.#answer !== undefined, "unknown-key", "the device has not answered this registrar's challenge yet");
    return this.#answer;
  }

  #same(what: string, said: unknown, found: unknown): void {
    demand(said === found, "unknown-key", `this registrar found another ${what}: it does not vouch for this`, said);
  }
}
