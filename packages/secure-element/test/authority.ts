import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { keyObject, type PublicArea } from "../src/tpm/index.ts";

// A TPM maker's certification authority, written out in DER: every field can be made wrong.

const length = (n: number) => (n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : [0x82, n >> 8, n & 0xff]);
const der = (tag: number, ...parts: Uint8Array[]) => {
  const content = Buffer.concat(parts);
  return Buffer.concat([Uint8Array.of(tag, ...length(content.length)), content]);
};
const sequence = (...parts: Uint8Array[]) => der(0x30, ...parts);
const set = (...parts: Uint8Array[]) => der(0x31, ...parts);
const integer = (n: number) => der(0x02, Uint8Array.of(n));
const octets = (bytes: Uint8Array) => der(0x04, bytes);
const bitString = (bytes: Uint8Array, unused = 0) => der(0x03, Uint8Array.of(unused), bytes);
const TRUE = der(0x01, Uint8Array.of(0xff));
const text = (value: string) => der(0x0c, Buffer.from(value));
function oid(dotted: string) {
  const [a = 0, b = 0, ...rest] = dotted.split(".").map(Number);
  const arcs = [40 * a + b, ...rest].flatMap((arc) => {
    const out = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) out.unshift(0x80 | (left & 0x7f));
    return out;
  });
  return der(0x06, Uint8Array.from(arcs));
}
const time = (ms: number) => der(0x18, Buffer.from(new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "")));
const attribute = (type: string, value: string) => sequence(oid(type), text(value));
const name = (common: string) => sequence(set(attribute("2.5.4.3", common)));
const extension = (id: string, critical: boolean, value: Uint8Array) =>
  sequence(...[oid(id), ...(critical ? [TRUE] : []), octets(value)]);

const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));
const YEAR = 365 * 86_400_000;

export interface EkOptions {
  serial?: number;
  fromMs?: number;
  toMs?: number;
  /** Each in an extension of its own, so that two are one too many. */
  purposes?: string[];
  usage?: number;
  tpm?: boolean;
  critical?: string;
  namesCrl?: boolean;
  /** Says of itself that it is an authority's. */
  authority?: boolean;
}

export interface AuthorityOptions {
  authority?: boolean;
  toMs?: number;
  /** First byte of KeyUsage; keyCertSign and cRLSign if left out. */
  usage?: number;
  /** Authorities that may follow. */
  pathLength?: number;
}

export class Authority {
  readonly certificate: Uint8Array;
  readonly #key: KeyObject;
  #name: Uint8Array;

  constructor(common: string, issuer?: Authority, options: AuthorityOptions = {}) {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#key = privateKey;
    this.#name = name(common);
    const { authority = true, toMs = Date.now() + YEAR, usage = 0x06, pathLength } = options;
    const limit = pathLength === undefined ? [] : [integer(pathLength)];
    this.certificate = (issuer ?? this).#issue({
      serial: 7,
      subject: this.#name,
      spki: publicKey.export({ format: "der", type: "spki" }),
      fromMs: Date.now() - YEAR,
      toMs,
      extensions: [
        extension("2.5.29.19", true, sequence(...(authority ? [TRUE] : []), ...limit)),
        extension("2.5.29.15", true, bitString(Uint8Array.of(usage), 1)),
      ],
    });
  }

  /** From now on issues under another name than its certificate's. */
  rename(common: string): this {
    this.#name = name(common);
    return this;
  }

  /** An endorsement key's certificate, of the profile unless told otherwise. */
  ek(area: PublicArea, options: EkOptions = {}): Uint8Array {
    const directory = sequence(
      set(attribute("2.23.133.2.1", "id:00001014")),
      set(attribute("2.23.133.2.2", "test")),
      set(attribute("2.23.133.2.3", "id:0001")),
    );
    const usage = options.usage ?? (area.type === 1 ? 0x20 : 0x08);
    return this.#issue({
      serial: options.serial ?? 1,
      subject: sequence(),
      spki: keyObject(area).export({ format: "der", type: "spki" }),
      fromMs: options.fromMs ?? Date.now() - YEAR,
      toMs: options.toMs ?? Date.now() + YEAR,
      extensions: [
        extension("2.5.29.19", true, sequence(...(options.authority ? [TRUE] : []))),
        extension("2.5.29.15", true, bitString(Uint8Array.of(usage), 3)),
        ...(options.purposes ?? ["2.23.133.8.1"]).map((p) => extension("2.5.29.37", false, sequence(oid(p)))),
        ...(options.tpm === false ? [] : [extension("2.5.29.17", true, sequence(der(0xa4, directory)))]),
        ...(options.critical ? [extension(options.critical, true, integer(1))] : []),
        ...(options.namesCrl ? [extension("2.5.29.31", false, sequence())] : []),
      ],
    });
  }

  crl(serials: number[], toMs = Date.now() + YEAR): Uint8Array {
    const entries = serials.map((serial) => sequence(integer(serial), time(Date.now() - 1000)));
    const list = entries.length > 0 ? [sequence(...entries)] : [];
    return this.#signed(sequence(integer(1), ECDSA_SHA256, this.#name, time(Date.now() - YEAR), time(toMs), ...list));
  }

  #issue(c: {
    serial: number;
    subject: Uint8Array;
    spki: Uint8Array;
    fromMs: number;
    toMs: number;
    extensions: Uint8Array[];
  }): Uint8Array {
    const validity = sequence(time(c.fromMs), time(c.toMs));
    const version = der(0xa0, integer(2));
    const extensions = der(0xa3, sequence(...c.extensions));
    return this.#signed(
      sequence(version, integer(c.serial), ECDSA_SHA256, this.#name, validity, c.subject, c.spki, extensions),
    );
  }

  #signed(tbs: Uint8Array): Uint8Array {
    return new Uint8Array(sequence(tbs, ECDSA_SHA256, bitString(sign("sha256", tbs, this.#key))));
  }
}

/** A firmware maker's key. */
export function firmwareMaker() {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  const approve = (message: Uint8Array) =>
    new Uint8Array(sign("sha256", message, { key: privateKey, dsaEncoding: "ieee-p1363" }));
  return { spki, approve };
}
