import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { writeJson } from "@msec/service";
import { type NetworkFolder, type NetworkPlan, type NodePlan } from "./network.ts";
import { answering, type Running } from "./node.ts";

// What runs beside a node for its users and for its operator: the edge, and the keeper of its peers.

export const EDGE = fileURLToPath(new URL("../../../oracles/edge/src/main.ts", import.meta.url));
export const KEEPER = fileURLToPath(new URL("./keeper.ts", import.meta.url));
const NODE_COMPILE_CACHE = fileURLToPath(new URL("../../../node_modules/.cache/msec", import.meta.url));

/** Configuration of a node's edge; quotas are its defaults until somebody sets them. */
export function writeEdge(folder: NetworkFolder, plan: NetworkPlan, one: NodePlan): void {
  if (!one.edge) return;
  writeJson(folder.edgeConfig(one.name), {
    name: one.name,
    node: `http://127.0.0.1:${one.rpc}`,
    chainId: plan.chainId,
    privateState: one.manager !== undefined,
    port: one.edge.port,
    health: { port: one.edge.health },
  });
}

export const startEdge = (folder: NetworkFolder, one: NodePlan): Promise<Running> =>
  start(`the edge of ${one.name}`, EDGE, folder.edgeConfig(one.name), folder.edgeLog(one.name), one.edge?.health);

export const writeKeeper = (folder: NetworkFolder, one: NodePlan): void =>
  writeJson(folder.keeperConfig(one.name), { network: folder.root, node: one.name, port: one.keeper });

export function startKeeper(folder: NetworkFolder, one: NodePlan): Promise<Running> {
  writeKeeper(folder, one);
  return start(
    `the keeper of ${one.name}`,
    KEEPER,
    folder.keeperConfig(one.name),
    folder.keeperLog(one.name),
    one.keeper,
  );
}

async function start(
  name: string,
  script: string,
  config: string,
  logFile: string,
  port: number | undefined,
): Promise<Running> {
  const log = openSync(logFile, "a", 0o600);
  try {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", script, config], {
      stdio: ["ignore", log, log],
      detached: true,
      env: { ...process.env, NODE_COMPILE_CACHE },
    });
    const answers = () => fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(1000) });
    return await answering(name, child, logFile, answers);
  } finally {
    closeSync(log);
  }
}
