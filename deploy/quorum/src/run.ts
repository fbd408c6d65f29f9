import { existsSync, readFileSync } from "node:fs";
import { type NetworkFolder } from "./network.ts";

/** What run.json says: process ids by node. */
export type NetworkRun = Record<string, number>;

/** Process ids of the nodes that run, whoever started them. */
export function runningNodes(folder: NetworkFolder): NetworkRun {
  if (!existsSync(folder.run)) return {};
  const run = JSON.parse(readFileSync(folder.run, "utf8")) as NetworkRun;
  return Object.fromEntries(Object.entries(run).filter(([name, pid]) => isNode(folder, name, pid)));
}

/** Whether a process is this node and not another one that was given its number since. */
export function isNode(folder: NetworkFolder, name: string, pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !existsSync("/proc") || readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(folder.config(name));
  } catch {
    return false;
  }
}
