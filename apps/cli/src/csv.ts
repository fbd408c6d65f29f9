import { type Schema, type SenmlRecord, valueText } from "@msec/core";

const cell = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Readings as rows of a table: consecutive readings of one time share a row until a quantity comes again. */
export function tableOf(
  schema: Schema,
  readings: readonly SenmlRecord[],
): { tMs: number; values: Map<string, SenmlRecord> }[] {
  const rows: { tMs: number; values: Map<string, SenmlRecord> }[] = [];
  const order = new Map(schema.quantities.map((q, i) => [q.name, i]));
  let last = -1;
  for (const reading of readings) {
    const row = rows[rows.length - 1];
    const at = order.get(reading.n) ?? 0;
    if (row && row.tMs === reading.tMs && at > last) row.values.set(reading.n, reading);
    else rows.push({ tMs: reading.tMs, values: new Map([[reading.n, reading]]) });
    last = at;
  }
  return rows;
}

/** CSV (RFC 4180) with the schema's texts as headers, times in ISO 8601, numbers exactly as they were measured. */
export function csvOf(schema: Schema, readings: readonly SenmlRecord[]): string {
  const { quantities } = schema;
  const header = ["time", ...quantities.map((q) => (q.unit ? `${q.text} [${q.unit}]` : q.text))];
  const lines = tableOf(schema, readings).map(({ tMs, values }) =>
    [
      new Date(tMs).toISOString(),
      ...quantities.map((q) => (values.has(q.name) ? valueText(values.get(q.name) as SenmlRecord) : "")),
    ]
      .map(cell)
      .join(","),
  );
  return `${[header.map(cell).join(","), ...lines].join("\r\n")}\r\n`;
}
