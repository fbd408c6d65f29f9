const KILL = process.env.MSEC_KILL_AT;

/** A named step at which a test may have the process killed (`MSEC_KILL_AT=step`), to see what a restart makes of it. */
export function step(name: string): void {
  if (KILL === name) process.kill(process.pid, "SIGKILL");
}
