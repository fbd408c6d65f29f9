import { type JsonRpcProvider } from "ethers";
import type pg from "pg";
import { type Calls } from "./calls.ts";

/** A number behind a verdict; `amount` is in the token's smallest unit. */
export interface Figure {
  name: string;
  value: string;
  unit: "amount" | "count" | "hash";
}

export interface Finding {
  id: string;
  /** Of which token, where there may be several. */
  subject: string | null;
  verdict: "holds" | "broken" | "unknown";
  /** Why it does not hold or can't be told; what is remarkable where it does. */
  reason: string | null;
  figures: Figure[];
  /** Events that were added up. */
  events: string[];
}

/** What an invariant is evaluated on: one block, its state and all events up to it. */
export interface Moment {
  block: number;
  calls: Calls;
  provider: JsonRpcProvider;
  db: pg.Pool;
}

export interface Invariant {
  /** Of its findings. */
  ids: readonly string[];
  evaluate(moment: Moment): Promise<Finding[]>;
}

export const amount = (name: string, value: bigint): Figure => ({ name, value: String(value), unit: "amount" });
export const count = (name: string, value: number | bigint): Figure => ({ name, value: String(value), unit: "count" });
export const hash = (name: string, value: string): Figure => ({ name, value, unit: "hash" });

/** Most accounts, deals or streams that are read one by one each time. */
export const MOST = 2_000;

/** What can't be told at once, and is not guessed. */
export class TooMany extends Error {
  constructor(what: string, found: number) {
    super(`${found} ${what} are more than are read each time (${MOST}): put the calls to a node of your own`);
  }
}

export function few<T>(rows: T[], what: string): T[] {
  if (rows.length > MOST) throw new TooMany(what, rows.length);
  return rows;
}

export const sum = (values: readonly bigint[]): bigint => values.reduce((a, b) => a + b, 0n);

export async function rowsOf<T>({ db }: Moment, sql: string, values: unknown[]): Promise<T[]> {
  return (await db.query(sql, values)).rows as T[];
}
