import { basename } from "node:path";
import { parseNumber } from "@msec/core";
import { DeviceError, parseTime, readCsv, type TimeFormat } from "@msec/device";
import { Problem } from "../problem.ts";
import { type DevicePlan } from "./devices.ts";

const FORMATS: TimeFormat[] = ["iso", "yyyy-mm-dd", "dd/mm/yyyy"];
const TIME_NAME = /^(time|date|timestamp|ts|datetime|date.?time|t|when|zeit|fecha|hora|日時|時刻)$/i;

/** Seconds since 1970 stay below this until the year 5138; larger times are milliseconds. */
const UNIX_SECONDS_END = 1e11;

interface Column {
  header: string;
  numeric: boolean;
  /** Largest number in the column. */
  largest: number;
  /** Text formats that fit every cell. */
  formats: Set<TimeFormat>;
}

/** What a CSV file holds: how its time is written, and which columns are numbers. */
async function study(
  file: string,
): Promise<{ columns: Column[]; time: { columns: string[]; format: TimeFormat }; rows: number }> {
  const columns: Column[] = [];
  const pairs = new Map<number, Set<TimeFormat>>();
  let rows = 0;
  for await (const { line, fields } of readCsv(file)) {
    if (columns.length === 0) {
      columns.push(
        ...fields.map((header) => ({ header: header.trim(), numeric: true, largest: 0, formats: new Set(FORMATS) })),
      );
      columns.forEach((_, i) => pairs.set(i, new Set(FORMATS)));
      continue;
    }
    if (fields.length !== columns.length)
      throw new Problem(`${file}, line ${line}: ${fields.length} fields, the header has ${columns.length}`, 2);
    rows++;
    columns.forEach((column, i) => {
      const cell = (fields[i] as string).trim();
      if (cell !== "" && parseNumber(cell) === undefined) column.numeric = false;
      column.largest = Math.max(column.largest, Number(cell) || 0);
      for (const format of column.formats) if (parseTime(cell, format) === undefined) column.formats.delete(format);
      const both = pairs.get(i) as Set<TimeFormat>;
      const beside = (fields[i + 1] ?? "").trim();
      for (const format of both)
        if (beside === "" || parseTime(`${cell} ${beside}`, format) === undefined) both.delete(format);
    });
  }
  if (rows === 0) throw new Problem(`${file} holds no rows below its header`, 2);
  return { columns, time: timeOf(file, columns, pairs), rows };
}

function timeOf(
  file: string,
  columns: Column[],
  pairs: Map<number, Set<TimeFormat>>,
): { columns: string[]; format: TimeFormat } {
  // A pair first: a date alone would be a time too, and the hour beside it lost.
  for (const [i, formats] of pairs) {
    const [format] = formats;
    if (format) return { columns: [(columns[i] as Column).header, (columns[i + 1] as Column).header], format };
  }
  const named = [...columns].sort((a, b) => Number(TIME_NAME.test(b.header)) - Number(TIME_NAME.test(a.header)));
  for (const { header, formats } of named) {
    const [format] = formats;
    if (format) return { columns: [header], format };
  }
  const unix = columns.find((c) => c.numeric && TIME_NAME.test(c.header));
  if (unix) return { columns: [unix.header], format: unix.largest > UNIX_SECONDS_END ? "unix-ms" : "unix-s" };
  throw new Problem(
    `${file} has no time column: one whose every cell reads as 2024-05-01T12:00:00Z, 2024-05-01 12:00:00, 01/05/2024 12:00:00, or Unix seconds under a header such as "time"`,
    2,
  );
}

/** A device that sells the reader's own file as one data set. */
export async function ownCsvPlan(file: string): Promise<{ plan: DevicePlan; rows: number; ignored: string[] }> {
  try {
    const { columns, time, rows } = await study(file);
    const ignored = columns.filter((c) => !c.numeric && !time.columns.includes(c.header)).map((c) => c.header);
    const plan: DevicePlan = {
      name: "your-file",
      owner: "city",
      unitPrice: 1n,
      streams: [
        {
          name: basename(file),
          mode: "dataset",
          pack: { maxReadings: 500 },
          driver: { kind: "replay", file, time, ignore: ignored, speed: "max", end: true },
        },
      ],
    };
    if (columns.length - ignored.length - time.columns.length === 0)
      throw new Problem(`${file} has no numeric column beside its time`, 2);
    return { plan, rows, ignored };
  } catch (error) {
    if (error instanceof DeviceError) throw new Problem(error.message, 2);
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new Problem(`there is no file ${file}`, 2);
    throw error;
  }
}
