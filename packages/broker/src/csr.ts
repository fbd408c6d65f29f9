import { createPrivateKey, createPublicKey, sign } from "node:crypto";

/**
 * A certification request (PKCS#10, RFC 2986) of a P-256 key, and certificates out of the answer (PKCS#7 certs-only, RFC 7030,
 * 4.1.3). Written here, in so few lines, because a device measures every file that its agent may load.
 */

const SEQUENCE = 0x30;
const OID = {
  commonName: [0x06, 0x03, 0x55, 0x04, 0x03],
  ecdsaWithSha256: [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
} as const;

function der(tag: number, ...parts: (Uint8Array | readonly number[])[]): Uint8Array {
  const content = Buffer.concat(parts.map((part) => Uint8Array.from(part)));
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return new Uint8Array(Buffer.concat([Uint8Array.of(tag, ...size), content]));
}

/** DER of a request for `commonName`, signed by the key (PKCS#8 PEM) that it is for. */
export function certificationRequest(commonName: string, keyPem: string): Uint8Array {
  const key = createPrivateKey(keyPem);
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  const name = der(
    SEQUENCE,
    der(0x31, der(SEQUENCE, OID.commonName, der(0x0c, new Uint8Array(Buffer.from(commonName))))),
  );
  const info = der(SEQUENCE, [0x02, 0x01, 0x00], name, new Uint8Array(spki), [0xa0, 0x00]);
  const signature = sign("sha256", info, key);
  return der(SEQUENCE, info, der(SEQUENCE, OID.ecdsaWithSha256), der(0x03, [0x00], new Uint8Array(signature)));
}

/** The elements of a DER constructed value's content, each whole. */
function elements(content: Uint8Array): { tag: number; raw: Uint8Array; content: Uint8Array }[] {
  const out: { tag: number; raw: Uint8Array; content: Uint8Array }[] = [];
  for (let at = 0; at < content.length; ) {
    const [tag = 0, first = 0] = content.subarray(at, at + 2);
    const count = first < 0x80 ? 0 : first & 0x7f;
    if (first === 0x80 || count > 3) throw new Error("not DER");
    const start = at + 2 + count;
    let length = count === 0 ? first : 0;
    for (const byte of content.subarray(at + 2, start)) length = length * 256 + byte;
    if (start + length > content.length) throw new Error("it ends too early");
    out.push({ tag, raw: content.subarray(at, start + length), content: content.subarray(start, start + length) });
    at = start + length;
  }
  return out;
}

/** The certificates, as PEM, of a certs-only message; the first is the one that was asked for. */
export function certificatesIn(message: Uint8Array): string[] {
  try {
    const [info] = elements(message);
    const [, explicit] = elements(info!.content);
    const [signedData] = elements(explicit!.content);
    const certificates = elements(signedData!.content).find(({ tag }) => tag === 0xa0);
    return elements(certificates!.content).map(({ raw }) => {
      const lines =
        Buffer.from(raw)
          .toString("base64")
          .match(/.{1,64}/g) ?? [];
      return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
    });
  } catch (error) {
    throw new Error(`the answer holds no certificates: ${(error as Error).message}`, { cause: error });
  }
}
