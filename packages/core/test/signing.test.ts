import { createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { expect, test } from "vitest";
import * as native from "../src/native/node.ts";
import * as web from "../src/native/web.ts";
import {
  checkPossession,
  compare,
  KEY_ALG,
  keyAlgOf,
  modulusOfSpki,
  sha256,
  toBigInt,
  uint,
  utf8,
  verifySignature,
} from "../src/index.ts";
import { expectRefusal } from "./expect.ts";

const der = (key: ReturnType<typeof createPublicKey>) => new Uint8Array(key.export({ format: "der", type: "spki" }));
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const spki = der(rsa.publicKey);
const modulus = modulusOfSpki(spki);
const message = utf8("a header");
const good = new Uint8Array(sign("sha256", message, rsa.privateKey));

const both = (m: Uint8Array, data: Uint8Array, s: Uint8Array) => {
  const result = native.rsaVerify(m, data, s);
  expect(web.rsaVerify(m, data, s)).toBe(result);
  return result;
};

test("the native and the plain code judge every RSA signature alike", () => {
  for (let i = 0; i < 10; i++) {
    const data = utf8(`message ${i}`);
    const s = new Uint8Array(sign("sha256", data, rsa.privateKey));
    expect(both(modulus, data, s)).toBe(true);
    expect(both(modulus, message, s)).toBe(false);
    s[i * 25] = (s[i * 25] as number) ^ 1;
    expect(both(modulus, data, s)).toBe(false);
  }
  for (const s of [new Uint8Array(256), new Uint8Array(256).fill(255), good.subarray(1), new Uint8Array()])
    expect(both(modulus, message, s)).toBe(false);
  expect(both(modulus, message, modulus)).toBe(false);
  expect(both(modulus.subarray(1), message, good)).toBe(false);
  expect(both(modulus, message, new Uint8Array(sign("sha1", message, rsa.privateKey)))).toBe(false);
});

test("an RSA signature has one form: the modulus added to it is another number and refused", () => {
  // Where it still fits into 256 bytes.
  for (let i = 0; i < 200; i++) {
    const data = utf8(`small ${i}`);
    const s = toBigInt(new Uint8Array(sign("sha256", data, rsa.privateKey)));
    const more = s + toBigInt(modulus);
    if (more >= 1n << 2048n) continue;
    expect(both(modulus, data, uint(s, 256))).toBe(true);
    expect(both(modulus, data, uint(more, 256))).toBe(false);
    return;
  }
});

test("the algorithm is that of the key, and only two kinds and one form of key are known", () => {
  const ec = der(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey);
  expect(keyAlgOf(ec)).toBe(KEY_ALG.ES256);
  expect(keyAlgOf(spki)).toBe(KEY_ALG.RS256);
  expect(compare(modulus, spki.subarray(33, 289))).toBe(0);
  const strangers = [
    der(generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey),
    der(generateKeyPairSync("ed25519").publicKey),
    der(generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 3 }).publicKey),
    der(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey),
    der(generateKeyPairSync("rsa-pss", { modulusLength: 2048 }).publicKey),
    Uint8Array.from([...spki, 0]),
    spki.subarray(1),
    new Uint8Array(294),
    new Uint8Array(),
  ];
  for (const stranger of strangers) expectRefusal("unknown-key", () => keyAlgOf(stranger));
  for (const [at, value] of [
    [33, 0x7f],
    [288, 0x02],
    [293, 0x03],
    [32, 0x01],
  ] as const) {
    const damaged = Uint8Array.from(spki);
    damaged[at] = value;
    expectRefusal("unknown-key", () => keyAlgOf(damaged));
  }
});

test("possession is shown by a signature over the digest, and by nothing else", () => {
  const digest = sha256(utf8("an enrolment"));
  const possession = new Uint8Array(sign("sha256", digest, rsa.privateKey));
  checkPossession(spki, digest, possession);
  expect(verifySignature(spki, digest, possession)).toBe(true);
  expectRefusal("bad-signature", () => checkPossession(spki, sha256(digest), possession));
  expectRefusal("bad-signature", () => checkPossession(spki, digest, possession.subarray(0, 64)));
  expectRefusal("bad-signature", () => checkPossession(spki, message, good));
  expectRefusal("unknown-key", () => checkPossession(spki.subarray(1), digest, possession));
});
