import { sha256 } from "#native";
import { recoverTyped } from "./account.ts";
import { type Hex, toHex, utf8 } from "./bytes.ts";
import { demand } from "./errors.ts";
import { LAST_SLOT, type NodePlace } from "./keytree.ts";
import { isIn, isPlace, type Place } from "./place.ts";
import { isText } from "./stream.ts";
import { type Domain } from "./struct.ts";
import { THING_DESCRIPTION } from "./types.ts";

// Where a stream is measured and with what, as its owner says it: a W3C Thing Description (WoT TD 1.1) under the owner's
// signature. Nobody proves that it is true.

/** Bytes of a description's text. */
export const MAX_THING_BYTES = 8192;
/** Slots of a sample. */
export const MAX_SAMPLE_SLOTS = 1440;

export interface Thing {
  title: string;
  place?: Place;
  /** Of the device. */
  model?: string;
  /** Last calibration: `YYYY-MM-DD`, and who did it or how. */
  calibration?: { date: string; note?: string };
  /** Slots, both included, whose keys operators give to anyone. Only an open stream has them. */
  sample?: { fromSlot: number; toSlot: number };
}

/** What anybody may open of a stream, with the keys of what is not erased of it. */
export interface SampleKeys {
  fromSlot: number;
  toSlot: number;
  nodes: (NodePlace & { key: Hex })[];
}

/** A description as it goes over HTTP: the text is signed as it came. */
export interface SignedThing {
  version: number;
  document: string;
  signature: Hex;
}

/** Domain of what a device's owner signs: the device registry on its chain. */
export const registryDomain = (chainId: number, deviceRegistry: Hex): Domain => ({
  name: "DeviceRegistry",
  chainId,
  verifyingContract: deviceRegistry,
});

/** The text of a description. */
export function thingText(streamId: Hex, { title, place, model, calibration, sample }: Thing): string {
  const text = JSON.stringify({
    "@context": [
      "https://www.w3.org/2022/wot/td/v1.1",
      { schema: "https://schema.org/", location: "schema:location", model: "schema:model" },
    ],
    id: idOf(streamId),
    title,
    securityDefinitions: { nosec: { scheme: "nosec" } },
    security: "nosec",
    ...(place ? { location: place } : {}),
    ...(model ? { model } : {}),
    ...(calibration ? { calibration } : {}),
    ...(sample ? { sample } : {}),
  });
  readThing(streamId, text);
  return text;
}

const idOf = (streamId: Hex) => `urn:msec:${streamId}`;

/** Reads a description of a stream; refuses what is too long, malformed, of another stream, or nowhere on Earth. */
export function readThing(streamId: Hex, text: string): Thing {
  demand(utf8(text).length <= MAX_THING_BYTES, "oversize", `a description has at most ${MAX_THING_BYTES} bytes`);
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    demand(false, "malformed", "a description is JSON");
  }
  const document = recordOf(given, "a description");
  demand(document.id === idOf(streamId), "wrong-stream", `a description's id is ${idOf(streamId)}`, document.id);
  const thing: Thing = { title: textOf(document.title, "title", 200) };
  if (document.location !== undefined) thing.place = placeOf(recordOf(document.location, "location"));
  if (document.model !== undefined) thing.model = textOf(document.model, "model", 120);
  if (document.calibration !== undefined) {
    const { date, note } = recordOf(document.calibration, "calibration");
    const day = textOf(date, "calibration.date", 10);
    demand(
      /^\d{4}-\d\d-\d\d$/.test(day) && !Number.isNaN(Date.parse(day)),
      "malformed",
      "calibration.date is a day such as 2026-05-31",
      date,
    );
    thing.calibration = { date: day, ...(note === undefined ? {} : { note: textOf(note, "calibration.note", 500) }) };
  }
  if (document.sample !== undefined) {
    const { fromSlot, toSlot } = recordOf(document.sample, "sample");
    const isSlot = (slot: unknown): slot is number => isIn(slot, 0, LAST_SLOT) && Number.isInteger(slot);
    demand(
      isSlot(fromSlot) && isSlot(toSlot) && fromSlot <= toSlot && toSlot - fromSlot < MAX_SAMPLE_SLOTS,
      "malformed",
      `a sample is of 1 to ${MAX_SAMPLE_SLOTS} slots, from fromSlot to toSlot`,
      document.sample,
    );
    thing.sample = { fromSlot, toSlot };
  }
  return thing;
}

function recordOf(value: unknown, what: string): Record<string, unknown> {
  demand(typeof value === "object" && value !== null && !Array.isArray(value), "malformed", `${what} is an object`);
  return value as Record<string, unknown>;
}

function textOf(value: unknown, what: string, most: number): string {
  demand(
    isText(value) && value.length > 0 && value.length <= most,
    "malformed",
    `${what} is a text of 1 to ${most} characters`,
    value,
  );
  return value;
}

function placeOf(given: Record<string, unknown>): Place {
  const { latitude, longitude } = given;
  const at: unknown = { latitude, longitude };
  demand(isPlace(at), "malformed", "latitude is a number from -90 to 90 and longitude one from -180 to 180", at);
  const place: Place = at;
  for (const [field, least, most] of [
    ["altitude", -11_000, 100_000],
    ["accuracy", 0, 100_000],
  ] as const) {
    const value = given[field];
    if (value === undefined) continue;
    demand(isIn(value, least, most), "malformed", `${field} is a number of metres from ${least} to ${most}`, value);
    place[field] = value;
  }
  if (given.name !== undefined) place.name = textOf(given.name, "location.name", 120);
  return place;
}

/** What the owner signs: the text by its SHA-256, so that a content id (CIDv1, raw) names it too. */
export const thingDescription = (streamId: Hex, { version, document }: Omit<SignedThing, "signature">) => ({
  streamId,
  version,
  document: toHex(sha256(utf8(document))),
});

/** Who signed a description of a stream. */
export const thingSigner = (domain: Domain, streamId: Hex, signed: SignedThing): Hex =>
  recoverTyped(domain, THING_DESCRIPTION, thingDescription(streamId, signed), signed.signature);
