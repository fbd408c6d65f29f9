import { generateKeyPairSync } from "node:crypto";
import { cborDecode, cborEncode, encodeCose, encodeProtected, keyHash, sigStructure } from "@msec/core";
import { expect, test } from "vitest";
import { es256 } from "../es256.ts";
import { AttestationError } from "./errors.ts";
import { type AttestationResult, readResult, RESULT_PROFILE, signResult } from "./result.ts";

const pair = () => {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { privateKey, spki: new Uint8Array(publicKey.export({ format: "der", type: "spki" })) };
};
const verifier = pair();
const sign = (message: Uint8Array) => Promise.resolve(es256(verifier.privateKey, message));
const NOW = 1_700_000_100_000;
const result: AttestationResult = {
  issuer: "https://enrol.example",
  audience: "https://enrol.example",
  issuedAt: 1_700_000_000,
  expires: 1_700_000_300,
  nonce: new Uint8Array(32).fill(9),
  deviceId: `0x${"11".repeat(32)}`,
  bootEpoch: 7,
  keyEpoch: 2,
  policyId: `0x${"22".repeat(32)}`,
  policyVersion: 3,
  pcrDigest: `0x${"33".repeat(32)}`,
  evidence: `0x${"44".repeat(32)}`,
  confirmation: pair().spki,
};
const token = () => signResult(result, verifier.spki, sign);
const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof AttestationError) return error.code;
    throw error;
  }
  return "none";
};
const read = (bytes: Uint8Array, atMs = NOW, audience = result.audience, by = verifier.spki) =>
  readResult(bytes, by, audience, atMs);

test("what was signed is what is read, with the claims where RFC 9711 has them", async () => {
  const bytes = await token();
  expect(read(bytes)).toEqual(result);
  const claims = cborDecode((cborDecode(bytes) as Uint8Array[])[2]!) as Map<number, unknown>;
  expect(Buffer.from(claims.get(256) as Uint8Array).toString("hex")).toBe(`01${"11".repeat(32)}`);
  expect(claims.get(265)).toBe(RESULT_PROFILE);
  expect(claims.get(267)).toBe(7);
  expect(claims.get(4)).toBe(1_700_000_300);
});

test("over, not yet, for another, by another", async () => {
  const bytes = await token();
  expect(codeOf(() => read(bytes, 1_700_000_300_000))).toBe("expired");
  expect(codeOf(() => read(bytes, 1_699_999_999_999))).toBe("expired");
  expect(codeOf(() => read(bytes, NOW, "https://other.example"))).toBe("nonce");
  expect(codeOf(() => read(bytes, NOW, result.audience, pair().spki))).toBe("signature");
});

test("one changed byte anywhere is refused", async () => {
  const bytes = await token();
  for (let at = 0; at < bytes.length; at++) {
    const changed = bytes.slice();
    changed[at] = (changed[at] as number) ^ 1;
    expect(["malformed", "signature"], `byte ${at}`).toContain(codeOf(() => read(changed)));
  }
});

test("signed, but no result: other claims, other types, other profile", async () => {
  const good = cborDecode((cborDecode(await token()) as Uint8Array[])[2]!) as Map<number, unknown>;
  const signed = (payload: Uint8Array) => {
    const header = encodeProtected(keyHash(verifier.spki));
    return encodeCose(header, payload, es256(verifier.privateKey, sigStructure(header, payload)));
  };
  const bent = (change: (claims: Map<number, unknown>) => void) => {
    const claims = new Map(good);
    change(claims);
    return signed(cborEncode(claims));
  };
  expect(codeOf(() => read(bent(() => undefined)))).toBe("none");
  for (const claim of good.keys())
    expect(
      codeOf(() => read(bent((c) => c.delete(claim)))),
      `${claim}`,
    ).toBe("malformed");
  expect(codeOf(() => read(bent((c) => c.set(5, 1))))).toBe("malformed");
  expect(codeOf(() => read(bent((c) => c.set(265, "tag:other"))))).toBe("malformed");
  expect(codeOf(() => read(bent((c) => c.set(256, new Uint8Array(33)))))).toBe("malformed");
  expect(codeOf(() => read(bent((c) => c.set(8, new Map()))))).toBe("malformed");
  expect(codeOf(() => read(signed(cborEncode([1]))))).toBe("malformed");
  expect(codeOf(() => read(new Uint8Array(3000)))).toBe("malformed");
});
