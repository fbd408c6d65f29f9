import type { Hex } from "@msec/core";
import { SecureElementError } from "./errors.ts";

/** A signing key of the device. `keyEpoch` counts them from 1. */
export interface DeviceKey {
  keyEpoch: number;
  /** DER SubjectPublicKeyInfo of a P-256 key. */
  spki: Uint8Array;
}

/** Where the device's keys live. What signs with a TPM and what signs in software look the same from here. */
export interface SecureElement {
  readonly kind: "software" | "tpm";
  /** H("msec.device" ‖ S(EK public area)) for a TPM, H("msec.device.sw" ‖ first SPKI) for software. */
  readonly deviceId: Hex;
  /** Epoch of the key that {@link sign} uses. */
  readonly keyEpoch: number;
  /** DER SPKI of the key that {@link sign} uses. */
  spki(): Promise<Uint8Array>;
  /** Every signing key that this element has had, the one in use last. */
  keys(): Promise<DeviceKey[]>;
  /**
   * ES256 over `message`: r ‖ s, 64 bytes, s ≤ n/2. A message that names a key is given with its epoch; where another key is in
   * use by then nothing is signed (SecureElementError `key-rotated`).
   */
  sign(message: Uint8Array, keyEpoch?: number): Promise<Uint8Array>;
  /** S(evidence) of the key that {@link sign} uses, what its headers refer to; zeros for a software element. */
  attestation(): Promise<Hex>;
  /** The TPM's resetCount; a software element counts the processes that asked. The same for the life of this object. */
  bootEpoch(): Promise<number>;
  /**
   * The key that comes next, made durably at the first call. It must sign its own enrolment before {@link rotate};
   * the registry learns of it first, so that its headers are known when they arrive.
   */
  prepareRotation(): Promise<NextKey>;
  /** Signs with the prepared key from now on and forgets the private key before it. */
  rotate(): Promise<void>;
  /** Lets go of what the element holds open. */
  close(): Promise<void>;
}

/** Throws unless the key that a message names is the one in use. */
export function demandKeyEpoch(inUse: number, named: number | undefined): void {
  if (named === undefined || named === inUse) return;
  throw new SecureElementError("key-rotated", `key ${named} was replaced by key ${inUse} meanwhile: begin anew`, named);
}

/** A key that does not sign headers yet. */
export interface NextKey extends DeviceKey {
  sign(message: Uint8Array): Promise<Uint8Array>;
}
