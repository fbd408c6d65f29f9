import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "@msec/secure-element";
import { putSecret, secretFile } from "@msec/service";
import * as x509 from "@peculiar/x509";

/**
 * A small certification authority (RFC 5280) for one broker: P-256, its key sealed at rest, short-lived client certificates, a
 * revocation list that is made anew at every revocation. What was issued is kept until it is over.
 */

const EC = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const CRL_NUMBER = "2.5.29.20";
const DAY_MS = 86_400_000;
const AUTHORITY_MS = 10 * 365 * DAY_MS;
const SERVER_MS = 90 * DAY_MS;
/** A list that is older than this lets nobody in. */
const CRL_MS = DAY_MS;
/** Certificates begin a little earlier: clocks differ. */
const SKEW_MS = 60_000;

/** A client certificate that is not over. */
export interface Issued {
  serial: string;
  /** Device id, or address of an operator. */
  subject: string;
  /** The registry's key of the device when it was issued. */
  keyHash?: string;
  untilMs: number;
  revokedAtMs?: number;
}

interface Ledger {
  crlNumber: number;
  issued: Issued[];
}

x509.cryptoProvider.set(webcrypto as unknown as Crypto);

export class Authority {
  readonly #folder: string;
  readonly #certificate: x509.X509Certificate;
  readonly #key: CryptoKey;
  #ledger: Ledger;
  #saving: Promise<unknown> = Promise.resolve();

  private constructor(folder: string, certificate: x509.X509Certificate, key: CryptoKey, ledger: Ledger) {
    this.#folder = folder;
    this.#certificate = certificate;
    this.#key = key;
    this.#ledger = ledger;
  }

  /** Opens the authority of a folder, making it first where there is none. A lost half is never replaced beside the other. */
  static async open(folder: string, name: string): Promise<Authority> {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const at = join(folder, "ca.crt");
    if (existsSync(at) !== existsSync(join(folder, "ca.sealed")))
      throw new Error(`${folder} holds only half of an authority (ca.crt, ca.sealed): restore both from one backup`);
    if (!existsSync(at)) await make(folder, at, name);
    const certificate = new x509.X509Certificate(readFileSync(at, "utf8"));
    const key = await webcrypto.subtle.importKey("pkcs8", Buffer.from(secretFile(folder, "ca")), EC, false, ["sign"]);
    const issued = join(folder, "issued.json");
    const ledger = existsSync(issued)
      ? (JSON.parse(readFileSync(issued, "utf8")) as Ledger)
      : { crlNumber: 0, issued: [] };
    return new Authority(folder, certificate, key as CryptoKey, ledger);
  }

  get pem(): string {
    return `${this.#certificate.toString("pem")}\n`;
  }

  /** What `/cacerts` gives: a certs-only PKCS#7 of this authority (RFC 7030, 4.1.3). */
  get certificates(): Uint8Array {
    return certsOnly([this.#certificate]);
  }

  /** Client certificates that are good now. */
  valid(nowMs: number): Issued[] {
    return this.#ledger.issued.filter(({ untilMs, revokedAtMs }) => untilMs > nowMs && revokedAtMs === undefined);
  }

  /** Issues a client certificate to whoever has been checked already. It is noted before it is given away. */
  async issue(
    subject: string,
    spki: Uint8Array,
    seconds: number,
    nowMs: number,
    keyHash?: string,
  ): Promise<{ certificate: x509.X509Certificate; message: Uint8Array }> {
    const untilMs = nowMs + seconds * 1000;
    const certificate = await this.#create(subject, spki, nowMs, untilMs, CLIENT_AUTH, []);
    const note: Issued = { serial: certificate.serialNumber, subject, ...(keyHash ? { keyHash } : {}), untilMs };
    // What is over a day ago can be in no list that still counts.
    const kept = this.#ledger.issued.filter((i) => i.untilMs + DAY_MS > nowMs);
    await this.#save({ ...this.#ledger, issued: [...kept, note] });
    return { certificate, message: certsOnly([certificate]) };
  }

  /** A certificate of a server, or of a client that is part of the service and never revoked. */
  async internal(subject: string, spki: Uint8Array, names: string[], nowMs: number): Promise<string> {
    const use = names.length > 0 ? SERVER_AUTH : CLIENT_AUTH;
    const certificate = await this.#create(subject, spki, nowMs, nowMs + SERVER_MS, use, names);
    return `${certificate.toString("pem")}\n`;
  }

  /** Revokes what `which` chooses; returns the subjects. {@link revocationList} says so from then on. */
  async revoke(which: (issued: Issued) => boolean, nowMs: number): Promise<string[]> {
    const subjects = new Set<string>();
    const issued = this.#ledger.issued.map((one) => {
      if (one.revokedAtMs !== undefined || one.untilMs <= nowMs || !which(one)) return one;
      subjects.add(one.subject);
      return { ...one, revokedAtMs: nowMs };
    });
    if (subjects.size > 0) await this.#save({ ...this.#ledger, issued });
    return [...subjects];
  }

  /** PEM of the list as of now, under a number that only rises; good for a day. */
  async revocationList(nowMs: number): Promise<string> {
    const crlNumber = this.#ledger.crlNumber + 1;
    await this.#save({ ...this.#ledger, crlNumber });
    const reason = x509.X509CrlReason.privilegeWithdrawn;
    const crl = await x509.X509CrlGenerator.create({
      issuer: this.#certificate.subject,
      thisUpdate: new Date(nowMs - SKEW_MS),
      nextUpdate: new Date(nowMs + CRL_MS),
      entries: this.#ledger.issued.flatMap(({ serial, revokedAtMs }) =>
        revokedAtMs === undefined ? [] : [{ serialNumber: serial, revocationDate: new Date(revokedAtMs), reason }],
      ),
      extensions: [
        new x509.Extension(CRL_NUMBER, false, integer(crlNumber)),
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate),
      ],
      signingAlgorithm: SIGNING,
      signingKey: this.#key,
    });
    // The library writes a heading that OpenSSL does not know.
    return crl
      .toString("pem")
      .replace(/(BEGIN|END) CRL/g, "$1 X509 CRL")
      .concat("\n");
  }

  async #create(subject: string, spki: Uint8Array, nowMs: number, untilMs: number, use: string, names: string[]) {
    const publicKey = new x509.PublicKey(Uint8Array.from(spki));
    return x509.X509CertificateGenerator.create({
      serialNumber: serial(),
      subject: [{ CN: [subject] }],
      issuer: this.#certificate.subject,
      notBefore: new Date(nowMs - SKEW_MS),
      notAfter: new Date(untilMs),
      publicKey,
      signingKey: this.#key,
      signingAlgorithm: SIGNING,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([use]),
        await x509.SubjectKeyIdentifierExtension.create(publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate),
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names.map(alternative))] : []),
      ],
    });
  }

  /** One change after the other, each on the disk before it counts. */
  #save(ledger: Ledger): Promise<void> {
    this.#ledger = ledger;
    const text = `${JSON.stringify(ledger, undefined, 2)}\n`;
    const saved = this.#saving.then(() => writeFileAtomic(join(this.#folder, "issued.json"), text));
    this.#saving = saved.catch(() => undefined);
    return saved;
  }
}

/** 16 random bytes, positive: a serial number that nobody can guess (RFC 5280, 4.1.2.2). */
function serial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

/** DER of a positive INTEGER below 2^48. */
function integer(value: number): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(value, 0, 6);
  const first = bytes.findIndex((byte) => byte !== 0);
  const shortest = bytes.subarray((bytes[first] as number) >= 0x80 ? first - 1 : first);
  return Uint8Array.of(0x02, shortest.length, ...shortest);
}

const alternative = (name: string) => ({
  type: /^[\d.]+$|:/.test(name) ? ("ip" as const) : ("dns" as const),
  value: name,
});

const certsOnly = (certificates: x509.X509Certificate[]): Uint8Array =>
  new Uint8Array(new x509.X509Certificates(certificates).export("raw"));

async function make(folder: string, at: string, name: string): Promise<void> {
  const keys = (await webcrypto.subtle.generateKey(EC, true, ["sign", "verify"])) as CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: [{ CN: [name] }],
    notBefore: new Date(Date.now() - SKEW_MS),
    notAfter: new Date(Date.now() + AUTHORITY_MS),
    signingAlgorithm: SIGNING,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  putSecret(folder, "ca", new Uint8Array(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)));
  await writeFileAtomic(at, `${certificate.toString("pem")}\n`, 0o644);
}

/** Reads a PKCS#10 request (DER) and checks that it is signed by the P-256 key that it is for. */
export async function readRequest(request: Uint8Array): Promise<{ name: string; spki: Uint8Array }> {
  const csr = new x509.Pkcs10CertificateRequest(Buffer.from(request));
  if (!(await csr.verify())) throw new Error("the request is not signed by the key that it is for");
  const [name, ...more] = csr.subjectName.getField("CN");
  if (name === undefined || more.length > 0) throw new Error("the request must name one subject (CN)");
  return { name, spki: new Uint8Array(csr.publicKey.rawData) };
}
