import { decodeRlp, encodeRlp } from "ethers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromHex, type Rlp, rlpBytes, rlpDecode, rlpEncode, rlpOfUint, rlpUint, toHex } from "../src/index.ts";
import { expectRefusal, neverCrashes } from "./expect.ts";

const { item } = fc.letrec<{ item: Rlp }>((tie) => ({
  item: fc.oneof(
    { maxDepth: 4 },
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie("item"), { maxLength: 6 }) as fc.Arbitrary<Rlp>,
  ),
}));
type Nested = string | Nested[];
const asHex = (rlp: Rlp): Nested => (Array.isArray(rlp) ? rlp.map(asHex) : toHex(rlp));

test("says what ethers says, both ways", () => {
  fc.assert(
    fc.property(item, (rlp) => {
      const bytes = rlpEncode(rlp);
      expect(toHex(bytes)).toBe(encodeRlp(asHex(rlp)));
      expect(asHex(rlpDecode(bytes))).toEqual(asHex(rlp));
      expect(asHex(rlpDecode(bytes))).toEqual(decodeRlp(toHex(bytes)));
    }),
  );
});

test("one item has one form: what is read writes the same bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 80 }), (bytes) => {
      neverCrashes(() => expect(toHex(rlpEncode(rlpDecode(bytes)))).toBe(toHex(bytes)));
    }),
    { numRuns: 2000 },
  );
});

describe("refuses", () => {
  test.each([
    ["nothing", "0x"],
    ["a byte with a needless prefix", "0x8101"],
    ["a long form of a short length", "0xb801ff"],
    ["a length that begins with zero", `0xb90038${"ff".repeat(56)}`],
    ["an item that is cut off", "0x83ffff"],
    ["a list that is cut off", "0xc3ffff"],
    ["a list whose item reaches beyond it", "0xc2820102"],
    ["bytes behind the end", "0x8000"],
    ["a length of eight bytes", "0xbf0000000000000001ff"],
    ["lists in lists in lists", `0x${"c1".repeat(20)}c0`],
  ])("%s", (_, hex) => {
    expectRefusal("malformed", () => rlpDecode(fromHex(hex)));
  });
});

test("whole numbers have no leading zeros and fit 2^53 − 1", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (n) => {
      expect(rlpUint(rlpOfUint(n))).toBe(n);
      expect(toHex(rlpEncode(rlpOfUint(n)))).toBe(encodeRlp(n === 0 ? "0x" : `0x${n.toString(16).padStart(2 * rlpOfUint(n).length, "0")}`)); // prettier-ignore
    }),
  );
  for (const hex of ["0x00", "0x0001", "0x20000000000000", "0xffffffffffffffff", "0x010000000000000000"])
    expectRefusal("malformed", () => rlpUint(fromHex(hex)));
  expectRefusal("malformed", () => rlpUint([]));
  expectRefusal("malformed", () => rlpBytes(undefined));
});
