import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import {
  addressOfKey,
  deviceIdOfSoftware,
  type Domain,
  ENROL,
  type Enrol,
  fromHex,
  type Hex,
  KEY_ALG,
  keyHash,
  recoverTyped,
  toHex,
  typedDataDigest,
  ZERO32,
} from "@msec/core";
import { expect, test } from "vitest";
import { lowS } from "../../../../packages/secure-element/src/es256.ts";
import { type Account } from "./layout.ts";
import { vouch } from "./registrar.ts";

const secret = new Uint8Array(32).fill(7);
const registrar: Account = { address: addressOfKey(secret), key: toHex(secret) };
const domain: Domain = { name: "DeviceRegistry", chainId: 31337, verifyingContract: `0x${"a1".repeat(20)}` };

function device(kind: "ec" | "rsa") {
  const { publicKey, privateKey } =
    kind === "ec"
      ? generateKeyPairSync("ec", { namedCurve: "P-256" })
      : generateKeyPairSync("rsa", { modulusLength: 2048 });
  const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  const enrol: Enrol = {
    deviceId: deviceIdOfSoftware(spki),
    ekHash: ZERO32,
    akName: ZERO32,
    keyAlg: kind === "ec" ? KEY_ALG.ES256 : KEY_ALG.RS256,
    keyHash: keyHash(spki),
    owner: registrar.address,
    organisation: `0x${"0f".repeat(32)}`,
    policyId: ZERO32,
    evidenceDigest: ZERO32,
    nonce: 0n,
    deadline: 1_800_000_000_000,
  };
  return { spki, privateKey, enrol };
}

const signed = (key: KeyObject, digest: Uint8Array) =>
  key.asymmetricKeyType === "rsa"
    ? new Uint8Array(sign("sha256", digest, key))
    : lowS(new Uint8Array(sign("sha256", digest, { key, dsaEncoding: "ieee-p1363" })));

test.each(["ec", "rsa"] as const)("a registrar signs for a device that shows its %s key", (kind) => {
  const { spki, privateKey, enrol } = device(kind);
  const signature = vouch(registrar, domain, enrol, spki, signed(privateKey, typedDataDigest(domain, ENROL, enrol)));
  expect(recoverTyped(domain, ENROL, enrol, signature)).toBe(registrar.address);
});

test("a registrar does not sign for a key that the device does not hold", () => {
  const { spki, privateKey, enrol } = device("ec");
  const good = signed(privateKey, typedDataDigest(domain, ENROL, enrol));
  const refuse = (change: Partial<Enrol>, possession: Uint8Array = good) =>
    expect(() => vouch(registrar, domain, { ...enrol, ...change }, spki, possession));
  refuse({}, signed(device("ec").privateKey, typedDataDigest(domain, ENROL, enrol))).toThrow(/has not signed/);
  refuse({ owner: `0x${"22".repeat(20)}` }).toThrow(/has not signed/);
  refuse({}, new Uint8Array(64)).toThrow(/has not signed/);
  refuse({}, new Uint8Array()).toThrow(/has not signed/);
  const other: Domain = { ...domain, chainId: 1 };
  refuse({}, signed(privateKey, typedDataDigest(other, ENROL, enrol))).toThrow(/has not signed/);
});

test("a registrar does not sign for another name, key or algorithm, nor for a TPM without its evidence", () => {
  const { spki, enrol } = device("ec");
  const word: Hex = `0x${"33".repeat(32)}`;
  const refuse = (change: Partial<Enrol>, why: RegExp) =>
    expect(() => vouch(registrar, domain, { ...enrol, ...change }, spki, fromHex("0x00"))).toThrow(why);
  refuse({ deviceId: word }, /named after its first key/);
  refuse({ keyHash: word }, /another key/);
  refuse({ keyAlg: KEY_ALG.RS256 }, /another algorithm/);
  refuse({ akName: word, ekHash: word }, /claims a TPM without its evidence/);
});
