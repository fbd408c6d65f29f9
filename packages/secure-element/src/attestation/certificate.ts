import { verify, X509Certificate } from "node:crypto";
import { equal, toHex } from "@msec/core";
import { bits, children, type Der, expect, oid, readOne, TAG, time, unsigned } from "./der.ts";
import { AttestationError, demand } from "./errors.ts";

/** Certificates of endorsement keys (TCG EK Credential Profile 2.x, section 3; RFC 5280) and their makers' chains. */

const OID = {
  rsa: "1.2.840.113549.1.1.1",
  rsaOaep: "1.2.840.113549.1.1.7",
  ec: "1.2.840.10045.2.1",
  keyUsage: "2.5.29.15",
  subjectAlternativeName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  crlDistributionPoints: "2.5.29.31",
  extendedKeyUsage: "2.5.29.37",
  ekCertificate: "2.23.133.8.1",
  manufacturer: "2.23.133.2.1",
  model: "2.23.133.2.2",
  version: "2.23.133.2.3",
} as const;

/** Extensions that are read here; any other that is critical makes a certificate unusable. */
const KNOWN: ReadonlySet<string> = new Set([
  OID.keyUsage,
  OID.subjectAlternativeName,
  OID.basicConstraints,
  OID.extendedKeyUsage,
]);

/** Hash of a signature algorithm. */
const SIGNATURES: Record<string, string> = {
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512",
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.10045.4.3.4": "sha512",
};

/** Bits of KeyUsage (RFC 5280, 4.2.1.3), as they stand in its first byte. */
const USAGE = { keyEncipherment: 0x20, keyAgreement: 0x08, keyCertSign: 0x04, cRLSign: 0x02 } as const;

const MAX_CHAIN = 6;

export interface Certificate {
  der: Uint8Array;
  serial: string;
  issuer: Uint8Array;
  subject: Uint8Array;
  fromMs: number;
  toMs: number;
  /** The key: modulus and exponent of RSA, or the point of an elliptic curve. */
  key:
    | { kind: "rsa"; modulus: Uint8Array; exponent: Uint8Array }
    | { kind: "ec"; point: Uint8Array }
    | { kind: "other" };
  isAuthority: boolean;
  pathLength: number | undefined;
  /** First byte of KeyUsage, undefined where the extension is missing. */
  usage: number | undefined;
  purposes: string[];
  /** TPM manufacturer, model and version of the subject's alternative directory name. */
  tpm: { manufacturer: string; model: string; version: string } | undefined;
  unknownCritical: string | undefined;
  namesCrl: boolean;
}

export function parseCertificate(der: Uint8Array): Certificate {
  const [tbs] = children(readOne(der, TAG.SEQUENCE));
  const fields = children(tbs);
  // The version is optional; certificates with extensions have it.
  if (fields[0]?.tag === 0xa0) fields.shift();
  const [serial, , issuer, validity, subject, spki, ...rest] = fields;
  const [from, to] = children(validity);
  const list = rest.find((f) => f.tag === 0xa3);
  const extensions = new Map<string, { critical: boolean; value: Uint8Array }>();
  for (const entry of list ? children(children(list, 0xa3)[0]) : []) {
    const parts = children(entry);
    const id = oid(parts[0]);
    demand(!extensions.has(id), "certificate", `the certificate has extension ${id} twice: it can't be judged`, id);
    const value = expect(parts.at(-1), TAG.OCTET_STRING).content;
    extensions.set(id, { critical: parts.length === 3 && parts[1]?.content[0] === 0xff, value });
  }
  const value = (id: string) => extensions.get(id)?.value;
  const constraints = value(OID.basicConstraints);
  const limits = constraints ? children(readOne(constraints, TAG.SEQUENCE)) : [];
  const usage = value(OID.keyUsage);
  const purposes = value(OID.extendedKeyUsage);
  const names = value(OID.subjectAlternativeName);
  const length = limits.find((e) => e.tag === TAG.INTEGER);
  return {
    der,
    serial: toHex(expect(serial, TAG.INTEGER).content),
    issuer: expect(issuer, TAG.SEQUENCE).raw,
    subject: expect(subject, TAG.SEQUENCE).raw,
    fromMs: time(from),
    toMs: time(to),
    key: keyOf(spki),
    isAuthority: limits[0]?.tag === TAG.BOOLEAN && limits[0].content[0] === 0xff,
    pathLength: length ? Number(toHex(unsigned(length))) : undefined,
    usage: usage ? readOne(usage, TAG.BIT_STRING).content[1] : undefined,
    purposes: purposes ? children(readOne(purposes, TAG.SEQUENCE)).map(oid) : [],
    tpm: names ? tpmOf(names) : undefined,
    unknownCritical: [...extensions].find(([id, e]) => e.critical && !KNOWN.has(id))?.[0],
    namesCrl: extensions.has(OID.crlDistributionPoints),
  };
}

function keyOf(spki: Der | undefined): Certificate["key"] {
  const [algorithm, key] = children(spki);
  const id = oid(children(algorithm)[0]);
  if (id === OID.ec) return { kind: "ec", point: bits(key) };
  // Some makers say in the certificate that the key is for OAEP; OpenSSL does not read such keys.
  if (id !== OID.rsa && id !== OID.rsaOaep) return { kind: "other" };
  const [modulus, exponent] = children(readOne(bits(key), TAG.SEQUENCE));
  return { kind: "rsa", modulus: unsigned(modulus), exponent: unsigned(exponent) };
}

/** Directory name of the SAN: a SEQUENCE of SETs, with one attribute each or all in one SET. */
function tpmOf(names: Uint8Array): Certificate["tpm"] {
  const directory = children(readOne(names, TAG.SEQUENCE)).find((name) => name.tag === 0xa4);
  if (!directory) return undefined;
  const attributes = new Map<string, string>();
  for (const set of children(children(directory, 0xa4)[0]))
    for (const attribute of children(set, TAG.SET)) {
      const [type, text] = children(attribute);
      attributes.set(oid(type), Buffer.from(text?.content ?? []).toString("utf8"));
    }
  const [manufacturer, model, version] = [OID.manufacturer, OID.model, OID.version].map((id) => attributes.get(id));
  return manufacturer && model && version ? { manufacturer, model, version } : undefined;
}

/** Who a registrar trusts to say what a TPM is. All DER. */
export interface TrustStore {
  roots: Uint8Array[];
  intermediates: Uint8Array[];
  crls: Uint8Array[];
}

/**
 * Refuses an endorsement key's certificate that is not of the profile, or does not lead to a root of the store by
 * certificates that are in force and not revoked. Returns it.
 */
export function judgeEkCertificate(der: Uint8Array, store: TrustStore, atMs: number): Certificate {
  const leaf = parseCertificate(der);
  demand(
    !leaf.isAuthority && leaf.purposes.includes(OID.ekCertificate),
    "certificate",
    `the certificate is not one of an endorsement key: it lacks the purpose ${OID.ekCertificate}, or is an authority's`,
    leaf.serial,
  );
  const needed = leaf.key.kind === "rsa" ? USAGE.keyEncipherment : USAGE.keyAgreement;
  demand(
    leaf.usage !== undefined && (leaf.usage & needed) !== 0,
    "certificate",
    "the certificate does not allow its key to receive secrets: it is not of the profile",
    leaf.usage,
  );
  demand(
    leaf.tpm !== undefined,
    "certificate",
    "the certificate does not say which TPM it is for: manufacturer, model and version are missing",
    leaf.serial,
  );
  const intermediates = store.intermediates.map(parseCertificate);
  const roots = store.roots.map(parseCertificate);
  let current = leaf;
  for (let depth = 0; depth < MAX_CHAIN; depth++) {
    demandInForce(current, atMs);
    const fits = (candidate: Certificate) => mayHaveSigned(candidate, current, depth);
    const root = roots.find(fits);
    const issuer = root ?? intermediates.find(fits);
    if (!issuer)
      throw new AttestationError(
        "unknown-maker",
        "the certificate leads to no maker in this registrar's store: add the maker's root after checking it, or refuse the device",
        leaf.tpm,
      );
    demandNotRevoked(current, issuer, store.crls, atMs);
    if (root) {
      demandInForce(root, atMs);
      return leaf;
    }
    current = issuer;
  }
  throw new AttestationError("certificate", `the certificate's chain is longer than ${MAX_CHAIN}`, leaf.serial);
}

function demandInForce(certificate: Certificate, atMs: number): void {
  demand(
    certificate.unknownCritical === undefined,
    "certificate",
    `the certificate has a critical extension that is not known here: ${certificate.unknownCritical}`,
    certificate.unknownCritical,
  );
  demand(
    certificate.fromMs <= atMs && atMs <= certificate.toMs,
    "expired",
    "the certificate is not in force: it has expired or has not begun; check the clock, or ask the maker for a new one",
    [certificate.fromMs, certificate.toMs],
  );
}

function mayHaveSigned(issuer: Certificate, subject: Certificate, depth: number): boolean {
  if (!equal(issuer.subject, subject.issuer) || !issuer.isAuthority) return false;
  if (issuer.usage !== undefined && (issuer.usage & USAGE.keyCertSign) === 0) return false;
  // The number of authorities that may follow this one.
  if (issuer.pathLength !== undefined && depth > issuer.pathLength) return false;
  try {
    return new X509Certificate(subject.der).verify(new X509Certificate(issuer.der).publicKey);
  } catch {
    return false;
  }
}

/** A maker's own list counts only if its authority signed it and it is in force. */
function demandNotRevoked(certificate: Certificate, issuer: Certificate, crls: Uint8Array[], atMs: number): void {
  const lists = crls.map(parseCrl).filter((crl) => equal(crl.issuer, issuer.subject) && signedBy(crl, issuer));
  const known = lists.filter((crl) => crl.fromMs <= atMs && atMs <= crl.toMs);
  demand(
    known.length > 0 || (lists.length === 0 && !certificate.namesCrl),
    "revocation-unknown",
    "there is no list of revoked certificates of this maker that is in force: fetch the newest one into the store",
    certificate.serial,
  );
  demand(
    !lists.some((crl) => crl.revoked.has(certificate.serial)),
    "revoked",
    "the maker has revoked this certificate: the TPM is not to be trusted",
    certificate.serial,
  );
}

interface Crl {
  tbs: Uint8Array;
  algorithm: string;
  signature: Uint8Array;
  issuer: Uint8Array;
  fromMs: number;
  toMs: number;
  revoked: Set<string>;
}

/** CertificateList (RFC 5280, 5.1). One without nextUpdate is never in force. */
export function parseCrl(der: Uint8Array): Crl {
  const [tbs, algorithm, signature] = children(readOne(der, TAG.SEQUENCE));
  const fields = children(tbs);
  if (fields[0]?.tag === TAG.INTEGER) fields.shift();
  const [, issuer, from, ...rest] = fields;
  const isTime = (e: Der | undefined) => e?.tag === TAG.UTC_TIME || e?.tag === TAG.GENERALIZED_TIME;
  const to = isTime(rest[0]) ? rest.shift() : undefined;
  const entries = rest.find((e) => e.tag === TAG.SEQUENCE);
  return {
    tbs: expect(tbs, TAG.SEQUENCE).raw,
    algorithm: oid(children(algorithm)[0]),
    signature: bits(signature),
    issuer: expect(issuer, TAG.SEQUENCE).raw,
    fromMs: time(from),
    toMs: to ? time(to) : -Infinity,
    revoked: new Set(entries ? children(entries).map((e) => toHex(expect(children(e)[0], TAG.INTEGER).content)) : []),
  };
}

function signedBy(crl: Crl, issuer: Certificate): boolean {
  const hash = SIGNATURES[crl.algorithm];
  if (!hash || (issuer.usage !== undefined && (issuer.usage & USAGE.cRLSign) === 0)) return false;
  try {
    return verify(hash, crl.tbs, new X509Certificate(issuer.der).publicKey, crl.signature);
  } catch {
    return false;
  }
}
