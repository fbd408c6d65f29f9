import fc from "fast-check";
import { expect, test } from "vitest";
import { decode, encode, Reader } from "./codec.ts";
import { ALG, GENERATED } from "./constants.ts";
import {
  type Attest,
  decodeAttest,
  decodePublic,
  decodeSignature,
  encodeAttest,
  encodePublic,
  encodeSignature,
  type PublicArea,
  readSelection,
  writeSelection,
} from "./structures.ts";

const bytes = (max: number) => fc.uint8Array({ maxLength: max });
const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffffffff);
const symmetric = fc.option(fc.record({ alg: fc.constant(ALG.AES), keyBits: u16, mode: u16 }));
const scheme = fc.option(fc.record({ alg: fc.constant(ALG.ECDSA), hash: u16 }));
const common = { nameAlg: u16, attributes: u32, policy: bytes(64) };
const area: fc.Arbitrary<PublicArea> = fc.oneof(
  fc.record({
    type: fc.constant(ALG.RSA),
    ...common,
    symmetric,
    scheme,
    keyBits: u16,
    exponent: u32,
    modulus: bytes(512),
  }),
  fc.record({ type: fc.constant(ALG.ECC), ...common, symmetric, scheme, curve: u16, x: bytes(66), y: bytes(66) }),
  fc.record({ type: fc.constant(ALG.KEYEDHASH), ...common, unique: bytes(64) }),
);
const pcrs = fc.uniqueArray(fc.nat(23), { maxLength: 24 }).map((list) => list.sort((a, b) => a - b));
const selection = fc.array(fc.record({ hash: u16, pcrs }), { maxLength: 4 });
const attest: fc.Arbitrary<Attest> = fc.record({
  magic: fc.oneof(fc.constant(GENERATED), u32),
  qualifiedSigner: bytes(68),
  extraData: bytes(68),
  clock: fc.record({
    clock: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    resetCount: u32,
    restartCount: u32,
    safe: fc.boolean(),
  }),
  firmwareVersion: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  attested: fc.oneof(
    fc.record({ kind: fc.constant("quote" as const), selection, digest: bytes(64) }),
    fc.record({ kind: fc.constant("certify" as const), name: bytes(68), qualifiedName: bytes(68) }),
    fc.record({ kind: fc.constant("creation" as const), name: bytes(68), creationHash: bytes(64) }),
    fc.record({ kind: fc.constant("nv" as const), name: bytes(68), offset: u16, contents: bytes(2048) }),
  ),
});

test("public areas, attestations, selections and signatures come back as they were written", () => {
  fc.assert(
    fc.property(area, (a) => {
      expect(decodePublic(encodePublic(a))).toEqual(a);
    }),
  );
  fc.assert(
    fc.property(attest, (a) => {
      expect(decodeAttest(encodeAttest(a))).toEqual(a);
    }),
  );
  fc.assert(
    fc.property(selection, (s) => {
      expect(
        decode(
          encode((w) => writeSelection(w, s)),
          readSelection,
        ),
      ).toEqual(s);
    }),
  );
  const ecdsa = fc.record({ alg: fc.constant(ALG.ECDSA), hash: u16, r: bytes(66), s: bytes(66) });
  fc.assert(
    fc.property(ecdsa, (s) => {
      expect(decodeSignature(encodeSignature(s))).toEqual(s);
    }),
  );
});

test("a structure that was cut, or has something behind it, is refused, never read as another", () => {
  fc.assert(
    fc.property(area, fc.nat(), (a, n) => {
      const whole = encodePublic(a);
      const cut = whole.subarray(0, n % whole.length);
      expect(() => decodePublic(cut)).toThrow(expect.objectContaining({ code: "malformed" }));
      expect(() => decodePublic(Buffer.concat([whole, Uint8Array.of(0)]))).toThrow(
        expect.objectContaining({ code: "malformed" }),
      );
    }),
  );
});

test("arbitrary bytes never make a reader throw anything but its own error", () => {
  fc.assert(
    fc.property(bytes(300), (junk) => {
      for (const read of [decodePublic, decodeAttest, decodeSignature]) {
        try {
          read(junk);
        } catch (error) {
          expect(error).toMatchObject({ name: "TpmError", code: "malformed" });
        }
      }
    }),
  );
});

test("integers are big-endian, and out of range is refused", () => {
  expect(encode((w) => w.u8(1).u16(0x0203).u32(0x04050607).sized(Uint8Array.of(8)))).toEqual(
    Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 0, 1, 8),
  );
  expect(() => encode((w) => w.u16(0x10000))).toThrow(/uint16/);
  expect(() => encode((w) => w.u32(-1))).toThrow(/uint32/);
  expect(() => new Reader(Uint8Array.of(0, 9, 1)).sized(8)).toThrow(/at most 8/);
});
