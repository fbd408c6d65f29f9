import type { Decimal, Quantity } from "@msec/core";

/** One measurement of one quantity of the stream's schema. */
export interface Measured {
  name: string;
  value: number | Decimal;
}

/** What a sensor measured at one moment. Readings of one batch always share a pack. */
export interface Batch {
  /** Unix milliseconds. */
  tMs: number;
  readings: Measured[];
  /** Where to go on after this batch; null where a driver has no place to go back to. */
  position: string | null;
  /** Nothing ever follows: the batch's pack carries FLAG.end. */
  last: boolean;
}

/**
 * A source of batches. It is pulled, so that a full outbox holds it back. What it throws as a DeviceError stops its
 * stream; other errors of a live driver are tried again.
 */
export interface Driver {
  /** What the stream's schema says, derived from the source; used once, when the stream is made. */
  discover(): Promise<Quantity[]>;
  /** Batches after `position` (null: from the start); ends when the source does. */
  batches(position: string | null, quantities: readonly Quantity[], signal: AbortSignal): AsyncIterable<Batch>;
  /** Times are the source's own, not the moment of reading. */
  readonly recorded: boolean;
}

/** Names for a schema out of any headers: SenML's alphabet, distinct, the header itself kept as text. */
export function safeNames(headers: readonly string[]): string[] {
  const used = new Set<string>();
  return headers.map((header) => {
    const plain =
      header
        .trim()
        .replace(/[^A-Za-z0-9\-:./_]/g, "_")
        .replace(/^[^A-Za-z0-9]+/, "") || "q";
    let name = plain;
    for (let i = 2; used.has(name); i++) name = `${plain}_${i}`;
    used.add(name);
    return name;
  });
}
