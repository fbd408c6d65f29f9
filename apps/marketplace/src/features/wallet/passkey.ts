import { fromBase64, toBase64 } from "@msec/core";

// WebAuthn level 3, extension `prf`: a passkey gives a secret for a salt, to whoever uses it in person.

type WithPrf = { prf?: { enabled?: boolean; results?: { first?: BufferSource } } };

const bytes = (source: BufferSource): Uint8Array =>
  source instanceof ArrayBuffer
    ? new Uint8Array(source)
    : new Uint8Array(source.buffer, source.byteOffset, source.byteLength);

/** Whether this browser knows passkeys at all; whether one gives secrets shows when it is made. */
export const hasPasskeys = () => typeof window !== "undefined" && "PublicKeyCredential" in window;

/** Makes a passkey; undefined where it can't give secrets. */
export async function makePasskey(name: string): Promise<string | undefined> {
  const made = (await navigator.credentials.create({
    publicKey: {
      challenge: crypto.getRandomValues(new Uint8Array(32)),
      rp: { name: "M-Sec" },
      user: { id: crypto.getRandomValues(new Uint8Array(16)), name, displayName: name },
      pubKeyCredParams: [
        { type: "public-key", alg: -7 },
        { type: "public-key", alg: -257 },
      ],
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
      extensions: { prf: {} } as AuthenticationExtensionsClientInputs,
    },
  })) as PublicKeyCredential | null;
  const enabled = (made?.getClientExtensionResults() as WithPrf | undefined)?.prf?.enabled;
  return made && enabled ? toBase64(new Uint8Array(made.rawId)) : undefined;
}

/** The secret that a passkey gives for a salt. */
export async function passkeySecret(id: string, salt: Uint8Array): Promise<Uint8Array> {
  const used = (await navigator.credentials.get({
    publicKey: {
      challenge: crypto.getRandomValues(new Uint8Array(32)),
      allowCredentials: [{ type: "public-key", id: new Uint8Array(fromBase64(id)) }],
      userVerification: "required",
      extensions: { prf: { eval: { first: new Uint8Array(salt) } } } as AuthenticationExtensionsClientInputs,
    },
  })) as PublicKeyCredential | null;
  const secret = (used?.getClientExtensionResults() as WithPrf | undefined)?.prf?.results?.first;
  if (!secret) throw new Error("the passkey gave no secret");
  return bytes(secret);
}
