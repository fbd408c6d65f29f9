import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { writeJson } from "@msec/service";
import { type NetworkFolder } from "./network.ts";

/** What run.json says: process ids by node, and by node and part, such as `node-1/manager`. */
export type NetworkRun = Record<string, number>;

/** What runs beside a node: its privacy manager, its users' edge, whoever keeps its peers as the Directory says. */
export type Part = "manager" | "edge" | "keeper";

export const partOf = (node: string, part: Part): string => `${node}/${part}`;
export const managerOf = (node: string): string => partOf(node, "manager");
export const isManager = (name: string): boolean => name.endsWith("/manager");
export const isNode = (name: string): boolean => !name.includes("/");
/** The node that a process is, or is beside. */
export const nodeOf = (name: string): string => name.split("/")[0] as string;

/** Processes of the network that run, whoever started them. */
export function runningProcesses(folder: NetworkFolder): NetworkRun {
  if (!existsSync(folder.run)) return {};
  const run = JSON.parse(readFileSync(folder.run, "utf8")) as NetworkRun;
  return Object.fromEntries(Object.entries(run).filter(([name, pid]) => isRunning(folder, name, pid)));
}

/** Process ids of the nodes that run. */
export const runningNodes = (folder: NetworkFolder): NetworkRun =>
  Object.fromEntries(Object.entries(runningProcesses(folder)).filter(([name]) => isNode(name)));

/** Notes a process that another one than `network up` started, while others may be doing the same. */
export async function noteProcess(folder: NetworkFolder, name: string, pid: number): Promise<void> {
  while (isRunning(folder, name, pid) && runningProcesses(folder)[name] !== pid) {
    try {
      writeJson(folder.run, { ...runningProcesses(folder), [name]: pid });
    } catch {
      // Another one writes at the same moment.
    }
    await sleep(50 + Math.random() * 200);
  }
}

/** The configuration that a process was started with. */
function configOf(folder: NetworkFolder, name: string): string {
  const [node, part] = name.split("/") as [string, Part | undefined];
  if (part === "manager") return folder.managerConfig(node);
  if (part === "edge") return folder.edgeConfig(node);
  if (part === "keeper") return folder.keeperConfig(node);
  return folder.config(node);
}

/** Whether a process is this part of the network and not another one that was given its number since. */
export function isRunning(folder: NetworkFolder, name: string, pid: number): boolean {
  try {
    process.kill(pid, 0);
    return (
      !existsSync("/proc") || readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(configOf(folder, name))
    );
  } catch {
    return false;
  }
}
