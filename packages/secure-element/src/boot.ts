import { pointOfSpki, utf8 } from "@msec/core";
import {
  ALG,
  emptyPolicy,
  encode,
  EO,
  externalVerifier,
  nameOf,
  NV,
  type NvPublic,
  nvNameOf,
  pcrDigest,
  policyAuthorize,
  policyNv,
  policyOr,
  policyPcr,
  type EccPublic,
  type PcrSelection,
} from "./tpm/index.ts";

/** How a signing key is bound to what a device booted. */

const { SHA256 } = ALG;

/** PCR that the agent is measured into: an operating system can't reset it. */
export const AGENT_PCR = 13;

/**
 * Firmware (0), option ROMs (2), boot loader (4), secure boot (7), kernel and initrd (11, the unified kernel image), agent
 * (13); SHA-256.
 */
export const BOOT_PCRS: readonly number[] = [0, 2, 4, 7, 11, AGENT_PCR];
/** Those that nothing but the firmware and the boot loader measures into: their log accounts for them whole. */
export const FIRMWARE_PCRS: readonly number[] = [0, 2, 4, 7];
export const BOOT_SELECTION: PcrSelection[] = [{ hash: SHA256, pcrs: [...BOOT_PCRS] }];

/** Ties an approval to this use of the maker's key. */
export const APPROVAL_REF: Uint8Array = utf8("msec.firmware");

/** The policy that PCRs of these values satisfy, in the order of {@link BOOT_PCRS}. */
export const bootPolicy = (values: Uint8Array[]): Uint8Array =>
  policyPcr(SHA256, emptyPolicy(SHA256), BOOT_SELECTION, pcrDigest(SHA256, values));

/**
 * The NV counter whose value is the lowest version of the firmware that is still allowed, as it is once it was counted. Its
 * attributes are part of its name, so that a policy knows it from an index of another kind under the same handle; and one
 * that was removed and made anew goes on where the highest counter of the TPM was.
 */
export const FIRMWARE_COUNTER: NvPublic = {
  index: 0x01804c00,
  nameAlg: SHA256,
  attributes: NV.AUTHREAD | NV.AUTHWRITE | NV.NO_DA | NV.COUNTER | NV.WRITTEN,
  policy: new Uint8Array(),
  size: 8,
};

/** What PolicyNV compares {@link FIRMWARE_COUNTER} with, and how: the counter must not be beyond the version. */
export const versionOperand = (version: number): Uint8Array => encode((w) => w.u64(BigInt(version)));
export const VERSION_OPERATION: number = EO.UNSIGNED_LE;

/** The policy `booted`, and that no later version than this one has confirmed itself. */
export const versionPolicy = (booted: Uint8Array, version: number): Uint8Array =>
  policyNv(SHA256, booted, nvNameOf(FIRMWARE_COUNTER), versionOperand(version), 0, VERSION_OPERATION);

/** The approved-firmware key as the TPM loads it. */
export function authorityArea(spki: Uint8Array): EccPublic {
  const point = pointOfSpki(spki);
  return externalVerifier(point.slice(1, 33), point.slice(33));
}

/** Branches of a signing key's authPolicy: what had booted when it was made, or what the maker approved since. */
export const keyBranches = (booted: Uint8Array, authority: Uint8Array): Uint8Array[] => [
  booted,
  policyAuthorize(SHA256, nameOf(authorityArea(authority)), APPROVAL_REF),
];

/** authPolicy of a signing key. */
export const keyPolicy = (booted: Uint8Array, authority: Uint8Array): Uint8Array =>
  policyOr(SHA256, keyBranches(booted, authority));

/** The maker's word that what satisfies `policy` is firmware of theirs. `signature` is ES256 over {@link approvalMessage}. */
export interface Approval {
  policy: Uint8Array;
  signature: Uint8Array;
}

export const approvalMessage = (policy: Uint8Array): Uint8Array =>
  new Uint8Array(Buffer.concat([policy, APPROVAL_REF]));

/** One measurement: `digest` was extended into `pcr`. */
export interface BootEvent {
  pcr: number;
  digest: Uint8Array;
  what: string;
}

/** The values that the PCRs of an event log must have, each counted from zero. */
export function replay(log: readonly BootEvent[]): Map<number, Uint8Array> {
  const values = new Map<number, Uint8Array>();
  for (const { pcr, digest } of log)
    values.set(pcr, pcrDigest(SHA256, [values.get(pcr) ?? emptyPolicy(SHA256), digest]));
  return values;
}
