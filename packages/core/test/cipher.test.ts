import { generateKeyPairSync, sign } from "node:crypto";
import { keccak_256 } from "@noble/hashes/sha3.js";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { equal, fromHex, pointOfSpki, toBigInt, toHex, uint, utf8 } from "../src/index.ts";
import * as native from "../src/native/node.ts";
import * as web from "../src/native/web.ts";
import { bytes } from "./arbitraries.ts";

interface Sodium {
  ready: Promise<void>;
  crypto_aead_chacha20poly1305_ietf_encrypt(
    m: Uint8Array,
    ad: Uint8Array,
    n: null,
    npub: Uint8Array,
    k: Uint8Array,
  ): Uint8Array;
  crypto_aead_chacha20poly1305_ietf_decrypt(
    n: null,
    c: Uint8Array,
    ad: Uint8Array,
    npub: Uint8Array,
    k: Uint8Array,
  ): Uint8Array;
}
let sodium: Sodium;
beforeAll(async () => {
  const name: string = "libsodium-wrappers";
  sodium = ((await import(name)) as { default: Sodium }).default;
  await sodium.ready;
});

const input = fc.tuple(bytes(32), bytes(12), fc.uint8Array({ maxLength: 80 }), fc.uint8Array({ maxLength: 600 }));

describe.each([
  ["node", native],
  ["web", web],
])("%s", (_, impl) => {
  test("the vector of RFC 8439, section 2.8.2", () => {
    const key = fromHex("0x808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    const nonce = fromHex("0x070000004041424344454647");
    const aad = fromHex("0x50515253c0c1c2c3c4c5c6c7");
    const plain = utf8("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."); // prettier-ignore
    const sealed = impl.chachaSeal(key, nonce, aad, plain);
    expect(toHex(sealed)).toBe(
      "0xd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116" +
        "1ae10b594f09e26a7e902ecbd0600691",
    );
    expect(impl.chachaOpen(key, nonce, aad, sealed)).toEqual(plain);
  });

  test("agrees with libsodium both ways", () => {
    fc.assert(
      fc.property(input, ([key, nonce, aad, plain]) => {
        const sealed = impl.chachaSeal(key, nonce, aad, plain);
        expect(sealed).toEqual(sodium.crypto_aead_chacha20poly1305_ietf_encrypt(plain, aad, null, nonce, key));
        expect(impl.chachaOpen(key, nonce, aad, sealed)).toEqual(plain);
        expect(sodium.crypto_aead_chacha20poly1305_ietf_decrypt(null, sealed, aad, nonce, key)).toEqual(plain);
      }),
    );
  });

  test("nothing damaged opens", () => {
    fc.assert(
      fc.property(input, fc.nat(), fc.integer({ min: 0, max: 7 }), ([key, nonce, aad, plain], where, bit) => {
        const sealed = impl.chachaSeal(key, nonce, aad, plain);
        const flip = (b: Uint8Array) => {
          const out = Uint8Array.from(b);
          if (out.length > 0) out[where % out.length] = (out[where % out.length] as number) ^ (1 << bit);
          return out;
        };
        expect(impl.chachaOpen(key, nonce, aad, flip(sealed))).toBeUndefined();
        expect(impl.chachaOpen(flip(key), nonce, aad, sealed)).toBeUndefined();
        expect(impl.chachaOpen(key, flip(nonce), aad, sealed)).toBeUndefined();
        if (aad.length > 0) expect(impl.chachaOpen(key, nonce, flip(aad), sealed)).toBeUndefined();
        expect(impl.chachaOpen(key, nonce, aad, sealed.subarray(1))).toBeUndefined();
      }),
    );
    for (const length of [0, 1, 15])
      expect(
        impl.chachaOpen(new Uint8Array(32), new Uint8Array(12), new Uint8Array(), new Uint8Array(length)),
      ).toBeUndefined();
  });

  test("known digests", () => {
    expect(toHex(impl.keccak256(new Uint8Array()))).toBe(
      "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
    );
    expect(toHex(impl.sha256(utf8("abc")))).toBe("0xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });
});

const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

test("the native and the plain code give the same bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1000 }), (data) => {
      expect(native.keccak256(data)).toEqual(web.keccak256(data));
      expect(native.keccak256(data)).toEqual(keccak_256(data));
      expect(native.sha256(data)).toEqual(web.sha256(data));
    }),
  );
  const long = new Uint8Array(200_000).map((_, i) => i % 251);
  for (const n of [0, 1, 135, 136, 137, 271, 272, 273, 16383, 16384, 16385, 200_000]) {
    expect(native.keccak256(long.subarray(0, n))).toEqual(web.keccak256(long.subarray(0, n)));
    expect(native.sha256(Buffer.from(long.subarray(0, n)))).toEqual(web.sha256(long.subarray(0, n)));
  }
  fc.assert(
    fc.property(input, ([key, nonce, aad, plain]) => {
      expect(native.chachaSeal(key, nonce, aad, plain)).toEqual(web.chachaSeal(key, nonce, aad, plain));
    }),
  );
});

test("both judge every P-256 signature alike, and neither takes a high s", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const point = pointOfSpki(new Uint8Array(publicKey.export({ format: "der", type: "spki" })));
  const both = (p: Uint8Array, m: Uint8Array, s: Uint8Array) => {
    const result = native.p256Verify(p, m, s);
    expect(web.p256Verify(p, m, s)).toBe(result);
    return result;
  };
  let high = 0;
  for (let i = 0; i < 40; i++) {
    const message = utf8(`message ${i}`);
    const raw = new Uint8Array(sign("sha256", message, { key: privateKey, dsaEncoding: "ieee-p1363" }));
    const s = toBigInt(raw.subarray(32));
    const isHigh = s > N / 2n;
    if (isHigh) high++;
    expect(both(point, message, raw)).toBe(!isHigh);
    const other = Uint8Array.from(raw);
    other.set(uint(N - s, 32), 32);
    expect(both(point, message, other)).toBe(isHigh);
    const low = isHigh ? other : raw;
    expect(both(point, utf8("another"), low)).toBe(false);
    expect(both(point, message, low.subarray(0, 63))).toBe(false);
    expect(both(point, message, new Uint8Array(64))).toBe(false);
    expect(both(point.subarray(1), message, low)).toBe(false);
    expect(both(new Uint8Array(65).fill(4), message, low)).toBe(false);
    expect(both(point, message, Uint8Array.of(...low.subarray(0, 32), ...uint(0, 32)))).toBe(false);
  }
  expect(high).toBeGreaterThan(0);
  expect(equal(point, point)).toBe(true);
});
