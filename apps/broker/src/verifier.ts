import { randomBytes } from "node:crypto";
import { deviceIdOfEk, type Hex, keyHash, sha256, toHex, verifySignature } from "@msec/core";
import {
  type Answer,
  AttestationError,
  type Challenge,
  confirmationMessage,
  type Evidence,
  evidenceDigest,
  OpenChallenge,
  readResult,
  type AttestationResult,
  signResult,
} from "@msec/secure-element/attestation";
import { decodePublic, spkiOf } from "@msec/secure-element/tpm";
import type { Registry, RegisteredDevice } from "./registry.ts";

/** Challenges that may be open at a time; the oldest makes room. */
const OPEN = 1000;
const NO_POLICY = `0x${"00".repeat(32)}`;

export interface Signer {
  /** DER SPKI (P-256). */
  spki: Uint8Array;
  /** ES256, r ‖ s, s ≤ n/2. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

interface Begun {
  deviceId: Hex;
  evidence: Evidence;
  spki: Uint8Array;
  open: OpenChallenge;
}

/**
 * Attests enrolled devices by the passport model (RFC 9334): evidence that is the registry's own, a fresh quote, the boot policy
 * in force; the result is for this service and names the key that the device wants a certificate for. The evidence's
 * certificates were judged by the registrars; here it must be the very bytes that they judged.
 */
export class Verifier {
  readonly #registry: Registry;
  readonly #url: string;
  readonly #signer: Signer;
  readonly #seconds: number;
  readonly #begun = new Map<string, Begun>();

  /** Results are by `url`, for `url`, and good for `seconds`. */
  constructor(registry: Registry, url: string, signer: Signer, seconds: number) {
    this.#registry = registry;
    this.#url = url;
    this.#signer = signer;
    this.#seconds = seconds;
  }

  /** A challenge for a device that the registry has as active under the key and with the evidence shown. */
  async begin(evidence: Evidence): Promise<{ id: Uint8Array; challenge: Challenge }> {
    const naming = evidence.endorsements[0];
    if (!naming) throw new AttestationError("missing-endorsement", "the evidence shows no endorsement key");
    const deviceId = deviceIdOfEk(naming.publicArea);
    const device = await this.#registry.active(deviceId);
    const area = decodePublic(evidence.signingKey);
    const spki = spkiOf(area);
    if (evidence.keyEpoch !== device.keyEpoch || keyHash(spki) !== device.keyHash)
      throw new AttestationError(
        "signing-key",
        `the registry has another key for this device: show key ${device.keyEpoch}`,
      );
    if ((await this.#registry.evidenceOf(deviceId, device.keyEpoch)) !== evidenceDigest(evidence))
      throw new AttestationError("attestation-key", "this is not the evidence that the registrars judged");
    if (device.policyId === NO_POLICY)
      throw new AttestationError("boot", "this device has no measured boot: it can't be attested");
    const open = new OpenChallenge(evidence, Date.now());
    const id = new Uint8Array(randomBytes(16));
    this.#begun.set(toHex(id), { deviceId, evidence, spki, open });
    for (const oldest of this.#begun.keys()) {
      if (this.#begun.size <= OPEN) break;
      this.#begun.delete(oldest);
    }
    return { id, challenge: open.challenge };
  }

  /**
   * Judges the answer and gives the result as a token. `confirmation` is the DER SPKI (P-256) of the key that may use it, signed
   * by the device's signing key as `confirmationMessage` says.
   */
  async finish(id: Uint8Array, answer: Answer, confirmation: Uint8Array, signature: Uint8Array): Promise<Uint8Array> {
    const begun = this.#begun.get(toHex(id));
    this.#begun.delete(toHex(id));
    if (!begun) throw new AttestationError("nonce", "this challenge is over: ask for a new one");
    const { deviceId, evidence, spki, open } = begun;
    const device = await this.#registry.active(deviceId);
    const atMs = Date.now();
    const judged = open.judge(answer, atMs, await this.#registry.countersOf(deviceId, evidence.keyEpoch));
    const policyVersion = await this.#accepted(device, judged.pcrDigest, atMs);
    const { nonce } = open.challenge;
    if (!verifySignature(spki, confirmationMessage(nonce, sha256(confirmation)), signature))
      throw new AttestationError("signature", "the key to be certified is not signed by the device's key");
    const issuedAt = Math.floor(atMs / 1000);
    const result: AttestationResult = {
      issuer: this.#url,
      audience: this.#url,
      issuedAt,
      expires: issuedAt + this.#seconds,
      nonce,
      deviceId,
      bootEpoch: judged.resetCount,
      keyEpoch: evidence.keyEpoch,
      policyId: device.policyId,
      policyVersion,
      pcrDigest: judged.pcrDigest,
      evidence: evidenceDigest(evidence),
      confirmation,
    };
    return signResult(result, this.#signer.spki, this.#signer.sign);
  }

  /** Reads a token of its own. Throws AttestationError. */
  read(token: Uint8Array): AttestationResult {
    return readResult(token, this.#signer.spki, this.#url, Date.now());
  }

  async #accepted({ policyId }: RegisteredDevice, pcrDigest: Hex, atMs: number): Promise<number> {
    const version = await this.#registry.policyVersion(policyId, pcrDigest, atMs);
    if (version !== undefined) return version;
    throw new AttestationError(
      "boot",
      "the boot policy does not accept what has booted: install an approved version and reboot",
      pcrDigest,
    );
  }
}
