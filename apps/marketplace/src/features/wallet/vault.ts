import { fromBase64, fromHex, type Hex, toBase64, toHex } from "@msec/core";

/** A private key as it lies in this browser or in a file: useless without passphrase or passkey. */
export interface Vault {
  version: 1;
  address: Hex;
  /** How the wrapping key is made. */
  kdf:
    | { name: "PBKDF2"; hash: "SHA-256"; iterations: number; salt: string }
    | { name: "passkey"; id: string; salt: string };
  /** AES-256-GCM over the 32 bytes of the key, with the address as additional data. */
  iv: string;
  wrapped: string;
}

/** OWASP's figure for PBKDF2-HMAC-SHA256 (Password Storage Cheat Sheet, 2023). */
const ITERATIONS = 600_000;
export const SHORTEST_PASSPHRASE = 12;

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

async function wrappingKey(secret: Uint8Array, kdf: Vault["kdf"]): Promise<CryptoKey> {
  const salt = new Uint8Array(fromBase64(kdf.salt));
  const base = await crypto.subtle.importKey(
    "raw",
    new Uint8Array(secret),
    kdf.name === "PBKDF2" ? "PBKDF2" : "HKDF",
    false,
    ["deriveKey"],
  );
  const derivation =
    kdf.name === "PBKDF2"
      ? { name: "PBKDF2", hash: kdf.hash, iterations: kdf.iterations, salt }
      : { name: "HKDF", hash: "SHA-256", salt, info: new TextEncoder().encode("msec.vault") };
  return crypto.subtle.deriveKey(derivation, base, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

/** Wraps a key under a passphrase, or under the secret that a passkey gives for `passkey.salt` (WebAuthn PRF). */
export async function seal(
  key: Hex,
  address: Hex,
  secret: Uint8Array,
  passkey?: { id: string; salt: Uint8Array },
): Promise<Vault> {
  const kdf: Vault["kdf"] = passkey
    ? { name: "passkey", id: passkey.id, salt: toBase64(passkey.salt) }
    : { name: "PBKDF2", hash: "SHA-256", iterations: ITERATIONS, salt: toBase64(random(16)) };
  const iv = random(12);
  const wrapped = await crypto.subtle.encrypt(
    { name: "AES-GCM", iv, additionalData: new TextEncoder().encode(address) },
    await wrappingKey(secret, kdf),
    new Uint8Array(fromHex(key)),
  );
  return { version: 1, address, kdf, iv: toBase64(iv), wrapped: toBase64(new Uint8Array(wrapped)) };
}

/** The key, or undefined where passphrase or passkey is another. */
export async function open(vault: Vault, secret: Uint8Array): Promise<Hex | undefined> {
  try {
    const key = await crypto.subtle.decrypt(
      {
        name: "AES-GCM",
        iv: new Uint8Array(fromBase64(vault.iv)),
        additionalData: new TextEncoder().encode(vault.address),
      },
      await wrappingKey(secret, vault.kdf),
      new Uint8Array(fromBase64(vault.wrapped)),
    );
    return toHex(new Uint8Array(key));
  } catch {
    return undefined;
  }
}

/** A vault from a file; throws where it is none. */
export function parseVault(text: string): Vault {
  const vault = JSON.parse(text) as Partial<Vault>;
  const texts = [vault.iv, vault.wrapped, vault.kdf?.salt];
  if (
    vault.version !== 1 ||
    !/^0x[0-9a-f]{40}$/.test(vault.address ?? "") ||
    !texts.every((t) => typeof t === "string")
  )
    throw new Error("not a key file of this site");
  return vault as Vault;
}
