import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Bundle, decodeBundle, encodeBundle, verify } from "../src/index.ts";
import { anchorAll, committee, readingBundle, TestStream, windowBundle } from "./city.ts";
import { aDeal } from "./deal.ts";
import { expectRefusal, neverCrashes } from "./expect.ts";
import { certificateBy, deviceCertificateBy, registryAccount, validators } from "./sealed.ts";

const SLOT = 29_000_000;
const REGISTRY = `0x${"b2".repeat(20)}` as const;
const stream = new TestStream().fill(SLOT, 6);
const anchored = anchorAll(stream, committee());
const window = windowBundle(stream, anchored, SLOT + 1, SLOT + 3);
const reading = readingBundle(stream, anchored, stream.packs[2] as (typeof stream.packs)[0], 0);
const withDeal = { ...window, deal: aDeal(window) };
const signed = verify(window).claims;
const four = validators(4);
const certified = {
  ...window,
  chain: { ...window.chain, registry: REGISTRY },
  certificate: {
    ...certificateBy(four, window.chain.anchor, new Map(signed.epochs.map(({ number, hash }) => [number, hash]))),
    device: deviceCertificateBy(four, registryAccount(REGISTRY, signed.deviceKey), signed.deviceKey),
  },
};
const bundles: Bundle[] = [window, reading, withDeal, certified];

test("a bundle comes back, bigints and all", () => {
  for (const bundle of bundles) {
    const text = encodeBundle(bundle);
    expect(decodeBundle(text)).toEqual(bundle);
    expect(encodeBundle(decodeBundle(text))).toBe(text);
  }
  expect((decodeBundle(encodeBundle(withDeal)) as typeof withDeal).deal.price).toBe(withDeal.deal.price);
});

test("a certified one is proved from the device's TPM to the validators' seals", () => {
  const pinned = verify(certified, { validators: four.map(({ address }) => address) });
  expect(pinned.certified).toMatchObject({ device: "TPM", pinned: true, seals: 4 });
});

test("any price comes back", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), (price) => {
      const bundle = { ...window, deal: { ...withDeal.deal, price } };
      expect((decodeBundle(encodeBundle(bundle)) as typeof withDeal).deal.price).toBe(price);
    }),
  );
});

describe("what is not a bundle", () => {
  test("is refused by its outline", () => {
    for (const text of ["", "{", "null", "5", '"x"', "[]", "{}", '{"format":"msec.window/2"}', '{"format":["msec.window/1"]}', '{"format":"msec.window/1","x":{"uint":"-1"}}', '{"format":"msec.window/1","x":{"uint":"01"}}', `{"format":"msec.window/1","x":{"uint":"${"9".repeat(100)}"}}`]) // prettier-ignore
      expectRefusal("malformed", () => decodeBundle(text));
  });

  /** Every path to a value inside a bundle. */
  function* paths(value: unknown, path: (string | number)[] = []): Generator<(string | number)[]> {
    yield path;
    if (typeof value === "object" && value !== null)
      for (const key of Object.keys(value)) yield* paths((value as Record<string, unknown>)[key], [...path, key]);
  }

  test.each(bundles.map((b, i) => [i, b] as const))("any one value replaced by any other ends in a refusal or a report (%i)", (_, bundle) => {
    const all = [...paths(bundle)].filter((p) => p.length > 0);
    const junk: unknown[] = [undefined, null, 0, -1, 0.5, 2 ** 60, NaN, "", "0x", "0x00", "AAAA", "x", true, [], [null], {}, { a: 1 }, 5n, new Uint8Array(3)]; // prettier-ignore
    fc.assert(
      fc.property(fc.constantFrom(...all), fc.constantFrom(...junk), (path, value) => {
        const copy = structuredClone(bundle) as unknown as Record<string, unknown>;
        let at = copy;
        for (const key of path.slice(0, -1)) at = at[key as string] as Record<string, unknown>;
        at[path[path.length - 1] as string] = value;
        neverCrashes(() => verify(copy as unknown as Bundle));
      }),
      { numRuns: 400 },
    );
  }); // prettier-ignore

  test("any text changed ends in a refusal or a report", () => {
    const texts = bundles.map(encodeBundle);
    fc.assert(
      fc.property(
        fc.constantFrom(...texts),
        fc.nat(),
        fc.string({ minLength: 0, maxLength: 2 }),
        (text, where, put) => {
          const at = where % text.length;
          neverCrashes(() => verify(decodeBundle(text.slice(0, at) + put + text.slice(at + 1))));
        },
      ),
      { numRuns: 400 },
    );
  });
});
