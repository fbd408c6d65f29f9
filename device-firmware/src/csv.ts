import { createReadStream } from "node:fs";
import { DeviceError } from "./errors.ts";

/** One row of a CSV file. `line` is the line of the file on which it starts, from 1. */
export interface CsvRow {
  line: number;
  fields: string[];
}

const MAX_FIELD = 1 << 20;

/**
 * Rows of CSV text (RFC 4180): quoted fields with doubled quotes and line breaks inside, LF or CRLF, a byte order mark,
 * blank lines skipped. Nonsense is a {@link DeviceError} `csv` with its line.
 */
export async function* parseCsv(chunks: AsyncIterable<string> | Iterable<string>): AsyncGenerator<CsvRow> {
  let state: "start" | "plain" | "quoted" | "closed" = "start";
  let field = "";
  let fields: string[] = [];
  let line = 1;
  let rowLine = 1;
  let first = true;
  let skipLf = false;
  const nonsense = (why: string) => new DeviceError("csv", `line ${line}: ${why}`, line);
  for await (let chunk of chunks) {
    if (first && chunk.length > 0) {
      first = false;
      if (chunk.charCodeAt(0) === 0xfeff) chunk = chunk.slice(1);
    }
    const rows: CsvRow[] = [];
    for (const c of chunk) {
      if (skipLf) {
        skipLf = false;
        if (c === "\n") continue;
      }
      if (c === "\0") throw nonsense("a zero byte; this is not CSV text");
      if (state === "quoted") {
        if (c === '"') state = "closed";
        else {
          if (c === "\n") line++;
          field += c;
          if (field.length > MAX_FIELD) throw nonsense("a field of over a million characters; is a quote unclosed?");
        }
        continue;
      }
      if (c === "," || c === "\n" || c === "\r") {
        const blank = state === "start" && fields.length === 0;
        if (c === "," || !blank) fields.push(field);
        field = "";
        state = "start";
        if (c === ",") continue;
        if (!blank) rows.push({ line: rowLine, fields });
        fields = [];
        rowLine = ++line;
        skipLf = c === "\r";
      } else if (c === '"') {
        if (state === "closed") {
          field += '"';
          state = "quoted";
        } else if (state === "start") state = "quoted";
        else throw nonsense("a quote inside a field that does not start with one");
      } else {
        if (state === "closed") throw nonsense("text after a closing quote");
        state = "plain";
        field += c;
      }
    }
    yield* rows;
  }
  if (state === "quoted") throw nonsense("the file ends inside a quoted field");
  if (state !== "start" || fields.length > 0) yield { line: rowLine, fields: [...fields, field] };
}

/** Rows of a CSV file in UTF-8. */
export async function* readCsv(path: string): AsyncGenerator<CsvRow> {
  const file = createReadStream(path);
  const text = async function* () {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    try {
      for await (const bytes of file) yield decoder.decode(bytes as Uint8Array, { stream: true });
      yield decoder.decode();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ERR_ENCODING_INVALID_ENCODED_DATA")
        throw new DeviceError("csv", `${path} is not UTF-8 text: convert it first`, path, error);
      throw new DeviceError("csv", `can't read ${path}: ${(error as Error).message}`, path, error);
    }
  };
  try {
    yield* parseCsv(text());
  } finally {
    file.destroy();
  }
}
