import { commandName } from "./constants.ts";

export type TpmCode =
  | "malformed"
  | "unreachable"
  | "busy"
  | "closed"
  | "timeout"
  | "policy"
  | "auth"
  | "lockout"
  | "memory"
  | "foreign-key"
  | "handle"
  | "nv"
  | "ticket"
  | "not-started"
  | "failure"
  | "refused";

/** The TPM refused or can't be reached. `message` says what to do about it; `rc` is the TPM's own response code. */
export class TpmError extends Error {
  readonly code: TpmCode;
  readonly value: unknown;
  /** TPM_RC as received, where it was the TPM that refused. */
  readonly rc: number | undefined;
  constructor(code: TpmCode, message: string, value?: unknown, options: { rc?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = "TpmError";
    this.code = code;
    this.value = value;
    this.rc = options.rc;
  }
}

/** TPM_RC_RETRY, TPM_RC_YIELDED, TPM_RC_TESTING and TPM_RC_NV_RATE: the same command may succeed a moment later. */
export const TRY_AGAIN: ReadonlySet<number> = new Set([0x922, 0x908, 0x90a, 0x920]);

/** Format-one codes (Part 2, 6.6.3), without the bits that name handle, session or parameter. */
const FORMAT_ONE: Record<number, [TpmCode, string, string]> = {
  0x081: ["refused", "ASYMMETRIC", "the asymmetric algorithm is not supported: this TPM can't hold such a key"],
  0x082: ["refused", "ATTRIBUTES", "the key's attributes don't allow this"],
  0x083: ["refused", "HASH", "the hash algorithm is not supported or does not fit"],
  0x084: ["refused", "VALUE", "a value is out of range or not right for this TPM"],
  0x085: ["refused", "HIERARCHY", "the hierarchy is disabled or wrong: enable it in the firmware's settings"],
  0x087: ["refused", "KEY_SIZE", "this TPM does not support keys of that size"],
  0x088: ["refused", "MGF", "the mask generation function is not supported"],
  0x089: ["refused", "MODE", "the cipher mode is not supported"],
  0x08a: ["refused", "TYPE", "the key has the wrong type for this"],
  0x08b: [
    "handle",
    "HANDLE",
    "there is no such handle: the object was flushed, or the TPM was restarted; load it again",
  ],
  0x08c: ["refused", "KDF", "the key derivation function is not supported"],
  0x08d: ["refused", "RANGE", "a value is out of the allowed range"],
  0x08e: ["auth", "AUTH_FAIL", "the authorization is wrong, and the TPM counted the attempt: give the right one"],
  0x08f: ["refused", "NONCE", "the nonce has the wrong size"],
  0x090: ["refused", "PP", "physical presence is needed"],
  0x092: ["refused", "SCHEME", "the signing scheme does not fit the key"],
  0x095: ["malformed", "SIZE", "a structure has the wrong size"],
  0x096: ["refused", "SYMMETRIC", "the symmetric algorithm or key size is not supported"],
  0x097: ["malformed", "TAG", "a structure has the wrong tag"],
  0x098: ["refused", "SELECTOR", "a union has the wrong selector"],
  0x09a: ["malformed", "INSUFFICIENT", "the TPM expected more bytes"],
  0x09b: ["refused", "SIGNATURE", "the signature does not verify"],
  0x09c: ["refused", "KEY", "the key's fields don't agree, or it is not usable for this"],
  0x09d: [
    "policy",
    "POLICY_FAIL",
    "the TPM's policy for this key is not met: other software booted than the key was made or approved for",
  ],
  0x09f: [
    "foreign-key",
    "INTEGRITY",
    "the key was not made by this TPM, or its file is damaged: a copied disk, another board, or a cleared TPM; enrol anew",
  ],
  0x0a0: ["ticket", "TICKET", "the ticket is not valid: a restricted key signs only what its own TPM made"],
  0x0a1: ["refused", "RESERVED_BITS", "reserved bits must be zero"],
  0x0a2: ["auth", "BAD_AUTH", "the authorization is wrong: give the right one"],
  0x0a3: ["policy", "EXPIRED", "the policy has expired"],
  0x0a4: ["policy", "POLICY_CC", "the policy is for another command"],
  0x0a5: ["foreign-key", "BINDING", "public and private part don't belong together: restore both from one backup"],
  0x0a6: ["refused", "CURVE", "the curve is not supported"],
  0x0a7: ["refused", "ECC_POINT", "the point is not on the curve"],
};

/** Codes of format zero (Part 2, 6.6.3; TPM_RC_VER1 and TPM_RC_WARN). */
const FORMAT_ZERO: Record<number, [TpmCode, string, string]> = {
  0x100: ["not-started", "INITIALIZE", "the TPM was not started: send Startup, or start swtpm with startup-clear"],
  0x101: ["failure", "FAILURE", "the TPM is in failure mode: take the power off the board and on again"],
  0x120: ["refused", "DISABLED", "the command is disabled"],
  0x121: ["refused", "EXCLUSIVE", "another session holds the TPM exclusively"],
  0x124: ["auth", "AUTH_TYPE", "this needs a session of another kind"],
  0x125: ["auth", "AUTH_MISSING", "this needs an authorization session"],
  0x126: ["policy", "POLICY", "a branch of the policy is not met, or the policy can't be used here"],
  0x127: ["refused", "PCR", "this PCR can't be extended or reset from here"],
  0x128: ["policy", "PCR_CHANGED", "the PCRs changed after the policy was checked: try again"],
  0x12d: ["failure", "UPGRADE", "the TPM is in the middle of a firmware update: finish it"],
  0x12e: ["refused", "TOO_MANY_CONTEXTS", "too many saved contexts: restart the TPM"],
  0x12f: ["policy", "AUTH_UNAVAILABLE", "the key allows its policy only, and no policy session was given"],
  0x130: ["failure", "REBOOT", "the TPM wants a reboot first: reboot the board"],
  0x143: ["refused", "COMMAND_CODE", "this TPM does not know the command"],
  0x145: ["malformed", "AUTHSIZE", "the authorization area has the wrong size"],
  0x146: ["nv", "NV_RANGE", "offset or size lie outside the NV index"],
  0x148: ["nv", "NV_LOCKED", "the NV index is locked until the next restart"],
  0x149: ["nv", "NV_AUTHORIZATION", "the NV index can't be used with this authorization"],
  0x14a: ["nv", "NV_UNINITIALIZED", "the NV index was never written: write it first"],
  0x14b: ["nv", "NV_SPACE", "the TPM has no room for another NV index or persistent key: remove one"],
  0x14c: ["nv", "NV_DEFINED", "the NV index or persistent handle is taken: remove it or use another"],
  0x150: ["refused", "BAD_CONTEXT", "the saved context is not this TPM's, or it was restarted since"],
  0x901: ["memory", "CONTEXT_GAP", "the oldest saved session must be loaded or flushed first"],
  0x902: ["memory", "OBJECT_MEMORY", "all of the TPM's slots for keys are taken: flush what a dead process left"],
  0x903: ["memory", "SESSION_MEMORY", "all of the TPM's slots for sessions are taken: flush what a dead process left"],
  0x904: ["memory", "MEMORY", "the TPM is out of memory: flush what a dead process left"],
  0x905: ["memory", "SESSION_HANDLES", "the TPM has no session handle left: flush what a dead process left"],
  0x906: ["memory", "OBJECT_HANDLES", "the TPM has no object handle left: flush what a dead process left"],
  0x908: ["busy", "YIELDED", "the TPM was interrupted: try again"],
  0x909: ["refused", "CANCELED", "the command was cancelled"],
  0x90a: ["busy", "TESTING", "the TPM is testing itself: try again in a moment"],
  0x910: ["handle", "REFERENCE_H0", "the first handle names an object that is not loaded: load it again"],
  0x911: ["handle", "REFERENCE_H1", "the second handle names an object that is not loaded: load it again"],
  0x912: ["handle", "REFERENCE_H2", "the third handle names an object that is not loaded: load it again"],
  0x918: ["handle", "REFERENCE_S0", "the session is gone: the TPM was restarted; start a new one"],
  0x919: ["handle", "REFERENCE_S1", "the second session is gone: the TPM was restarted; start a new one"],
  0x920: ["busy", "NV_RATE", "the TPM spares its NV memory: try again in a moment"],
  0x921: [
    "lockout",
    "LOCKOUT",
    "the TPM counted too many wrong authorizations and refuses all that count: wait for its recovery time, or reset the counter with the lockout authorization (tpm2_dictionarylockout --clear-lockout)",
  ],
  0x922: ["busy", "RETRY", "the TPM could not do it now: try again"],
  0x923: ["busy", "NV_UNAVAILABLE", "the TPM's NV memory can't be written now: try again"],
};

/** A TPM_RC (Part 2, 6.6; the bits in Part 1, "Response codes") as an error with its name and what to do. */
export function responseError(rc: number, command: number): TpmError {
  const what = commandName(command);
  if ((rc & 0x80) !== 0 && rc < 0x1000) {
    const number = rc & 0x3f;
    const known = FORMAT_ONE[0x80 | number];
    const n = (rc >> 8) & 0xf;
    const of = (rc & 0x40) !== 0 ? `parameter ${n}` : n >= 8 ? `session ${n - 8}` : n > 0 ? `handle ${n}` : "";
    const [code, name, sentence] = known ?? ["refused", "unknown", "the TPM refused it"];
    return new TpmError(code, `${what}: ${sentence} (${text(name, rc)}${of ? `, ${of}` : ""})`, undefined, { rc });
  }
  const [code, name, sentence] = FORMAT_ZERO[rc] ?? ["refused", "unknown", "the TPM refused it"];
  return new TpmError(code, `${what}: ${sentence} (${text(name, rc)})`, undefined, { rc });
}

const text = (name: string, rc: number) =>
  name === "unknown" ? `0x${rc.toString(16)}` : `TPM_RC_${name}, 0x${rc.toString(16)}`;
