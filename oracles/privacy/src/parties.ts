import { createHash, type KeyObject, sign, verify, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { z } from "zod";
import { certificateOf } from "./certificate.ts";
import { base64, publicKey, toBase64 } from "./encoding.ts";
import { PrivacyError } from "./errors.ts";

/** The entry by which the others know a manager. */
export const partySchema = z.strictObject({
  name: z.string().min(1).max(64),
  /** Where the others reach its manager. */
  url: z.url({ protocol: /^https$/ }),
  /** The certificate that it shows, DER. */
  certificate: base64(),
  /** Its keys, to which payloads are sealed. */
  keys: z.array(publicKey).min(1),
  /** By the certificate's key over the rest, so that nobody can lend its name to other keys. */
  signature: base64(64),
});
const list = z.array(partySchema).min(1);

export type Party = z.infer<typeof partySchema>;

const signed = ({ name, url, certificate, keys }: Omit<Party, "signature">) =>
  Buffer.from(JSON.stringify(["msec.privacy.party/1", name, url, certificate, keys]));

/** The entry by which the others know a manager; it holds nothing secret. */
export function partyEntry(name: string, url: string, identity: KeyObject, keys: string[]): Party {
  const entry = { name, url, certificate: toBase64(certificateOf(identity)), keys };
  return { ...entry, signature: toBase64(sign(null, signed(entry), identity)) };
}

/** Who takes part: a file that every organisation holds itself and compares with the others by its digest. */
export class Parties {
  readonly all: readonly Party[];
  /** SHA-256 of the file, hex. */
  readonly digest: string;
  readonly self: Party;
  readonly #byKey = new Map<string, Party>();
  readonly #byFingerprint = new Map<string, Party>();

  private constructor(all: Party[], digest: string, own: string) {
    this.all = all;
    this.digest = digest;
    for (const [i, entry] of all.entries()) {
      if (all.findIndex(({ name }) => name === entry.name) !== i)
        throw new Error(`two entries are named ${entry.name}`);
      const certificate = new X509Certificate(Buffer.from(entry.certificate, "base64"));
      if (!verify(null, signed(entry), certificate.publicKey, Buffer.from(entry.signature, "base64")))
        throw new Error(`the entry of ${entry.name} is not signed by its certificate: ask it for the entry again`);
      if (this.#byFingerprint.has(certificate.fingerprint256))
        throw new Error(`${entry.name} has the certificate of another party: each makes its own with keygen`);
      this.#byFingerprint.set(certificate.fingerprint256, entry);
      for (const key of entry.keys) {
        const other = this.#byKey.get(key);
        if (other) throw new Error(`the key ${key} is in the entries of ${other.name} and ${entry.name}`);
        this.#byKey.set(key, entry);
      }
    }
    const self = all.find((entry) => entry.certificate === own);
    if (!self) throw new Error("no entry has this manager's certificate: add the one that keygen prints");
    this.self = self;
  }

  /** Reads the list; refuses one that others may write, and one in which a name, key or certificate is double or wrong. */
  static read(file: string, identity: KeyObject, ownKeys: readonly string[]): Parties {
    try {
      if ((statSync(file).mode & 0o022) !== 0) throw new Error("others may write it: chmod go-w");
      const text = readFileSync(file);
      const result = list.safeParse(JSON.parse(text.toString("utf8")));
      if (!result.success)
        throw new Error(result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "));
      const own = toBase64(certificateOf(identity));
      const parties = new Parties(result.data, createHash("sha256").update(text).digest("hex"), own);
      if ([...parties.self.keys].sort().join() !== [...ownKeys].sort().join())
        throw new Error(`the entry of ${parties.self.name} does not hold this manager's keys: put in keygen's`);
      return parties;
    } catch (error) {
      throw new Error(`the party list ${file} is not usable: ${(error as Error).message}`);
    }
  }

  get others(): Party[] {
    return this.all.filter((entry) => entry !== this.self);
  }

  get keys(): string[] {
    return [...this.#byKey.keys()];
  }

  /** Whose key this is; a 404 where it is nobody's. */
  ofKey(key: string): Party {
    const found = this.#byKey.get(key);
    if (!found) throw new PrivacyError(404, `Recipient not found for key: ${key}: it is in no entry of the party list`);
    return found;
  }

  /** Whose certificate this is, by SHA-256 fingerprint as OpenSSL writes it. */
  ofCertificate(fingerprint256: string): Party | undefined {
    return this.#byFingerprint.get(fingerprint256);
  }
}
