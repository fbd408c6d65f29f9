import { createECDH, constants, publicEncrypt, randomBytes } from "node:crypto";
import { encode } from "./codec.ts";
import { ALG, CURVE } from "./constants.ts";
import { TpmError } from "./errors.ts";
import { aesCfb, hmac, kdfa, kdfe } from "./kdf.ts";
import { emptyPolicy } from "./policy.ts";
import { hashName, keyObject, type PublicArea } from "./structures.ts";

const EMPTY = new Uint8Array();
const BITS = (hash: number) => 8 * emptyPolicy(hash).length;

/**
 * A fresh seed shared with whoever holds a decryption key in a TPM (Part 1, annex B.10.3 for RSA, C.6.1 for ECC).
 * `purpose` is IDENTITY for credentials and SECRET for the salt of sessions.
 */
export function sharedSeed(
  area: PublicArea,
  purpose: "IDENTITY" | "SECRET",
): { seed: Uint8Array; encrypted: Uint8Array } {
  if (area.type === ALG.RSA) {
    const seed = new Uint8Array(randomBytes(BITS(area.nameAlg) / 8));
    const encrypted = publicEncrypt(
      {
        key: keyObject(area),
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: hashName(area.nameAlg),
        oaepLabel: Buffer.from(`${purpose}\0`),
      },
      seed,
    );
    return { seed, encrypted: new Uint8Array(encrypted) };
  }
  if (area.type !== ALG.ECC) throw new TpmError("malformed", "a secret can be shared with an RSA or ECC key only");
  // Refuses a point that is not on the curve.
  keyObject(area);
  const size = area.curve === CURVE.P384 ? 48 : 32;
  const filled = (value: Uint8Array) => new Uint8Array(Buffer.concat([Buffer.alloc(size - value.length), value]));
  const [x, y] = [filled(area.x), filled(area.y)];
  const ephemeral = createECDH(area.curve === CURVE.P384 ? "secp384r1" : "prime256v1");
  const point = ephemeral.generateKeys();
  const z = ephemeral.computeSecret(Buffer.concat([Uint8Array.of(4), x, y]));
  const [ex, ey] = [new Uint8Array(point.subarray(1, 1 + size)), new Uint8Array(point.subarray(1 + size))];
  return {
    seed: kdfe(area.nameAlg, z, purpose, ex, x, BITS(area.nameAlg)),
    encrypted: encode((w) => w.sized(ex).sized(ey)),
  };
}

/** What ActivateCredential takes: the content of TPM2B_ID_OBJECT and of TPM2B_ENCRYPTED_SECRET. */
export interface Credential {
  blob: Uint8Array;
  secret: Uint8Array;
}

/**
 * TPM2_MakeCredential (Part 1, 24) without a TPM: only the TPM that holds `endorsement` **and** an object of the name
 * `objectName` can open `credential`, at most as many bytes as the endorsement key's name hash has.
 */
export function makeCredential(endorsement: PublicArea, objectName: Uint8Array, credential: Uint8Array): Credential {
  const hash = endorsement.nameAlg;
  if (endorsement.type === ALG.KEYEDHASH || !endorsement.symmetric)
    throw new TpmError("malformed", "credentials are made for storage keys only", endorsement.type);
  if (credential.length > BITS(hash) / 8)
    throw new TpmError("malformed", `a credential has at most ${BITS(hash) / 8} bytes`, credential.length);
  const { seed, encrypted } = sharedSeed(endorsement, "IDENTITY");
  const key = kdfa(hash, seed, "STORAGE", objectName, EMPTY, endorsement.symmetric.keyBits);
  const hidden = aesCfb(
    key,
    new Uint8Array(16),
    encode((w) => w.sized(credential)),
    "encrypt",
  );
  const macKey = kdfa(hash, seed, "INTEGRITY", EMPTY, EMPTY, BITS(hash));
  const mac = hmac(hash, macKey, hidden, objectName);
  return { blob: encode((w) => w.sized(mac).bytes(hidden)), secret: encrypted };
}
