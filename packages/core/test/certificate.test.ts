import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Certificate,
  checkCertificate,
  decodeBundle,
  encodeBundle,
  epochHash,
  fromBase64,
  type Hex,
  sha256,
  toBase64,
  toHex,
  utf8,
  verify,
  ZERO32,
  type WindowReport,
} from "../src/index.ts";
import { anchorAll, CHAIN, committee, fixedRandom, readingBundle, TestStream, windowBundle } from "./city.ts";
import { expectRefusal, neverCrashes } from "./expect.ts";
import { certificateBy, deviceCertificateBy, registryAccount, validators } from "./sealed.ts";

const SLOT = 29_000_000;
const four = validators(4);
const pins = four.map(({ address }) => address);
const word = (label: string): Hex => toHex(sha256(utf8(label)));
const words = new Map([1, 2, 3].map((n) => [n, word(`epoch ${n}`)]));
const certificate = certificateBy(four.slice(1), CHAIN.anchor, words, { listed: four });
const claimsOf = (epochs: ReadonlyMap<number, Hex>, anchor = CHAIN.anchor) => ({
  anchor,
  epochs: [...epochs].map(([number, hash]) => ({ number, hash })),
});
const check = (given: Certificate, claims: ReadonlyMap<number, Hex> = words, pinned?: Hex[]) =>
  checkCertificate(given, claimsOf(claims), pinned);

test("shows words of epochs in a state that the pinned validators sealed", () => {
  expect(check(certificate, words, [...pins].reverse())).toEqual({
    epochs: [1, 2, 3],
    device: null,
    validators: pins,
    pinned: true,
    seals: 3,
    changes: 0,
  });
  expect(check(certificate)).toMatchObject({ pinned: false, validators: pins });
});

test("a word that begins with zeros is proved by what is left of it", () => {
  const short = new Map([[1, `0x${"00".repeat(31)}07` as Hex]]);
  expect(check(certificateBy(four, CHAIN.anchor, short), short).epochs).toEqual([1]);
  expectRefusal("state", () => check(certificateBy(four, CHAIN.anchor, short), new Map([[1, ZERO32]])));
});

test("other words, other anchors, other validators are refused", () => {
  expectRefusal("state", () => check(certificate, new Map([...words, [2, word("forged")]])));
  expectRefusal("state", () => checkCertificate(certificate, claimsOf(words, `0x${"a2".repeat(20)}`)));
  expectRefusal("malformed", () => check(certificate, new Map([[1, word("epoch 1")]])));
  expectRefusal("validators", () => check(certificate, words, pins.slice(1)));
  expectRefusal("validators", () => check({ changes: [], epochs: [] }, words, pins), /certifies nothing/);
  expectRefusal("validators", () => check(certificateBy(validators(4, "stranger"), CHAIN.anchor, words), words, pins));
});

test("one seal too few, or a block that lists others, is refused", () => {
  expectRefusal("validators", () => check(certificateBy(four.slice(2), CHAIN.anchor, words, { listed: four })));
  const lying = certificateBy(four, CHAIN.anchor, words, { listed: four.slice(1) });
  expectRefusal("validators", () => check(lying, words, pins));
});

test("the genesis block, which nobody seals, certifies nothing", () => {
  expectRefusal("validators", () => check(certificateBy(four, CHAIN.anchor, words, { number: 0 })));
});

describe("of a device's key", () => {
  const registry: Hex = `0x${"b2".repeat(20)}`;
  const deviceKey = { deviceId: word("device"), keyEpoch: 3, keyHash: word("key") };
  const account = registryAccount(registry, deviceKey);
  const device = deviceCertificateBy(four, account, deviceKey);
  const claims = { ...claimsOf(words), registry, deviceKey };
  const run = (changed: Partial<typeof device> = {}, about = claims, pinned = pins) =>
    checkCertificate({ ...certificate, device: { ...device, ...changed } }, about, pinned).device;

  test("says what it lives in, as registered", () => {
    expect(run()).toBe("TPM");
    const software = deviceCertificateBy(four, registryAccount(registry, deviceKey, 1), deviceKey);
    expect(run(software)).toBe("software");
  });

  test("of another key, device, key epoch or registry is refused", () => {
    for (const [name, value] of Object.entries({ deviceId: word("x"), keyEpoch: 2, keyHash: word("x") }))
      expectRefusal("state", () => run({}, { ...claims, deviceKey: { ...deviceKey, [name]: value } }));
    expectRefusal("state", () => run({}, { ...claims, registry: CHAIN.anchor }));
    expectRefusal("state", () => run({ key: device.state, state: device.key }));
    expectRefusal("malformed", () => checkCertificate({ ...certificate, device }, claimsOf(words), pins));
    expectRefusal("state", () => run(deviceCertificateBy(four, registryAccount(registry, deviceKey, 3), deviceKey)));
  });

  test("by others than those pinned, or too few of them, is refused", () => {
    expectRefusal("validators", () => run(deviceCertificateBy(validators(4, "stranger"), account, deviceKey)));
    expectRefusal("validators", () => run(deviceCertificateBy(four.slice(2), account, deviceKey, { listed: four })));
  });
});

describe("in a bundle", () => {
  const stream = new TestStream(0, 60, fixedRandom("certificate")).fill(SLOT, 6);
  const anchored = anchorAll(stream, committee());
  const number = anchored.epoch.number;
  const own = new Map([[number, epochHash(anchored.epoch)]]);
  const bundles = [
    { ...windowBundle(stream, anchored, SLOT + 1, SLOT + 3), certificate: certificateBy(four, CHAIN.anchor, own) },
    {
      ...readingBundle(stream, anchored, stream.packs[2] as (typeof stream.packs)[0], 0),
      certificate: certificateBy(four, CHAIN.anchor, own),
    },
  ];

  test.each(bundles)("of a $format it is read, checked and reported", (bundle) => {
    const saved = decodeBundle(encodeBundle(bundle));
    expect(saved).toEqual(bundle);
    expect(verify(saved, { validators: pins }).certified).toMatchObject({ epochs: [number], pinned: true, seals: 4 });
    expect(verify(saved).certified).toMatchObject({ pinned: false });
    expectRefusal("validators", () => verify(saved, { validators: validators(4, "x").map((v) => v.address) }));
  });

  test("none is said to be none, and refused where validators are pinned", () => {
    const { certificate: _, ...without } = bundles[0] as (typeof bundles)[0];
    expect((verify(without as never) as WindowReport).certified).toBeNull();
    expectRefusal("validators", () => verify(without as never, { validators: pins }), /no certificate/);
    expectRefusal("malformed", () => verify({ ...without, certificate: null } as never));
  });

  test("with any byte of it changed it is refused", () => {
    const [bundle] = bundles as [(typeof bundles)[0]];
    const [epoch] = bundle.certificate.epochs as [Certificate["epochs"][0]];
    const parts = [epoch.header, ...epoch.account, ...epoch.storage].map(fromBase64);
    fc.assert(
      fc.property(fc.nat(parts.length - 1), fc.nat(), fc.integer({ min: 1, max: 255 }), (part, where, by) => {
        const bytes = (parts[part] as Uint8Array).slice();
        bytes[where % bytes.length] = (bytes[where % bytes.length] as number) ^ by;
        const changed = parts.with(part, bytes).map(toBase64);
        const forged = {
          ...epoch,
          header: changed[0] as string,
          account: changed.slice(1, 1 + epoch.account.length),
          storage: changed.slice(1 + epoch.account.length),
        };
        const run = () => check({ changes: [], epochs: [forged] }, own, pins);
        expect(run).toThrow();
        neverCrashes(run);
      }),
      { numRuns: 150 },
    );
  });
});
