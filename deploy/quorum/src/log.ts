import { openSync, renameSync, statSync } from "node:fs";

const MOST_BYTES = 32 * 2 ** 20;

/** Opens a process's log to append to. One that has grown large is put aside first, in place of the one before it. */
export function openLog(file: string): number {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > MOST_BYTES) renameSync(file, `${file}.1`);
  return openSync(file, "a", 0o600);
}
