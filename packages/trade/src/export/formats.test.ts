import { type Decimal, parseNumber, type Schema, type SenmlRecord, type WindowReport } from "@msec/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { numberValue } from "../../../core/test/arbitraries.ts";
import { TestStream } from "../../../core/test/city.ts";
import { exportWindow, type Format, FORMATS } from "./formats.ts";

const T = Date.UTC(2024, 4, 1, 12);
const QUANTITIES = [
  { name: "CO", unit: "mg/m3", text: "CO(GT)" },
  { name: "t.air-1", unit: "Cel", text: "" },
  { name: "t_air_1", unit: "weird", text: 'say "hi"' },
  { name: "id", unit: "", text: "reserved" },
];
const { preimage } = new TestStream();
const schema: Schema = { ...preimage.schema, quantities: QUANTITIES };
const stream = { ...preimage, schema };

const report = (rows: SenmlRecord[]) =>
  ({
    name: "park-1",
    streamId: `0x${"51".repeat(32)}`,
    deviceId: `0x${"de".repeat(32)}`,
    fromSlot: 1,
    toSlot: 2,
    epoch: { number: 7, hash: `0x${"e0".repeat(32)}`, closedAt: T },
    packs: 1,
    readings: rows.length,
    emptySlots: 0,
    gaps: 0,
    erased: 0,
    rows,
  }) as unknown as WindowReport;

const textIn = (format: Format, rows: SenmlRecord[]) => [...exportWindow(format, stream, report(rows))].join("");

type Json = Record<string, never>;
/** JSON whose numbers are read with all their digits. */
const exact = (text: string): unknown =>
  JSON.parse(text, ((_: string, value: unknown, { source }: { source?: string }) =>
    typeof value === "number" ? parseNumber(source as string) : value) as never);

const value = fc.oneof(
  { weight: 4, arbitrary: numberValue.map((v) => ({ v })) },
  fc.string({ unit: "binary" }).map((vs) => ({ vs })),
  fc.boolean().map((vb) => ({ vb })),
  fc.uint8Array({ maxLength: 9 }).map((vd) => ({ vd })),
);
const rows = fc.array(
  fc
    .tuple(fc.constantFrom(...QUANTITIES), value, fc.integer({ min: 2 ** 28 * 1000, max: 4_000_000_000_000 }))
    .map(([{ name, unit }, v, tMs]): SenmlRecord => ({ n: name, ...(unit ? { u: unit } : {}), ...v, tMs })),
  { maxLength: 30 },
);
const shown = ({ v, vs, vb, vd }: SenmlRecord) => v ?? vb ?? vs ?? Buffer.from(vd as Uint8Array).toString("hex");

describe("SenML", () => {
  test("reads back to the same records, digit by digit, each with its name in the world", () => {
    fc.assert(
      fc.property(rows, (given) => {
        const read = exact(textIn("senml", given)) as (Record<string, unknown> & { t: number | Decimal })[];
        expect(read[0]?.bn).toBe(given.length ? `0x${"51".repeat(32)}/` : undefined);
        const records = read.map(({ bn: _, t, vd, ...record }) => ({
          ...record,
          ...(vd === undefined ? {} : { vd: new Uint8Array(Buffer.from(vd as string, "base64url")) }),
          tMs: Math.round(1000 * Number(String(t))),
        }));
        expect(records).toEqual(given);
      }),
    );
  });
});

describe("NGSI-LD", () => {
  test("has an attribute a quantity, under names that no member of an entity has, and an instance a reading", () => {
    fc.assert(
      fc.property(rows, (given) => {
        const entity = exact(textIn("ngsi-ld", given)) as Json;
        const { id, type, name: _n, device: _d, proof: _p, "@context": context, ...attributes } = entity;
        expect([id, type]).toEqual([`urn:ngsi-ld:Stream:0x${"51".repeat(32)}`, "Stream"]);
        expect(context).toMatch(/^https:\/\/uri\.etsi\.org\//);
        const names = { CO: "CO", "t.air-1": "t_air_1", t_air_1: "t_air_1_", id: "id_" } as const;
        const expected = Object.entries(names).flatMap(([quantity, attribute]) => {
          const readings = given.filter(({ n }) => n === quantity);
          return readings.length ? [[attribute, readings.map(shown)]] : [];
        });
        const found = Object.entries(attributes as Record<string, { value: unknown }[]>).map(([name, list]) => [
          name,
          list.map((instance) => instance.value),
        ]);
        expect(found).toEqual(expected);
      }),
    );
  });

  test("names a unit by its UN/CEFACT code where it has one", () => {
    const of = (n: string) => JSON.parse(textIn("ngsi-ld", [{ n, v: 1, tMs: T }])) as Record<string, object[]>;
    expect(of("CO").CO).toEqual([
      {
        type: "Property",
        value: 1,
        observedAt: "2024-05-01T12:00:00.000Z",
        unitCode: "GP",
        title: { type: "Property", value: "CO(GT)" },
      },
    ]);
    expect(of("t_air_1").t_air_1_?.[0]).toMatchObject({ unit: { type: "Property", value: "weird" } });
  });
});

describe("SensorThings", () => {
  test("is one Thing with a Datastream a quantity, an Observation a reading, digit by digit", () => {
    fc.assert(
      fc.property(rows, (given) => {
        const thing = exact(textIn("sensorthings", given)) as {
          name: string;
          Datastreams: { name: string; Observations: { result: unknown; phenomenonTime: string }[] }[];
        };
        expect(thing.name).toBe("park-1");
        expect(thing.Datastreams.map(({ name }) => name)).toEqual(QUANTITIES.map(({ name }) => `park-1 ${name}`));
        for (const [i, { name }] of QUANTITIES.entries()) {
          const readings = given.filter(({ n }) => n === name);
          const { Observations } = thing.Datastreams[i] as (typeof thing.Datastreams)[0];
          expect(Observations.map(({ result }) => result)).toEqual(readings.map(shown));
          expect(Observations.map(({ phenomenonTime }) => Date.parse(phenomenonTime))).toEqual(
            readings.map(({ tMs }) => tMs),
          );
        }
      }),
    );
  });

  test("says what results are: measurements, truths, or anything", () => {
    const type = (readings: Partial<SenmlRecord>[]) => {
      const given = readings.map((r): SenmlRecord => ({ n: "CO", tMs: T, ...r }));
      const thing = JSON.parse(textIn("sensorthings", given)) as { Datastreams: { observationType: string }[] };
      return thing.Datastreams[0]?.observationType.split("/").pop();
    };
    expect(type([{ v: 1 }, { v: 2.5 }])).toBe("OM_Measurement");
    expect(type([{ vb: true }])).toBe("OM_TruthObservation");
    expect(type([{ v: 1 }, { vs: "low" }])).toBe("OM_Observation");
  });
});

test("a large window leaves in chunks, none of them much larger than the others", () => {
  const many = Array.from({ length: 20_000 }, (_, i): SenmlRecord => ({ n: "CO", u: "mg/m3", v: i / 10, tMs: T + i }));
  for (const format of Object.keys(FORMATS) as Format[]) {
    const chunks = [...exportWindow(format, stream, report(many))];
    expect(chunks.length).toBeGreaterThan(5);
    expect(Math.max(...chunks.map(({ length }) => length))).toBeLessThan(70_000);
  }
});
