import { z } from "zod";

/** Base64 with padding (RFC 4648 section 4) in its one canonical form. */
export const base64 = (length?: number) =>
  z.string().refine(
    (text) => {
      const bytes = Buffer.from(text, "base64");
      return bytes.toString("base64") === text && (length === undefined || bytes.length === length);
    },
    length === undefined ? "expected base64" : `expected base64 of ${length} bytes`,
  );

/** A public key of a party: X25519, 32 bytes, base64. */
export const publicKey = base64(32);
/** The key of a payload on the chain: 64 bytes, base64. */
export const payloadKey = base64(64);

export const toBase64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
export const fromBase64 = (text: string) => new Uint8Array(Buffer.from(text, "base64"));
