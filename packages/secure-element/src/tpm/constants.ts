/** Numbers of the TPM 2.0 Library specification (TCG, Part 2: Structures), as far as this client uses them. */

/** TPM_CC, Part 2, 6.5.2. */
export const CC = {
  EvictControl: 0x120,
  NV_UndefineSpace: 0x122,
  NV_DefineSpace: 0x12a,
  CreatePrimary: 0x131,
  NV_Increment: 0x134,
  NV_Write: 0x137,
  DictionaryAttackLockReset: 0x139,
  PCR_Reset: 0x13d,
  SelfTest: 0x143,
  Startup: 0x144,
  Shutdown: 0x145,
  ActivateCredential: 0x147,
  Certify: 0x148,
  PolicyNV: 0x149,
  CertifyCreation: 0x14a,
  NV_Read: 0x14e,
  PolicySecret: 0x151,
  Create: 0x153,
  Load: 0x157,
  Quote: 0x158,
  Sign: 0x15d,
  Unseal: 0x15e,
  ContextLoad: 0x161,
  ContextSave: 0x162,
  FlushContext: 0x165,
  LoadExternal: 0x167,
  NV_ReadPublic: 0x169,
  PolicyAuthorize: 0x16a,
  PolicyCommandCode: 0x16c,
  PolicyOR: 0x171,
  ReadPublic: 0x173,
  StartAuthSession: 0x176,
  VerifySignature: 0x177,
  GetCapability: 0x17a,
  GetRandom: 0x17b,
  PCR_Read: 0x17e,
  PolicyPCR: 0x17f,
  ReadClock: 0x181,
  PCR_Extend: 0x182,
  NV_Certify: 0x184,
  PolicyGetDigest: 0x189,
} as const;
export type CommandCode = (typeof CC)[keyof typeof CC];

/** The command's name, for messages. */
export const commandName = (code: number): string =>
  Object.keys(CC).find((name) => CC[name as keyof typeof CC] === code) ?? `command 0x${code.toString(16)}`;

/** TPM_ALG_ID, Part 2, 6.3. */
export const ALG = {
  RSA: 0x0001,
  SHA1: 0x0004,
  AES: 0x0006,
  KEYEDHASH: 0x0008,
  SHA256: 0x000b,
  SHA384: 0x000c,
  SHA512: 0x000d,
  NULL: 0x0010,
  RSASSA: 0x0014,
  OAEP: 0x0017,
  ECDSA: 0x0018,
  ECC: 0x0023,
  CFB: 0x0043,
} as const;

/** TPM_ECC_CURVE, Part 2, 6.4. */
export const CURVE = { P256: 0x0003, P384: 0x0004 } as const;

/** TPM_ST, Part 2, 6.9. */
export const ST = {
  NO_SESSIONS: 0x8001,
  SESSIONS: 0x8002,
  ATTEST_NV: 0x8014,
  ATTEST_CERTIFY: 0x8017,
  ATTEST_QUOTE: 0x8018,
  ATTEST_CREATION: 0x801a,
  HASHCHECK: 0x8024,
} as const;

/** TPM_RH, Part 2, 7.4, and the password session. */
export const RH = {
  OWNER: 0x40000001,
  NULL: 0x40000007,
  PASSWORD: 0x40000009,
  LOCKOUT: 0x4000000a,
  ENDORSEMENT: 0x4000000b,
} as const;

/** TPM_SE, Part 2, 6.11. */
export const SE = { HMAC: 0x00, POLICY: 0x01 } as const;

/** TPM_SU, Part 2, 6.10. */
export const SU = { CLEAR: 0x0000, STATE: 0x0001 } as const;

/** TPM_CAP, Part 2, 6.12. */
export const CAP = { HANDLES: 1, PCRS: 5, TPM_PROPERTIES: 6 } as const;

/** TPM_PT, Part 2, 6.13. */
export const PT = {
  MANUFACTURER: 0x105,
  LOCKOUT_COUNTER: 0x20e,
  MAX_AUTH_FAIL: 0x20f,
  LOCKOUT_INTERVAL: 0x210,
} as const;

/** First handles of the ranges that GetCapability lists, Part 2, 7.2. */
export const HANDLES = {
  NV: 0x01000000,
  LOADED_SESSION: 0x02000000,
  SAVED_SESSION: 0x03000000,
  TRANSIENT: 0x80000000,
  PERSISTENT: 0x81000000,
} as const;

/** TPMA_OBJECT, Part 2, 8.3. */
export const OBJECT = {
  fixedTPM: 1 << 1,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  userWithAuth: 1 << 6,
  adminWithPolicy: 1 << 7,
  noDA: 1 << 10,
  restricted: 1 << 16,
  decrypt: 1 << 17,
  sign: 1 << 18,
} as const;

/** TPMA_NV, Part 2, 13.4; the type of an index is in bits 4 to 7. */
export const NV = {
  OWNERWRITE: 1 << 1,
  AUTHWRITE: 1 << 2,
  COUNTER: 1 << 4,
  OWNERREAD: 1 << 17,
  AUTHREAD: 1 << 18,
  NO_DA: 1 << 25,
  WRITTEN: 1 << 29,
} as const;

/** TPM_EO, Part 2, 6.8: how PolicyNV compares. */
export const EO = { UNSIGNED_LE: 0x0009 } as const;

/** TPMA_SESSION, Part 2, 8.4. */
export const SESSION = { continueSession: 1, decrypt: 1 << 5, encrypt: 1 << 6 } as const;

/** What every TPMS_ATTEST that a TPM made itself begins with (TPM_GENERATED_VALUE, Part 2, 6.2). */
export const GENERATED = 0xff544347;
