import { describe, expect, test } from "vitest";
import * as core from "../src/index.ts";
import { expectRefusal } from "./expect.ts";

const ID: core.Hex = `0x${"5a".repeat(32)}`;
const PLACE = { latitude: 43.4712, longitude: -3.8013, altitude: 12, accuracy: 5, name: "Parque de Las Llamas" };
const THING = {
  title: "park/air",
  place: PLACE,
  model: "Fiware box 3",
  calibration: { date: "2026-05-31", note: "against the reference station" },
};
const changed = (change: Record<string, unknown>) =>
  JSON.stringify({ ...(JSON.parse(core.thingText(ID, THING)) as object), ...change });

describe("a description", () => {
  test("is a Thing Description whose text gives back what was described", () => {
    const text = core.thingText(ID, THING);
    expect(core.readThing(ID, text)).toEqual(THING);
    expect(JSON.parse(text)).toMatchObject({ id: `urn:msec:${ID}`, title: "park/air", security: "nosec" });
    const bare = { title: "x" };
    expect(core.readThing(ID, core.thingText(ID, bare))).toEqual(bare);
  });

  test("may hold what other makers write in theirs", () => {
    expect(core.readThing(ID, changed({ properties: { no2: { type: "number" } } }))).toEqual(THING);
  });

  test.each([
    ["NaN", { latitude: null, longitude: 1 }],
    ["91°", { latitude: 91, longitude: 1 }],
    ["181°", { latitude: 1, longitude: -181 }],
    ["text", { latitude: "43.4", longitude: -3.8 }],
    ["half of it", { latitude: 43.4 }],
    ["a list", [43.4, -3.8]],
    ["an endless height", { latitude: 43.4, longitude: -3.8, altitude: 1e9 }],
    ["a negative accuracy", { latitude: 43.4, longitude: -3.8, accuracy: -1 }],
    ["a long name", { latitude: 43.4, longitude: -3.8, name: "x".repeat(121) }],
  ])("whose place is no place (%s) is refused", (_, location) => {
    expectRefusal("malformed", () => core.readThing(ID, changed({ location })));
  });

  test("may name slots that anybody opens: some, and not more than a day of minutes", () => {
    const sample = { fromSlot: 7, toSlot: 7 + core.MAX_SAMPLE_SLOTS - 1 };
    expect(core.readThing(ID, core.thingText(ID, { ...THING, sample }))).toEqual({ ...THING, sample });
    for (const wrong of [
      { fromSlot: 8, toSlot: 7 },
      { fromSlot: 7, toSlot: 7 + core.MAX_SAMPLE_SLOTS },
      { fromSlot: -1, toSlot: 3 },
      { fromSlot: 1.5, toSlot: 3 },
      { fromSlot: core.LAST_SLOT, toSlot: core.LAST_SLOT + 1 },
      { fromSlot: "1", toSlot: 3 },
      { fromSlot: 1 },
      [1, 2],
    ])
      expectRefusal("malformed", () => core.readThing(ID, changed({ sample: wrong })));
  });

  test("that is too long, no JSON, without a title, of another stream or calibrated on no day is refused", () => {
    expectRefusal("oversize", () => core.readThing(ID, changed({ note: "é".repeat(4096) })));
    expectRefusal("malformed", () => core.readThing(ID, "{"));
    expectRefusal("malformed", () => core.readThing(ID, "[]"));
    expectRefusal("malformed", () => core.readThing(ID, changed({ title: 1 })));
    expectRefusal("malformed", () => core.readThing(ID, changed({ calibration: { date: "2026-13-01" } })));
    expectRefusal("wrong-stream", () => core.readThing(core.ZERO32, core.thingText(ID, THING)));
  });

  test("is its owner's for one text, version, stream and city only", () => {
    const key = new Uint8Array(32).fill(7);
    const domain = core.registryDomain(1337, `0x${"a1".repeat(20)}`);
    const given = { version: 3, document: core.thingText(ID, THING) };
    const signature = core.signTyped(key, domain, core.THING_DESCRIPTION, core.thingDescription(ID, given));
    const owner = core.addressOfKey(key);
    expect(core.thingSigner(domain, ID, { ...given, signature })).toBe(owner);
    expect(core.thingSigner(domain, ID, { ...given, version: 4, signature })).not.toBe(owner);
    expect(core.thingSigner(domain, ID, { ...given, document: `${given.document} `, signature })).not.toBe(owner);
    expect(core.thingSigner(domain, core.ZERO32, { ...given, signature })).not.toBe(owner);
    expect(core.thingSigner({ ...domain, chainId: 1 }, ID, { ...given, signature })).not.toBe(owner);
  });
});

test("a rounded place is at most a kilometre off, and has neither name nor height", () => {
  const rounded = core.roundedPlace(PLACE);
  expect(rounded).toEqual({ latitude: 43.47, longitude: -3.8, accuracy: 1000 });
  for (const value of [Number.NaN, Infinity, "1", null, undefined, 91])
    expect(core.isPlace({ latitude: value, longitude: 0 })).toBe(false);
});

test("a place is read as maps give it, and nothing else is one", () => {
  expect(core.placeFrom(" 43.4728,-3.8002 ")).toEqual({ latitude: 43.4728, longitude: -3.8002 });
  for (const text of ["", ",", "43.4728", "43.4728; -3.8002", "1,2,3", "91, 0", "0, 181", "43,", "north, west"])
    expect(core.placeFrom(text)).toBeUndefined();
});
