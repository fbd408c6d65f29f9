/** Why a device's evidence is not believed. One code a reason, so that each can be counted and tested. */
export type AttestationCode =
  | "malformed"
  | "certificate"
  | "unknown-maker"
  | "revoked"
  | "expired"
  | "revocation-unknown"
  | "wrong-template"
  | "missing-endorsement"
  | "endorsement-key"
  | "attestation-key"
  | "signing-key"
  | "key-policy"
  | "certifier"
  | "magic"
  | "type"
  | "credential"
  | "signature"
  | "nonce"
  | "selection"
  | "event-log"
  | "boot"
  | "counters";

/** A registrar does not vouch. `message` says why and what to do; `value` is what offended. */
export class AttestationError extends Error {
  readonly code: AttestationCode;
  readonly value: unknown;
  constructor(code: AttestationCode, message: string, value?: unknown) {
    super(message);
    this.name = "AttestationError";
    this.code = code;
    this.value = value;
  }
}

export function demand(condition: boolean, code: AttestationCode, message: string, value?: unknown): asserts condition {
  if (!condition) throw new AttestationError(code, message, value);
}
