import { cborDecode, cborEncode } from "./cbor.ts";
import { Decimal } from "./decimal.ts";
import { demand } from "./errors.ts";
import { isSenmlName, isText } from "./stream.ts";

/**
 * One resolved SenML record (RFC 8428): a name, at most a unit, one value, a time. Exactly one of `v`, `vs`, `vb` and
 * `vd` is present.
 */
export interface SenmlRecord {
  n: string;
  u?: string;
  v?: number | Decimal;
  vs?: string;
  vb?: boolean;
  vd?: Uint8Array;
  /** Unix milliseconds. */
  tMs: number;
}

/** Times below 2^28 s are relative in RFC 8428. */
export const FIRST_ABSOLUTE_MS = 2 ** 28 * 1000;

const LABEL = { n: 0, u: 1, v: 2, vs: 3, vb: 4, t: 6, vd: 8 } as const;
const VALUES = ["v", "vs", "vb", "vd"] as const;

/** The record's one encoding: integer labels, no base labels, deterministic CBOR. Refuses what it could not read back. */
export function encodeRecord(record: SenmlRecord): Uint8Array {
  const map = new Map<number, unknown>([[LABEL.n, record.n]]);
  if (record.u !== undefined) map.set(LABEL.u, record.u);
  for (const field of VALUES)
    if (record[field] !== undefined)
      map.set(LABEL[field], field === "v" && Object.is(record.v, -0) ? 0 : record[field]);
  map.set(LABEL.t, record.tMs / 1000);
  checkRecord(map);
  return cborEncode(map);
}

export function decodeRecord(bytes: Uint8Array): SenmlRecord {
  const map = cborDecode(bytes);
  demand(map instanceof Map, "records", "a record is a CBOR map");
  return checkRecord(map);
}

function checkRecord(map: Map<unknown, unknown>): SenmlRecord {
  const n = map.get(LABEL.n);
  demand(typeof n === "string" && isSenmlName(n), "records", "a record has a SenML name under 0", n);
  const t = map.get(LABEL.t);
  demand(typeof t === "number" && Number.isFinite(t), "records", "a record has its time in seconds under 6", t);
  const tMs = Math.round(1000 * t);
  demand(tMs >= FIRST_ABSOLUTE_MS, "records", "a time before 2^28 s is relative in RFC 8428", t);
  demand(tMs / 1000 === t && Number.isSafeInteger(tMs), "records", "a time is a whole number of milliseconds", t);
  const record: SenmlRecord = { n, tMs };
  if (map.has(LABEL.u)) {
    const u = map.get(LABEL.u);
    demand(isText(u) && u !== "", "records", "a unit is well-formed text", u);
    record.u = u;
  }
  let values = 0;
  for (const [label, value] of map) {
    switch (label) {
      case LABEL.n:
      case LABEL.u:
      case LABEL.t:
        continue;
      case LABEL.v:
        demand(
          value instanceof Decimal || (typeof value === "number" && Number.isFinite(value)),
          "records",
          "v is a finite number",
          value,
        );
        demand(!Object.is(value, -0), "records", "v is 0, not −0");
        record.v = value;
        break;
      case LABEL.vs:
        demand(isText(value), "records", "vs is well-formed text", value);
        record.vs = value;
        break;
      case LABEL.vb:
        demand(typeof value === "boolean", "records", "vb is true or false", value);
        record.vb = value;
        break;
      case LABEL.vd:
        demand(value instanceof Uint8Array, "records", "vd is a byte string", value);
        record.vd = value;
        break;
      default:
        demand(false, "records", "a resolved record has the labels 0, 1, one of 2, 3, 4 and 8, and 6", label);
    }
    values++;
  }
  demand(values === 1, "records", "a record has exactly one value", values);
  return record;
}

/** The value as text that reads back to the same value. */
export function valueText(record: SenmlRecord): string {
  const value = record.v ?? record.vs ?? record.vb;
  if (value !== undefined) return String(value);
  return Array.from(record.vd ?? [], (byte) => byte.toString(16).padStart(2, "0")).join("");
}
