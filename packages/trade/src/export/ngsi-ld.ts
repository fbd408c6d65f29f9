import { type Schema, type SenmlRecord, valueText, type WindowReport } from "@msec/core";
import { type Exact, jsonText, listLines } from "./json.ts";
import { proofOf } from "./proof.ts";

const CORE_CONTEXT = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.8.jsonld";
/** UN/CEFACT codes (Recommendation 20) of SenML units: what `unitCode` takes. Other units are named beside the value. */
const UNIT_CODES: Record<string, string> = {
  m: "MTR",
  kg: "KGM",
  g: "GRM",
  s: "SEC",
  A: "AMP",
  K: "KEL",
  Hz: "HTZ",
  Pa: "PAL",
  hPa: "A97",
  J: "JOU",
  W: "WTT",
  V: "VLT",
  Cel: "CEL",
  lx: "LUX",
  "m/s": "MTS",
  "%": "P1",
  "%RH": "P1",
  "mg/m3": "GP",
  "ug/m3": "GQ",
};
/** Members of an entity that mean something by themselves. */
const RESERVED = ["id", "type", "scope", "createdAt", "modifiedAt", "deletedAt", "expiresAt"];
const OWN = ["name", "device", "proof"];

/** Attribute names of quantities: letters, digits and underscores, each its own. */
function attributeNames({ quantities }: Schema): Map<string, string> {
  const taken = new Set([...RESERVED, ...OWN, "location", "observationSpace", "operationSpace"]);
  return new Map(
    quantities.map(({ name }) => {
      let attribute = name.replaceAll(/[^A-Za-z0-9_]/g, "_").replace(/^(?=[0-9])/, "_");
      while (taken.has(attribute)) attribute += "_";
      taken.add(attribute);
      return [name, attribute];
    }),
  );
}

function propertyOf(reading: SenmlRecord, { unit, text }: { unit: string; text: string }): Exact {
  const unitCode = UNIT_CODES[unit];
  return {
    type: "Property",
    value: reading.v ?? reading.vb ?? valueText(reading),
    observedAt: new Date(reading.tMs).toISOString(),
    ...(unitCode ? { unitCode } : unit ? { unit: { type: "Property", value: unit } } : {}),
    ...(text ? { title: { type: "Property", value: text } } : {}),
  };
}

/** One entity in NGSI-LD's temporal representation (ETSI GS CIM 009): an attribute a quantity, an instance a reading. */
export function* ngsiLdLines(schema: Schema, report: WindowReport): Generator<string> {
  const head: [string, Exact][] = [
    ["id", `urn:ngsi-ld:Stream:${report.streamId}`],
    ["type", "Stream"],
    ["name", { type: "Property", value: report.name }],
    ["device", { type: "Relationship", object: `urn:ngsi-ld:Device:${report.deviceId}` }],
    ["proof", { type: "Property", value: proofOf(report) }],
  ];
  const names = attributeNames(schema);
  yield `{${head.map(([name, value]) => `\n${jsonText(name)}:${jsonText(value)}`).join(",")}`;
  for (const quantity of schema.quantities) {
    const readings = report.rows.filter(({ n }) => n === quantity.name);
    if (readings.length === 0) continue;
    yield `,\n${jsonText(names.get(quantity.name) as string)}:[`;
    yield* listLines(readings, (reading) => propertyOf(reading, quantity));
    yield "]";
  }
  yield `,\n"@context":${jsonText(CORE_CONTEXT)}\n}\n`;
}
