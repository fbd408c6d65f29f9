import {
  checkPossession,
  demand,
  deviceIdOfSoftware,
  type Domain,
  ENROL,
  type Enrol,
  fromHex,
  type Hex,
  keyAlgOf,
  keyHash,
  signTyped,
  typedDataDigest,
  ZERO32,
} from "@msec/core";
import { type Account } from "./layout.ts";

/**
 * A registrar's signature under the enrolment of a software element, after it has checked what the contract does not: that
 * the device signs with the key, and that the key is the one that names the device. This registrar has no TPM's roots, so
 * it vouches for no TPM.
 */
export function vouch(registrar: Account, domain: Domain, enrol: Enrol, spki: Uint8Array, possession: Uint8Array): Hex {
  demand(
    enrol.akName === ZERO32 && enrol.ekHash === ZERO32,
    "unknown-key",
    "this registrar enrols software elements only: ask one that judges TPM evidence",
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
