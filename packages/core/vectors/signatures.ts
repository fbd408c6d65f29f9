import { p256 } from "@noble/curves/nist.js";
import { concat, fromHex, type Hex, sha256, spkiOfPoint, toBigInt, toHex, uint, utf8 } from "../src/index.ts";

// Signatures of device keys, right ones and wrong ones of every kind: each is made here from its algebra.

type Case = [what: string, operation: string, input: { spki: Hex; message: Hex; signature: Hex }];

const message = utf8("what a device signs");
const digest = sha256(message);
const one = (what: string, spki: Uint8Array, signature: Uint8Array, of = message): Case => [
  what,
  "signature",
  { spki: toHex(spki), message: toHex(of), signature: toHex(signature) },
];

/* P-256 */

const P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
const { Point } = p256;
const N = Point.Fn.ORDER;
const HEAD = fromHex("0x3059301306072a8648ce3d020106082a8648ce3d030107034200");
const mod = (x: bigint) => ((x % N) + N) % N;
const inverse = (x: bigint) => Point.Fn.inv(mod(x));
const h = toBigInt(digest);

const ecSpki = (x: bigint, y: bigint) => concat(HEAD, Uint8Array.of(4), uint(x, 32), uint(y, 32));
const keyOf = (d: bigint) => {
  const { x, y } = Point.BASE.multiply(mod(d)).toAffine();
  return ecSpki(x, y);
};
const rs = (r: bigint, s: bigint) => concat(uint(r, 32), uint(s, 32));
const lower = (s: bigint) => (s > N / 2n ? N - s : s);

function p256Cases(): Case[] {
  const d = mod(toBigInt(sha256(utf8("a device's key"))));
  const k = mod(toBigInt(sha256(utf8("a nonce"))));
  const r = mod(Point.BASE.multiply(k).toAffine().x);
  const s = lower(mod(inverse(k) * (h + r * d)));
  const { x, y } = Point.BASE.multiply(d).toAffine();
  const good = ecSpki(x, y);
  const made = (what: string, signature: Uint8Array, spki = good) => one(`ES256, ${what}`, spki, signature);
  // h·G = r·Q, so that verifying adds a point to itself; and h·G = −r·Q, so that it ends at infinity.
  const doubling = mod(h * inverse(r));
  const infinity = mod(-h * inverse(r));
  return [
    made("right", rs(r, s)),
    made("right, a point is added to itself", rs(r, lower(mod(inverse(k) * 2n * h))), keyOf(doubling)),
    made("s in the upper half", rs(r, N - s)),
    made("another r", rs(r ^ 1n, s)),
    made("another s", rs(r, s ^ 1n)),
    made("r and s exchanged", rs(s, r)),
    made("r = 0", rs(0n, s)),
    made("s = 0", rs(r, 0n)),
    made("r = s = 0", rs(0n, 0n)),
    made("r = n", rs(N, s)),
    made("s = n", rs(r, N)),
    made("r = n − 1", rs(N - 1n, s)),
    made("r = p", rs(P, s)),
    made("r = s = 2^256 − 1", new Uint8Array(64).fill(255)),
    made("r = s = 1", rs(1n, 1n)),
    made("the sum is the point at infinity", rs(r, s), keyOf(infinity)),
    made("the sum is the point at infinity, s = r", rs(r, lower(r)), keyOf(infinity)),
    made("of the negative key", rs(r, s), ecSpki(x, P - y)),
    made("63 bytes", rs(r, s).subarray(1)),
    made("65 bytes", concat(rs(r, s), Uint8Array.of(0))),
    made("no bytes", new Uint8Array()),
    made("DER", p256.Signature.fromBytes(rs(r, s), "compact").toBytes("der")),
    made("a point off the curve", rs(r, s), ecSpki(x, y ^ 1n)),
    made("the point (0, 0)", rs(r, s), ecSpki(0n, 0n)),
    made("x = p", rs(r, s), ecSpki(P, y)),
    made("y above p", rs(r, s), ecSpki(x, 2n ** 256n - 1n)),
    made("a compressed point", rs(r, s), concat(good.subarray(0, 26), Uint8Array.of(2), good.subarray(27))),
    made("an SPKI with a byte behind", rs(r, s), concat(good, Uint8Array.of(0))),
    made("an SPKI of another curve", rs(r, s), concat(good.subarray(0, 22), Uint8Array.of(8), good.subarray(23))),
    one("ES256, another message", good, rs(r, s), utf8("another")),
  ];
}

/* RSA: the primes of a key that stands for nothing but these cases */

const p = BigInt(
  "0xdd63fa9731444bdf82e721442fd11fcadf3429dcb7c653da3d085d4be6242ab57dc3d7a88ec799cd785fc97e0c6d15ce18dd" +
    "9967d6f114902d0ffe66b505144937d8503ece2f79e96d0c48b9758a6bfad166dfeee4bb1279c8542165070066026af2bc1f" +
    "b8dcec0c80281bbeff33c97be80e5cfa98e1dfb09d3567306408ba8d",
);
const q = BigInt(
  "0xd914b33275bf12d38c2d0e1a63b6fb3a73472485c5b78a03b34bf8fec7192b6177c1a699ad26b225d97c572f834048301dc9" +
    "3d45945e55f391b8a18f6feb1ac18f09f85ee9c180272a7a8720008a908121a2aaa5e7c744d2ac3215b9badf6d3aaa6ff5ba" +
    "5440c8ede50ee4a6aee95b477e601db798a2216acec27a5f91eb55c5",
);
const n = p * q;

function power(base: bigint, exponent: bigint): bigint {
  let out = 1n;
  for (let e = exponent, b = base % n; e > 0n; e >>= 1n, b = (b * b) % n) if (e & 1n) out = (out * b) % n;
  return out;
}

function privateExponent(e: bigint): bigint {
  const m = (p - 1n) * (q - 1n);
  let [r0, r1, s0, s1] = [m, e, 0n, 1n];
  while (r1 !== 0n) {
    const t = r0 / r1;
    [r0, r1, s0, s1] = [r1, r0 - t * r1, s1, s0 - t * s1];
  }
  return ((s0 % m) + m) % m;
}

const SHA256 = fromHex("0x3031300d060960864801650304020105000420");
const SHA256_NO_NULL = fromHex("0x302f300b06096086480165030402010420");
const SHA512 = fromHex("0x3031300d060960864801650304020305000420");
const ff = (length: number) => new Uint8Array(length).fill(255);
const block = (type: number, padding: Uint8Array, ...rest: Uint8Array[]) =>
  concat(Uint8Array.of(0, type), padding, Uint8Array.of(0), ...rest);
const rsaSpki = (modulus: Uint8Array, exponent = Uint8Array.of(1, 0, 1)) =>
  concat(
    fromHex("0x30820122300d06092a864886f70d01010105000382010f003082010a0282010100"),
    modulus,
    Uint8Array.of(2, exponent.length),
    exponent,
  );

function rsaCases(): Case[] {
  const d = privateExponent(65537n);
  const signed = (encoded: Uint8Array) => uint(power(toBigInt(encoded), d), 256);
  const modulus = uint(n, 256);
  const spki = rsaSpki(modulus);
  const encoded = block(1, ff(202), SHA256, digest);
  const right = signed(encoded);
  const made = (what: string, signature: Uint8Array, key = spki) => one(`RS256, ${what}`, key, signature);
  const at = (bytes: Uint8Array, i: number, to: number) => Uint8Array.from(bytes, (byte, j) => (j === i ? to : byte));
  return [
    made("right", right),
    one("RS256, another message", spki, right, utf8("another")),
    made("one byte changed", at(right, 128, (right[128] as number) ^ 1)),
    made("0", uint(0n, 256)),
    made("1", uint(1n, 256)),
    made("the modulus", modulus),
    made("the modulus − 1", uint(n - 1n, 256)),
    made("2^2048 − 1", ff(256)),
    made("the negative", uint(n - toBigInt(right), 256)),
    made("255 bytes", right.subarray(1)),
    made("257 bytes, a zero before", concat(Uint8Array.of(0), right)),
    made("257 bytes, a zero behind", concat(right, Uint8Array.of(0))),
    made("no bytes", new Uint8Array()),
    made("the encoded message itself", encoded),
    made("DigestInfo without NULL", signed(block(1, ff(204), SHA256_NO_NULL, digest))),
    made("DigestInfo of SHA-512", signed(block(1, ff(202), SHA512, digest))),
    made("no DigestInfo", signed(block(1, ff(221), digest))),
    made("block type 0", signed(block(0, ff(202), SHA256, digest))),
    made("block type 2", signed(block(2, ff(202), SHA256, digest))),
    made("padding with a zero", signed(at(encoded, 100, 0))),
    made("padding with fe", signed(at(encoded, 2, 0xfe))),
    made("no zero before the DigestInfo", signed(at(encoded, 204, 1))),
    made("a first byte that is not 0", signed(at(encoded, 0, 1))),
    made("short padding, bytes behind the digest", signed(block(1, ff(8), SHA256, digest, ff(194)))),
    made("short padding, bytes before the DigestInfo", signed(block(1, ff(8), ff(194), SHA256, digest))),
    made("a digest of 33 bytes", signed(block(1, ff(201), SHA256, digest, ff(1)))),
    made("exponent 3", right, rsaSpki(modulus, Uint8Array.of(3))),
    made(
      "exponent 5, and right under it",
      uint(power(toBigInt(encoded), privateExponent(5n)), 256),
      rsaSpki(modulus, Uint8Array.of(5)),
    ),
    made("exponent 1: the message is the signature", encoded, rsaSpki(modulus, Uint8Array.of(1))),
    made("exponent 1 in three bytes", encoded, rsaSpki(modulus, Uint8Array.of(0, 0, 1))),
    made("an even modulus", right, rsaSpki(at(modulus, 255, (modulus[255] as number) & 0xfe))),
    made("a modulus of 2047 bits", right, rsaSpki(at(modulus, 0, (modulus[0] as number) & 0x7f))),
    made("a modulus of zeros", right, rsaSpki(new Uint8Array(256))),
    made("a modulus of 1024 bits", right, rsaSpki(uint(p, 128))),
    made("an SPKI with a byte behind", right, concat(spki, Uint8Array.of(0))),
    made("an SPKI of RSASSA-PSS", right, at(spki, 16, 10)),
  ];
}

export const signatureCases = (): Case[] => [...p256Cases(), ...rsaCases()];

/** The two keys of these cases, for what is signed elsewhere. */
export const signers = {
  ES256: () => {
    const secret = sha256(utf8("a device's key"));
    const sign = (of: Uint8Array) => p256.sign(of, secret, { prehash: true, lowS: true });
    return { spki: spkiOfPoint(p256.getPublicKey(secret, false)), sign };
  },
  RS256: () => ({
    spki: rsaSpki(uint(n, 256)),
    sign: (of: Uint8Array) =>
      uint(power(toBigInt(block(1, ff(202), SHA256, sha256(of))), privateExponent(65537n)), 256),
  }),
};
