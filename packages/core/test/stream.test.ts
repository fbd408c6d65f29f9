import fc from "fast-check";
import { expect, test } from "vitest";
import {
  cborEncode,
  concat,
  decodeSchema,
  deviceIdOfEk,
  deviceIdOfSoftware,
  encodeSchema,
  isSenmlName,
  keccak256,
  keyHash,
  MAX_PAD_BYTES,
  pointOfSpki,
  type Schema,
  sha256,
  SLOT_SECONDS,
  slotOf,
  slotTimes,
  spkiOfPoint,
  streamId,
  streamOf,
  type StreamPreimage,
  toHex,
  utf8,
} from "../src/index.ts";
import { mutated, schema } from "./arbitraries.ts";
import { deviceKey, TestStream } from "./city.ts";
import { expectRefusal, neverCrashes } from "./expect.ts";

const fresh = (change: Partial<StreamPreimage> = {}, ofSchema: Partial<Schema> = {}): StreamPreimage => {
  const preimage = structuredClone(new TestStream().preimage);
  return { ...preimage, ...change, schema: { ...preimage.schema, ...ofSchema } };
};

test("a schema comes back, and only its one form is read", () => {
  fc.assert(fc.property(schema, (s) => void expect(decodeSchema(encodeSchema(s))).toEqual(s)));
  fc.assert(
    fc.property(mutated(schema.map(encodeSchema)), (bytes) => {
      neverCrashes(() => expect(encodeSchema(decodeSchema(bytes))).toEqual(bytes));
    }),
    { numRuns: 3000 },
  );
  const rows = [["CO", "mg/m3", "CO"]];
  for (const map of [
    [[1, rows]],
    [[1, rows], [2, 0], [3, 0], [4, 0]],
    [[1, rows], [2, 0], [3, 4]],
    [[1, rows], [2, 0], [5, 1]],
    [[1, rows], [2, -1]],
    [[1, rows], [2, 0.5]],
    [[1, "CO"], [2, 0]],
    [[1, [["CO", "mg/m3"]]], [2, 0]],
    [[1, [["CO", "mg/m3", 5]]], [2, 0]],
  ] as [number, unknown][][]) // prettier-ignore
    expectRefusal("malformed", () => decodeSchema(cborEncode(new Map(map))));
  expectRefusal("malformed", () => decodeSchema(cborEncode([1])));
});

test("an id commits to every field of the preimage", () => {
  const preimage = fresh();
  const id = streamId(preimage);
  const changed = [
    { ...preimage, deviceId: toHex(sha256(utf8("x"))) },
    { ...preimage, ownerEpoch: 2 },
    { ...preimage, name: "park-2" },
    { ...preimage, slotSeconds: 600 },
    { ...preimage, mode: 2, slotSeconds: 0 },
    { ...preimage, salt: toHex(sha256(utf8("x"))) },
    { ...preimage, schema: { ...preimage.schema, retainDays: 1 } },
    { ...preimage, schema: { ...preimage.schema, quantities: preimage.schema.quantities.slice(1) } },
  ];
  const ids = [id, ...changed.map(streamId)];
  expect(new Set(ids).size).toBe(ids.length);
  expect(streamId(structuredClone(preimage))).toBe(id);
});

test("a preimage whose id was asked for can't change under it", () => {
  const preimage = fresh();
  streamId(preimage);
  expect(() => (preimage.name = "other")).toThrow(TypeError);
  expect(() => (preimage.schema.retainDays = 5)).toThrow(TypeError);
  expect(() => preimage.schema.quantities.push({ name: "x", unit: "", text: "" })).toThrow(TypeError);
  expect(() => ((preimage.schema.quantities[0] as { unit: string }).unit = "kg")).toThrow(TypeError);
});

test("streams that the protocol does not know are refused", () => {
  for (const mode of [-1, 3, 0.5]) expectRefusal("wrong-stream", () => streamOf(fresh({ mode })));
  for (const slotSeconds of [0, 2, 61, -60, NaN]) expectRefusal("wrong-stream", () => streamOf(fresh({ slotSeconds })));
  expectRefusal("wrong-stream", () => streamOf(fresh({ mode: 2, slotSeconds: 60 })));
  expectRefusal("wrong-stream", () => streamOf(fresh({ mode: 1 })), /belong to sealed/);
  expectRefusal("wrong-stream", () => streamOf(fresh({}, { padCount: 1, padBytes: 100 })));
  const sealed = (padCount: number, padBytes: number) => streamOf(fresh({ mode: 1 }, { padCount, padBytes }));
  expect(sealed(1, MAX_PAD_BYTES).mode).toBe(1);
  for (const [count, size] of [[1, 0], [0, 1], [1, MAX_PAD_BYTES + 1], [1.5, 100], [NaN, 100], [-1, -1]] as const) // prettier-ignore
    expectRefusal("wrong-stream", () => sealed(count, size));
  expectRefusal("wrong-stream", () => streamOf(fresh({}, { quantities: [] })));
  const q = { name: "a", unit: "", text: "" };
  for (const quantities of [[q, q], [{ ...q, name: "ä" }], [{ ...q, unit: "\ud800" }], [{ ...q, text: "\udc00" }]])
    expectRefusal("wrong-stream", () => streamOf(fresh({}, { quantities })));
  expectRefusal("wrong-stream", () => streamOf(fresh({ name: "\ud800" })));
  expectRefusal("wrong-stream", () => streamOf(fresh({}, { retainDays: -1 })));
  expectRefusal("malformed", () => streamId(fresh({ ownerEpoch: -1 })));
  expectRefusal("malformed", () => streamId(fresh({ deviceId: "0x00" })));
});

test("slots by exact division, also where a quotient would be rounded", () => {
  expect(slotOf(0, 60)).toBe(0);
  expect(slotOf(59_999, 60)).toBe(0);
  expect(slotOf(60_000, 60)).toBe(1);
  expect(slotOf(5e15, 0)).toBe(0);
  fc.assert(
    fc.property(fc.constantFrom(...SLOT_SECONDS), fc.nat({ max: 2 ** 53 - 1e8 }), (seconds, tMs) => {
      const exact = BigInt(tMs) / BigInt(1000 * seconds);
      if (exact > 0xffffffffn) expectRefusal("slot", () => slotOf(tMs, seconds));
      else {
        expect(slotOf(tMs, seconds)).toBe(Number(exact));
        const { fromMs, toMs } = slotTimes(Number(exact), seconds);
        expect(fromMs <= tMs && tMs <= toMs && toMs - fromMs === 1000 * seconds - 1).toBe(true);
      }
    }),
  );
  // (100,000,001 · 86,400,000 − 1) / 86,400,000 as doubles is 100,000,001
  expect(slotOf(100_000_001 * 86_400_000 - 1, 86_400)).toBe(100_000_000);
  expectRefusal("slot", () => slotOf(-1, 60));
});

test("SenML names of RFC 8428, section 4.5.1", () => {
  for (const name of ["a", "0", "urn:dev:ow:1", "a-b_c/d.e"]) expect(isSenmlName(name)).toBe(true);
  for (const name of ["", "-a", ":a", ".a", "/a", "_a", "a b", "ä", "a\n"]) expect(isSenmlName(name)).toBe(false);
});

test("ids of devices and keys", () => {
  const { spki } = deviceKey();
  expect(keyHash(spki)).toBe(toHex(sha256(spki)));
  expect(deviceIdOfSoftware(spki)).toBe(toHex(keccak256(concat(utf8("msec.device.sw"), spki))));
  expect(deviceIdOfEk(spki)).toBe(toHex(keccak256(concat(utf8("msec.device"), sha256(spki)))));
  expect(spkiOfPoint(pointOfSpki(spki))).toEqual(spki);
  expectRefusal("unknown-key", () => pointOfSpki(spki.subarray(1)));
  expectRefusal("unknown-key", () => pointOfSpki(concat(spki, Uint8Array.of(0))));
  const other = Uint8Array.from(spki);
  other[20] = 0x22; // secp384r1
  expectRefusal("unknown-key", () => pointOfSpki(other));
  expectRefusal("malformed", () => spkiOfPoint(new Uint8Array(65)));
});
