import { existsSync, readFileSync } from "node:fs";
import { type NetworkFolder } from "./network.ts";

/** What run.json says: process ids by node, and by node and `/manager`. */
export type NetworkRun = Record<string, number>;

const MANAGER = "/manager";
export const managerOf = (node: string): string => `${node}${MANAGER}`;
export const isManager = (name: string): boolean => name.endsWith(MANAGER);

/** Processes of the network that run, whoever started them. */
export function runningProcesses(folder: NetworkFolder): NetworkRun {
  if (!existsSync(folder.run)) return {};
  const run = JSON.parse(readFileSync(folder.run, "utf8")) as NetworkRun;
  return Object.fromEntries(Object.entries(run).filter(([name, pid]) => isRunning(folder, name, pid)));
}

/** Process ids of the nodes that run. */
export const runningNodes = (folder: NetworkFolder): NetworkRun =>
  Object.fromEntries(Object.entries(runningProcesses(folder)).filter(([name]) => !isManager(name)));

/** Whether a process is this part of the network and not another one that was given its number since. */
export function isRunning(folder: NetworkFolder, name: string, pid: number): boolean {
  const file = isManager(name) ? folder.managerConfig(name.slice(0, -MANAGER.length)) : folder.config(name);
  try {
    process.kill(pid, 0);
    return !existsSync("/proc") || readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(file);
  } catch {
    return false;
  }
}
