import { readFileSync, rmSync } from "node:fs";

const { MSEC_KILL_AT: KILL, MSEC_KILL_FILE: FILE } = process.env;

/**
 * A named step at which a test may have the process killed, to see what a restart makes of it: `MSEC_KILL_AT=step`, or,
 * for a process that already runs, by writing the step's name into the file `MSEC_KILL_FILE`, which is removed first.
 */
export function step(name: string): void {
  if (KILL === name || (FILE !== undefined && armed(FILE, name))) process.kill(process.pid, "SIGKILL");
}

function armed(file: string, name: string): boolean {
  try {
    if (readFileSync(file, "utf8") !== name) return false;
  } catch {
    return false;
  }
  rmSync(file);
  return true;
}
