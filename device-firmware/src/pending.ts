import { parseNumber } from "@msec/core";
import type { WrapKey } from "@msec/secure-element";
import type { Batch } from "./drivers/driver.ts";

const PURPOSE = "pending reading";

/** A live batch as it waits in the outbox for its pack: wrapped, since readings rest on the disk only encrypted. */
export function wrapBatch(wrap: WrapKey, { tMs, readings, last }: Batch): Uint8Array {
  const rows = readings.map(({ name, value }) => [name, String(value)]);
  return wrap.wrap(Buffer.from(JSON.stringify({ tMs, rows, last })), PURPOSE);
}

export function unwrapBatch(wrap: WrapKey, wrapped: Uint8Array): Batch {
  const { tMs, rows, last } = JSON.parse(Buffer.from(wrap.unwrap(wrapped, PURPOSE)).toString()) as {
    tMs: number;
    rows: [string, string][];
    last: boolean;
  };
  return { tMs, last, position: null, readings: rows.map(([name, text]) => ({ name, value: parseNumber(text) ?? 0 })) };
}
