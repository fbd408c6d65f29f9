import { encode } from "./codec.ts";
import { CC, RH } from "./constants.ts";
import { digest, handleName } from "./names.ts";
import { hashName, type PcrSelection, writeSelection } from "./structures.ts";
import { createHash } from "node:crypto";

/** Policy digests as a TPM computes them (Part 3, section 23), for whoever makes or judges a key's authPolicy. */

const uint32 = (value: number) => encode((w) => w.u32(value));

/** What a policy session begins with: as many zero bytes as the hash has. */
export const emptyPolicy = (hash: number): Uint8Array => new Uint8Array(createHash(hashName(hash)).digest().length);

/** SHA over the values of the selected PCRs, in the order of the selection: what quotes and PolicyPCR carry. */
export const pcrDigest = (hash: number, values: Uint8Array[]): Uint8Array => digest(hash, ...values);

export const policyPcr = (hash: number, before: Uint8Array, selection: PcrSelection[], pcrs: Uint8Array): Uint8Array =>
  digest(
    hash,
    before,
    uint32(CC.PolicyPCR),
    encode((w) => writeSelection(w, selection)),
    pcrs,
  );

export function policySecret(hash: number, before: Uint8Array, entityName: Uint8Array, ref = new Uint8Array()) {
  return digest(hash, digest(hash, before, uint32(CC.PolicySecret), entityName), ref);
}

/** Forgets what was before: any policy that the key signed is as good. */
export function policyAuthorize(hash: number, keyName: Uint8Array, ref: Uint8Array): Uint8Array {
  return digest(hash, digest(hash, emptyPolicy(hash), uint32(CC.PolicyAuthorize), keyName), ref);
}

/** Forgets what was before but that it was one of the branches. */
export const policyOr = (hash: number, branches: Uint8Array[]): Uint8Array =>
  digest(hash, emptyPolicy(hash), uint32(CC.PolicyOR), ...branches);

export const policyCommandCode = (hash: number, before: Uint8Array, code: number): Uint8Array =>
  digest(hash, before, uint32(CC.PolicyCommandCode), uint32(code));

/** `operation` is a TPM_EO (Part 2, 6.8). */
export function policyNv(
  hash: number,
  before: Uint8Array,
  nvName: Uint8Array,
  operand: Uint8Array,
  offset: number,
  operation: number,
): Uint8Array {
  const args = digest(
    hash,
    operand,
    encode((w) => w.u16(offset).u16(operation)),
  );
  return digest(hash, before, uint32(CC.PolicyNV), args, nvName);
}

/** PolicyA of the EK Credential Profile: the endorsement hierarchy's authorization. */
export const endorsementPolicy = (hash: number): Uint8Array =>
  policySecret(hash, emptyPolicy(hash), handleName(RH.ENDORSEMENT));
