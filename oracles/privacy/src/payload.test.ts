import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromBase64, toBase64 } from "./encoding.ts";
import { KeyRing } from "./keys.ts";
import { affectedProof, boxFor, type Envelope, keyOf, type Metadata, open, seal, senderOf } from "./payload.ts";

const ring = () => new KeyRing([new Uint8Array(randomBytes(32))]);
const [a, b, c] = [ring(), ring(), ring()];
const metadata: Metadata = {
  flag: 3,
  execHash: toBase64(randomBytes(32)),
  affected: [{ key: toBase64(randomBytes(64)), proof: toBase64(randomBytes(32)) }],
  mandatory: [],
  participants: [a.first, b.first],
};

function envelope(payload: Uint8Array, recipients = [a, b]): Envelope {
  const { body, contentKey } = seal(payload, a.first);
  const key = keyOf(body);
  const boxes = recipients.map(({ first }) => ({
    recipient: first,
    box: boxFor(a, a.first, first, contentKey, key, metadata),
  }));
  return { ...metadata, body, boxes };
}

test("the key pair that Tessera's notes give is X25519's", () => {
  const secret = fromBase64("Wl+xSyXVuuqzpvznOS7dOobhcn4C5auxkFRi7yLtgtA=");
  expect(new KeyRing([secret]).first).toBe("BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=");
});

test("sender and recipients read what was sealed, word for word; a stranger finds nothing", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 2000 }), (payload) => {
      const sealed = envelope(payload);
      expect(senderOf(sealed.body)).toBe(a.first);
      for (const reader of [a, b]) expect(open(reader, sealed).payload).toEqual(payload);
      expect(() => open(c, sealed)).toThrow(/was not found/);
    }),
    { numRuns: 30 },
  );
});

test("a sender that lost its own box reads by any recipient's", () => {
  const sealed = envelope(Uint8Array.of(1, 2, 3), [b]);
  expect(open(a, sealed).payload).toEqual(Uint8Array.of(1, 2, 3));
});

describe("a change of anything that the sender sealed is found", () => {
  test("of any bit of the body or of the box", () => {
    const sealed = envelope(Uint8Array.of(7, 7, 7));
    const own = { ...sealed, boxes: sealed.boxes.filter(({ recipient }) => recipient === b.first) };
    const box = own.boxes[0]?.box as Uint8Array;
    fc.assert(
      fc.property(fc.nat(own.body.length * 8 - 1), fc.nat(box.length * 8 - 1), (bodyBit, boxBit) => {
        const flip = (bytes: Uint8Array, bit: number) =>
          bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
        expect(() => open(b, { ...own, body: flip(own.body, bodyBit) })).toThrow(/was changed|was not found/);
        const boxes = [{ recipient: b.first, box: flip(box, boxBit) }];
        expect(() => open(b, { ...own, boxes })).toThrow(/was changed/);
      }),
      { numRuns: 200 },
    );
  });

  test.each<[string, Partial<Metadata>]>([
    ["the flag", { flag: 1 }],
    ["the state root", { execHash: "" }],
    ["the affected contracts", { affected: [] }],
    ["the mandatory parties", { mandatory: [c.first] }],
    ["the list of parties", { participants: [a.first, b.first, c.first] }],
  ])("of %s", (_, change) => {
    expect(() => open(b, { ...envelope(Uint8Array.of(1)), ...change })).toThrow(/metadata was changed/);
  });

  test("a box of another payload or for another recipient opens nothing", () => {
    const [one, two] = [envelope(Uint8Array.of(1)), envelope(Uint8Array.of(1))];
    expect(() => open(b, { ...one, boxes: two.boxes })).toThrow(/was changed/);
    const [first] = one.boxes as [Envelope["boxes"][0]];
    expect(() => open(b, { ...one, boxes: [{ ...first, recipient: b.first }] })).toThrow(/was changed/);
  });
});

test("no second content key opens a body, so all parties of one key on the chain read the same", () => {
  const { body } = seal(Uint8Array.of(1), a.first);
  const other = seal(Uint8Array.of(2), a.first).contentKey;
  const box = boxFor(a, a.first, b.first, other, keyOf(body), metadata);
  expect(() => open(b, { ...metadata, body, boxes: [{ recipient: b.first, box }] })).toThrow(/was changed/);
});

test("a proof of an affected payload is good for one payload alone", () => {
  const [contentKey, other] = [new Uint8Array(randomBytes(32)), new Uint8Array(randomBytes(32))];
  expect(affectedProof(contentKey, "k1")).toBe(affectedProof(contentKey, "k1"));
  expect(
    new Set([affectedProof(contentKey, "k1"), affectedProof(contentKey, "k2"), affectedProof(other, "k1")]).size,
  ).toBe(3);
});
