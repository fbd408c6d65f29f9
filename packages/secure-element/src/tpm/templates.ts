import { ALG, CURVE, OBJECT } from "./constants.ts";
import { endorsementPolicy, policyOr } from "./policy.ts";
import type { EccPublic, PublicArea, RsaPublic, SealedPublic } from "./structures.ts";

const EMPTY = new Uint8Array();
const AES128 = { alg: ALG.AES, keyBits: 128, mode: ALG.CFB };
const AES256 = { alg: ALG.AES, keyBits: 256, mode: ALG.CFB };
const ES256 = { alg: ALG.ECDSA, hash: ALG.SHA256 };
const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

/** What every key that never leaves its TPM has. */
export const RESIDENT: number = OBJECT.fixedTPM | OBJECT.fixedParent | OBJECT.sensitiveDataOrigin;

const STORAGE = RESIDENT | OBJECT.restricted | OBJECT.decrypt;

/** PolicyC of the EK Credential Profile 2.x, B.6.4: PolicyAuthorizeNV over the profile's own NV index. */
const POLICY_C: Record<number, Uint8Array> = {
  [ALG.SHA256]: hex("3767e2edd43ff45a3a7e1eaefcef78643dca964632e7aad82c673a30d8633fde"),
  [ALG.SHA384]: hex("d6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d165"),
};

/** The branches of the high range's policy, in order: PolicyOR of the two is its authPolicy. */
export const highRangeBranches = (hash: number): Uint8Array[] => [
  endorsementPolicy(hash),
  POLICY_C[hash] as Uint8Array,
];
const highRange = (hash: number) => policyOr(hash, highRangeBranches(hash));

/** A template of the TCG EK Credential Profile 2.x (B.3, B.4), and where its certificate lies. */
export interface EkTemplate {
  name: "L-1" | "L-2" | "H-1" | "H-2" | "H-3";
  /** NV index of the certificate. */
  certificateIndex: number;
  /** Whether the policy is the high range's PolicyOR. */
  high: boolean;
  area: RsaPublic | EccPublic;
}

function rsaEk(policy: Uint8Array, extra: number, unique: number): RsaPublic {
  return {
    type: ALG.RSA,
    nameAlg: ALG.SHA256,
    attributes: STORAGE | OBJECT.adminWithPolicy | extra,
    policy,
    symmetric: AES128,
    scheme: null,
    keyBits: 2048,
    exponent: 0,
    modulus: new Uint8Array(unique),
  };
}

function eccEk(curve: number, nameAlg: number, policy: Uint8Array, extra: number, unique: number): EccPublic {
  return {
    type: ALG.ECC,
    nameAlg,
    attributes: STORAGE | OBJECT.adminWithPolicy | extra,
    policy,
    symmetric: nameAlg === ALG.SHA384 ? AES256 : AES128,
    scheme: null,
    curve,
    x: new Uint8Array(unique),
    y: new Uint8Array(unique),
  };
}

const { userWithAuth } = OBJECT;
const { SHA256, SHA384 } = ALG;

/** In the order in which they name a device: the first that a TPM has a certificate for. */
export const EK_TEMPLATES: readonly EkTemplate[] = [
  {
    name: "H-3",
    certificateIndex: 0x01c00016,
    high: true,
    area: eccEk(CURVE.P384, SHA384, highRange(SHA384), userWithAuth, 0),
  },
  {
    name: "H-2",
    certificateIndex: 0x01c00014,
    high: true,
    area: eccEk(CURVE.P256, SHA256, highRange(SHA256), userWithAuth, 0),
  },
  {
    name: "L-2",
    certificateIndex: 0x01c0000a,
    high: false,
    area: eccEk(CURVE.P256, SHA256, endorsementPolicy(SHA256), 0, 32),
  },
  {
    name: "H-1",
    certificateIndex: 0x01c00012,
    high: true,
    area: rsaEk(highRange(SHA256), userWithAuth, 0),
  },
  {
    name: "L-1",
    certificateIndex: 0x01c00002,
    high: false,
    area: rsaEk(endorsementPolicy(SHA256), 0, 256),
  },
];

/** Storage root key on P-256 (TCG TPM v2.0 Provisioning Guidance, 7.5.1). */
export const SRK: EccPublic = {
  type: ALG.ECC,
  nameAlg: ALG.SHA256,
  attributes: STORAGE | OBJECT.userWithAuth | OBJECT.noDA,
  policy: EMPTY,
  symmetric: AES128,
  scheme: null,
  curve: CURVE.P256,
  x: new Uint8Array(32),
  y: new Uint8Array(32),
};

const signing = (attributes: number, policy: Uint8Array, x: Uint8Array): EccPublic => ({
  type: ALG.ECC,
  nameAlg: ALG.SHA256,
  attributes: RESIDENT | OBJECT.sign | OBJECT.noDA | attributes,
  policy,
  symmetric: null,
  scheme: ES256,
  curve: CURVE.P256,
  x,
  y: EMPTY,
});

/** A key that signs only what its TPM made: quotes, certifications. `unique` tells one from another. */
export const attestationKey = (unique: Uint8Array): EccPublic =>
  signing(OBJECT.restricted | OBJECT.userWithAuth, EMPTY, unique);

/**
 * A device's signing key: it signs under `policy` only. Its authorization value, which is empty, opens nothing but the
 * admin role, so that it can be certified.
 */
export const policySigningKey = (policy: Uint8Array): EccPublic => signing(0, policy, EMPTY);

/** A signing key with an empty authorization, for comparison with other tools. */
export const plainSigningKey = (): EccPublic => signing(OBJECT.userWithAuth, EMPTY, EMPTY);

/** A sealed blob, opened by `policy` alone, or by its authorization value where `policy` is empty. */
export const sealedBlob = (policy: Uint8Array): SealedPublic => ({
  type: ALG.KEYEDHASH,
  nameAlg: ALG.SHA256,
  attributes:
    OBJECT.fixedTPM | OBJECT.fixedParent | OBJECT.noDA | (policy.length > 0 ? OBJECT.adminWithPolicy : userWithAuth),
  policy,
  unique: EMPTY,
});

/** A key outside every TPM as LoadExternal takes it: whoever it belongs to approves firmware with it. */
export const externalVerifier = (x: Uint8Array, y: Uint8Array): EccPublic => ({
  type: ALG.ECC,
  nameAlg: ALG.SHA256,
  attributes: OBJECT.sign | OBJECT.userWithAuth,
  policy: EMPTY,
  symmetric: null,
  scheme: null,
  curve: CURVE.P256,
  x,
  y,
});

/** A public area without what differs from key to key, so that a key can be compared with its template. */
export function sameTemplate(area: PublicArea, template: PublicArea): boolean {
  if (area.type !== template.type || area.nameAlg !== template.nameAlg || area.attributes !== template.attributes)
    return false;
  const shape = (a: PublicArea): string => {
    if (a.type === ALG.KEYEDHASH) return "";
    const { symmetric, scheme } = a;
    const own = a.type === ALG.RSA ? [a.keyBits, a.exponent === 65_537 ? 0 : a.exponent] : [a.curve];
    return JSON.stringify([symmetric, scheme, own, Buffer.from(a.policy).toString("hex")]);
  };
  return shape(area) === shape(template);
}
