import { createCipheriv, createDecipheriv, createHash, createHmac } from "node:crypto";
import { hashName } from "./structures.ts";

const uint32 = (value: number) => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
};
/** A label with the zero byte that ends it. */
const label = (text: string) => Buffer.from(`${text}\0`);

/** KDFa (Part 1, 11.4.10.2): SP 800-108 counter mode over HMAC. `bits` is a multiple of 8. */
export function kdfa(alg: number, key: Uint8Array, purpose: string, u: Uint8Array, v: Uint8Array, bits: number) {
  const out: Uint8Array[] = [];
  for (let have = 0, i = 1; have * 8 < bits; i++) {
    const mac = createHmac(hashName(alg), key).update(uint32(i)).update(label(purpose));
    const part = mac.update(u).update(v).update(uint32(bits)).digest();
    out.push(part);
    have += part.length;
  }
  return new Uint8Array(Buffer.concat(out).subarray(0, bits / 8));
}

/** KDFe (Part 1, 11.4.10.3): SP 800-56A over the x coordinate of a shared point. */
export function kdfe(alg: number, z: Uint8Array, purpose: string, u: Uint8Array, v: Uint8Array, bits: number) {
  const out: Uint8Array[] = [];
  for (let have = 0, i = 1; have * 8 < bits; i++) {
    const hash = createHash(hashName(alg)).update(uint32(i)).update(z).update(label(purpose));
    const part = hash.update(u).update(v).digest();
    out.push(part);
    have += part.length;
  }
  return new Uint8Array(Buffer.concat(out).subarray(0, bits / 8));
}

/** AES in CFB mode with 128-bit feedback; the key's length chooses AES-128 or AES-256. */
export function aesCfb(key: Uint8Array, iv: Uint8Array, data: Uint8Array, way: "encrypt" | "decrypt"): Uint8Array {
  const name = `aes-${key.length * 8}-cfb`;
  const cipher = way === "encrypt" ? createCipheriv(name, key, iv) : createDecipheriv(name, key, iv);
  return new Uint8Array(Buffer.concat([cipher.update(data), cipher.final()]));
}

export const hmac = (alg: number, key: Uint8Array, ...parts: Uint8Array[]): Uint8Array => {
  const mac = createHmac(hashName(alg), key);
  for (const part of parts) mac.update(part);
  return new Uint8Array(mac.digest());
};
