import { setTimeout as sleep } from "node:timers/promises";
import { type Decimal, parseNumber, type Quantity, sha256, toHex, utf8 } from "@msec/core";
import { stat } from "node:fs/promises";
import type { ReplayConfig } from "../config.ts";
import { type CsvRow, readCsv } from "../csv.ts";
import { DeviceError } from "../errors.ts";
import { parseTime } from "../time.ts";
import { type Batch, type Driver, type Measured, safeNames } from "./driver.ts";

/** Where a replay stands: rows done, and what tells that it is still the same file. */
interface Position {
  rows: number;
  header: string;
  size: number;
}

interface Layout {
  time: number[];
  values: { at: number; header: string; name: string }[];
  fingerprint: string;
  width: number;
}

/** Replays a CSV file with a header row. A row's cells share one time; cells that mark a missing value are no readings. */
export class ReplayDriver implements Driver {
  readonly #config: ReplayConfig;
  readonly #missing: ReadonlySet<string>;
  constructor(config: ReplayConfig) {
    this.#config = config;
    this.#missing = new Set(config.missing.flatMap((text) => [text.trim(), plain(parseNumber(text))]));
  }

  get recorded(): boolean {
    return this.#config.recorded;
  }

  async discover(): Promise<Quantity[]> {
    for await (const row of readCsv(this.#config.file))
      return this.#layout(row).values.map(({ name, header }) => ({ name, unit: "", text: header }));
    throw new DeviceError("csv", `${this.#config.file} is empty: it needs a header row`, this.#config.file);
  }

  async *batches(position: string | null, quantities: readonly Quantity[], signal: AbortSignal): AsyncGenerator<Batch> {
    const { recorded, speed } = this.#config;
    let start: { wall: number; tMs: number } | undefined;
    for await (const row of this.#withLast(position, quantities)) {
      if (signal.aborted) return;
      start ??= { wall: performance.now(), tMs: row.tMs };
      if (speed !== "max") {
        const due = start.wall + (row.tMs - start.tMs) / speed;
        await wait(due, signal);
        if (signal.aborted) return;
      }
      yield recorded ? row : { ...row, tMs: Date.now() };
    }
  }

  /** Batches with readings. A row is held back until the next one with readings is found, so that the last is known. */
  async *#withLast(position: string | null, quantities: readonly Quantity[]): AsyncGenerator<Batch> {
    const { file, end } = this.#config;
    const from = position === null ? undefined : (JSON.parse(position) as Position);
    let size: number;
    try {
      ({ size } = await stat(file));
    } catch (error) {
      throw new DeviceError("csv", `can't read ${file}: ${(error as Error).message}`, file, error);
    }
    let layout: Layout | undefined;
    let rows = 0;
    let held: Batch | undefined;
    const place = () => JSON.stringify({ rows, header: layout?.fingerprint ?? "", size } satisfies Position);
    for await (const row of readCsv(file)) {
      if (layout === undefined) {
        layout = this.#layout(row);
        if (from && (from.header !== layout.fingerprint || size < from.size))
          throw new DeviceError(
            "source-changed",
            `${file} is not the file that was being replayed: put it back, or give the stream a new name`,
            file,
          );
        for (const { name } of layout.values)
          if (!quantities.some((q) => q.name === name))
            throw new DeviceError("stream-changed", `column "${name}" of ${file} is not in the stream's schema`, name);
        continue;
      }
      if (from === undefined || rows >= from.rows) {
        const batch = this.#read(row, layout);
        if (batch.readings.length > 0) {
          if (held) yield { ...held, position: place() };
          held = batch;
        }
      }
      rows++;
    }
    if (layout === undefined) throw new DeviceError("csv", `${file} is empty: it needs a header row`, file);
    if (held) yield { ...held, position: place(), last: end };
  }

  #layout(row: CsvRow): Layout {
    const { time, columns, ignore, file } = this.#config;
    const headers = row.fields.map((field) => field.trim());
    const find = (header: string) => {
      const at = headers.indexOf(header);
      if (at < 0)
        throw new DeviceError("csv", `${file} has no column "${header}"; it has ${headers.join(", ")}`, header);
      return at;
    };
    if (new Set(headers).size !== headers.length)
      throw new DeviceError("csv", `line ${row.line}: two columns have the same header; rename one`, headers);
    ignore.forEach(find);
    const taken = headers.filter((header) => !time.columns.includes(header) && !ignore.includes(header));
    const names = safeNames(taken);
    const values = columns
      ? Object.entries(columns).map(([header, name]) => ({ at: find(header), header, name }))
      : taken.map((header, i) => ({ at: find(header), header, name: names[i] as string }));
    if (values.length === 0)
      throw new DeviceError("csv", `${file} has no column beside time and ignored ones`, headers);
    return {
      time: time.columns.map(find),
      values,
      fingerprint: toHex(sha256(utf8(JSON.stringify(headers)))),
      width: headers.length,
    };
  }

  #read({ line, fields }: CsvRow, layout: Layout): Batch {
    if (fields.length !== layout.width)
      throw new DeviceError("csv", `line ${line}: ${fields.length} fields, the header has ${layout.width}`, line);
    const text = layout.time.map((i) => fields[i]).join(" ");
    const tMs = parseTime(text, this.#config.time.format);
    if (tMs === undefined)
      throw new DeviceError("csv", `line ${line}: "${text}" is not a time as ${this.#config.time.format}`, line);
    const readings: Measured[] = [];
    for (const { at, header, name } of layout.values) {
      const cell = (fields[at] as string).trim();
      if (cell === "" || this.#missing.has(cell)) continue;
      const value = parseNumber(cell);
      if (value === undefined)
        throw new DeviceError(
          "csv",
          `line ${line}: "${cell}" under ${header} is not a number; correct it, list it under missing, or ignore the column`,
          line,
        );
      if (!this.#missing.has(plain(value))) readings.push({ name, value });
    }
    return { tMs, readings, position: null, last: false };
  }
}

const plain = (value: number | Decimal | undefined): string => (value === undefined ? "" : String(value));

/** Sleeps until a moment of performance.now(), in steps since a timer holds at most 2^31 − 1 ms. */
async function wait(due: number, signal: AbortSignal): Promise<void> {
  for (let left = due - performance.now(); left > 0 && !signal.aborted; left = due - performance.now())
    await sleep(Math.min(left, 2 ** 30), undefined, { signal }).catch(() => undefined);
}
