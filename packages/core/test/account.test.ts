import { computeAddress, SigningKey, Wallet } from "ethers";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  addressOfKey,
  type Domain,
  fromHex,
  type Hex,
  OPENED,
  recoverAddress,
  recoverTyped,
  signDigest,
  signTyped,
  toBigInt,
  toHex,
  typedDataTypes,
  uint,
} from "../src/index.ts";
import { bytes, hex32 } from "./arbitraries.ts";
import { expectRefusal } from "./expect.ts";

const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const key = bytes(32).filter((k) => toBigInt(k) > 0n && toBigInt(k) < N);
const domain: Domain = { name: "DataAnchor", chainId: 31337, verifyingContract: `0x${"a1".repeat(20)}` };

test("addresses and signatures are those of ethers, bit for bit", () => {
  fc.assert(
    fc.property(key, bytes(32), (secret, digest) => {
      expect(addressOfKey(secret)).toBe(computeAddress(toHex(secret)).toLowerCase());
      const signature = signDigest(secret, digest);
      expect(signature).toBe(new SigningKey(toHex(secret)).sign(digest).serialized);
      expect(recoverAddress(digest, signature)).toBe(addressOfKey(secret));
    }),
    { numRuns: 20 },
  );
});

test("typed signatures are those of a wallet", async () => {
  const secret = new Uint8Array(32).fill(7);
  const value = { headerDigest: toHex(new Uint8Array(32).fill(9)) };
  const wallet = await new Wallet(toHex(secret)).signTypedData(
    { ...domain, version: "1" },
    typedDataTypes(OPENED),
    value,
  );
  expect(signTyped(secret, domain, OPENED, value)).toBe(wallet);
  expect(recoverTyped(domain, OPENED, value, wallet as Hex)).toBe(addressOfKey(secret));
  for (const other of [{ ...domain, chainId: 1 }, { ...domain, name: "Escrow" }, { ...domain, verifyingContract: `0x${"a2".repeat(20)}` as Hex }]) // prettier-ignore
    expect(recoverTyped(other, OPENED, value, wallet as Hex)).not.toBe(addressOfKey(secret));
});

test("one signature has one form", () => {
  const secret = new Uint8Array(32).fill(7);
  const digest = new Uint8Array(32).fill(9);
  const good = fromHex(signDigest(secret, digest));
  const change = (edit: (b: Uint8Array) => void) => {
    const out = Uint8Array.from(good);
    edit(out);
    return toHex(out);
  };
  const highS = change((b) => {
    b.set(uint(N - toBigInt(good.subarray(32, 64)), 32), 32);
    b[64] = 55 - (good[64] as number);
  });
  for (const wrong of [
    highS,
    change((b) => (b[64] = (b[64] as number) - 27)),
    change((b) => (b[64] = 29)),
    change((b) => b.fill(0, 0, 32)),
    change((b) => b.fill(0, 32, 64)),
    change((b) => b.set(uint(N, 32), 0)),
    change((b) => b.fill(0xff, 0, 32)),
  ])
    expectRefusal("bad-signature", () => recoverAddress(digest, wrong));
  expectRefusal("malformed", () => recoverAddress(digest, toHex(good.subarray(0, 64))));
  expectRefusal("malformed", () => recoverAddress(digest, "0x" as Hex));
});

test("whatever is given as a signature is refused or recovers some address", () => {
  fc.assert(
    fc.property(hex32, hex32, fc.constantFrom("1b", "1c"), (r, s, v) => {
      try {
        expect(recoverAddress(new Uint8Array(32), `${r}${s.slice(2)}${v}`)).toMatch(/^0x[0-9a-f]{40}$/);
      } catch (error) {
        expect(error).toMatchObject({ code: "bad-signature" });
      }
    }),
  );
});
