import { createHash, createPublicKey, type KeyObject, sign } from "node:crypto";

// A self-signed X.509 certificate (RFC 5280) over an Ed25519 key (RFC 8410). It is pinned whole by the party list, so it
// says nothing beyond its key, has no end (RFC 5280 section 4.1.2.5) and is the same bytes whenever it is made again.

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const { length } = body;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Uint8Array.of(tag, ...size), body]);
}

const SEQUENCE = 0x30;
const ED25519 = der(SEQUENCE, Buffer.from("06032b6570", "hex"));
const COMMON_NAME = Buffer.from("0603550403", "hex");
const V3 = der(0xa0, Buffer.from("020102", "hex"));
/** BasicConstraints without CA, critical: it vouches for no other certificate. */
const NO_AUTHORITY = der(0xa3, der(SEQUENCE, der(SEQUENCE, Buffer.from("0603551d130101ff04023000", "hex"))));
const VALIDITY = der(SEQUENCE, der(0x17, Buffer.from("200101000000Z")), der(0x18, Buffer.from("99991231235959Z")));

/** The certificate of an identity key, DER. */
export function certificateOf(identity: KeyObject): Uint8Array {
  const spki = createPublicKey(identity).export({ format: "der", type: "spki" });
  const digest = createHash("sha256").update(spki).digest();
  const commonName = der(0x0c, Buffer.from(`msec privacy manager ${digest.toString("hex", 0, 8)}`));
  const name = der(SEQUENCE, der(0x31, der(SEQUENCE, COMMON_NAME, commonName)));
  const serial = der(0x02, Buffer.from([0x01, ...digest.subarray(0, 15)]));
  const tbs = der(SEQUENCE, V3, serial, ED25519, name, VALIDITY, name, spki, NO_AUTHORITY);
  return new Uint8Array(der(SEQUENCE, tbs, ED25519, der(0x03, Uint8Array.of(0), sign(null, tbs, identity))));
}

/** The form in which TLS takes certificates and keys. */
export function toPem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
