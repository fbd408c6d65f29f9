import { type Quantity, type Schema, type SenmlRecord, valueText, type WindowReport } from "@msec/core";
import { type Exact, jsonText, listLines } from "./json.ts";
import { proofOf } from "./proof.ts";

const OM = "http://www.opengis.net/def/observationType/OGC-OM/2.0/";
const SENML_UNITS = "https://www.rfc-editor.org/rfc/rfc8428#section-12.1";

/** What results of these readings are: measurements, truths, or anything. */
function observationType(readings: readonly SenmlRecord[]): string {
  if (readings.every(({ v }) => v !== undefined)) return `${OM}OM_Measurement`;
  return readings.every(({ vb }) => vb !== undefined) ? `${OM}OM_TruthObservation` : `${OM}OM_Observation`;
}

function datastream(report: WindowReport, { name, unit, text }: Quantity, readings: readonly SenmlRecord[]) {
  const label = text || name;
  return {
    name: `${report.name} ${name}`,
    description: label,
    observationType: observationType(readings),
    unitOfMeasurement: { name: unit || "none", symbol: unit, definition: SENML_UNITS },
    Sensor: {
      name: report.deviceId,
      description: "signs what it measures",
      encodingType: "application/json",
      metadata: { deviceId: report.deviceId },
    },
    ObservedProperty: { name, definition: `urn:x-msec:${report.streamId}:${name}`, description: label },
  };
}

function observation(reading: SenmlRecord): Exact {
  const time = new Date(reading.tMs).toISOString();
  return { phenomenonTime: time, resultTime: time, result: reading.v ?? reading.vb ?? valueText(reading) };
}

/**
 * OGC SensorThings 1.1: one Thing with a Datastream a quantity and an Observation a reading, as one POST to `/Things` takes
 * it.
 */
export function* sensorThingsLines(schema: Schema, report: WindowReport): Generator<string> {
  const thing = { name: report.name, description: `stream ${report.streamId}`, properties: proofOf(report) };
  yield `${jsonText(thing).slice(0, -1)},\n"Datastreams":[`;
  let before = "";
  for (const quantity of schema.quantities) {
    const readings = report.rows.filter(({ n }) => n === quantity.name);
    yield `${before}\n${jsonText(datastream(report, quantity, readings)).slice(0, -1)},"Observations":[`;
    yield* listLines(readings, observation);
    yield "]}";
    before = ",";
  }
  yield "]}\n";
}
