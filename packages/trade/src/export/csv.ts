import { type Schema, type SenmlRecord, valueText } from "@msec/core";

const cell = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const line = (cells: string[]) => `${cells.map(cell).join(",")}\r\n`;

export interface Row {
  tMs: number;
  values: Map<string, SenmlRecord>;
}

/** Readings as rows of a table: consecutive readings of one time share a row until a quantity comes again. */
export function* tableOf({ quantities }: Schema, readings: Iterable<SenmlRecord>): Generator<Row> {
  const order = new Map(quantities.map((q, i) => [q.name, i]));
  let row: Row | undefined;
  let last = -1;
  for (const reading of readings) {
    const at = order.get(reading.n) ?? 0;
    if (row && row.tMs === reading.tMs && at > last) row.values.set(reading.n, reading);
    else {
      if (row) yield row;
      row = { tMs: reading.tMs, values: new Map([[reading.n, reading]]) };
    }
    last = at;
  }
  if (row) yield row;
}

/** CSV (RFC 4180) with the schema's texts as headers, times in ISO 8601, numbers exactly as they were measured. */
export function* csvLines(schema: Schema, readings: Iterable<SenmlRecord>): Generator<string> {
  const { quantities } = schema;
  yield line(["time", ...quantities.map((q) => (q.unit ? `${q.text} [${q.unit}]` : q.text))]);
  for (const { tMs, values } of tableOf(schema, readings))
    yield line([
      new Date(tMs).toISOString(),
      ...quantities.map(({ name }) => {
        const reading = values.get(name);
        return reading ? valueText(reading) : "";
      }),
    ]);
}

export const csvOf = (schema: Schema, readings: Iterable<SenmlRecord>): string =>
  [...csvLines(schema, readings)].join("");
