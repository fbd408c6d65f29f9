import { type Decimal, type Hex, parseNumber, type SenmlRecord } from "@msec/core";
import { type Exact, listLines } from "./json.ts";

/** base64url without padding (RFC 4648, section 5). */
const base64Url = (bytes: Uint8Array) =>
  btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

function recordOf({ n, u, v, vs, vb, vd, tMs }: SenmlRecord): Record<string, Exact> {
  return {
    n,
    ...(u === undefined ? {} : { u }),
    t: parseNumber(`${tMs}e-3`) as number | Decimal,
    ...(v === undefined ? {} : { v }),
    ...(vs === undefined ? {} : { vs }),
    ...(vb === undefined ? {} : { vb }),
    ...(vd === undefined ? {} : { vd: base64Url(vd) }),
  };
}

/** SenML JSON (RFC 8428), names unique in the world by the stream's id. */
export function* senmlLines(streamId: Hex, readings: readonly SenmlRecord[]): Generator<string> {
  yield "[";
  yield* listLines(readings.entries(), ([i, reading]) => ({
    ...(i === 0 ? { bn: `${streamId}/` } : {}),
    ...recordOf(reading),
  }));
  yield "\n]\n";
}
