import { type StreamPreimage, type WindowReport } from "@msec/core";
import { csvLines } from "./csv.ts";
import { ngsiLdLines } from "./ngsi-ld.ts";
import { senmlLines } from "./senml.ts";
import { sensorThingsLines } from "./sensorthings.ts";

type Lines = (stream: StreamPreimage, report: WindowReport) => Generator<string>;

/** What a bought window can be exported as. */
export const FORMATS = {
  csv: { mediaType: "text/csv", extension: "csv", lines: ({ schema }, { rows }) => csvLines(schema, rows) },
  senml: {
    mediaType: "application/senml+json",
    extension: "senml",
    lines: (_, { streamId, rows }) => senmlLines(streamId, rows),
  },
  "ngsi-ld": {
    mediaType: "application/ld+json",
    extension: "jsonld",
    lines: ({ schema }, report) => ngsiLdLines(schema, report),
  },
  sensorthings: {
    mediaType: "application/json",
    extension: "sensorthings.json",
    lines: ({ schema }, report) => sensorThingsLines(schema, report),
  },
} satisfies Record<string, { mediaType: string; extension: string; lines: Lines }>;
export type Format = keyof typeof FORMATS;

const CHUNK = 65_536;

/** The readings of a window in some format, in chunks of text for a file or a `ReadableStream`. */
export function* exportWindow(format: Format, stream: StreamPreimage, report: WindowReport): Generator<string> {
  let chunk = "";
  for (const line of FORMATS[format].lines(stream, report)) {
    chunk += line;
    if (chunk.length < CHUNK) continue;
    yield chunk;
    chunk = "";
  }
  yield chunk;
}
