import { fileURLToPath } from "node:url";
import { writeJson } from "@msec/service";
import { type NetworkFolder, type NetworkPlan, type NodePlan, privacyOf } from "./network.ts";
import { type Running } from "./node.ts";
import { programOf, startProgram } from "./program.ts";

// What runs beside a node for its users and for its operator: the edge, and the keeper of its peers.

export const EDGE = fileURLToPath(new URL("../../../oracles/edge/src/main.ts", import.meta.url));
export const KEEPER = fileURLToPath(new URL("./keeper.ts", import.meta.url));

const metricsAt = (port: number | undefined): string => `http://127.0.0.1:${port}/metrics`;

/** Configuration of a node's edge; quotas are its defaults until somebody sets them. */
export function writeEdge(folder: NetworkFolder, plan: NetworkPlan, one: NodePlan): void {
  if (!one.edge) return;
  writeJson(folder.edgeConfig(one.name), {
    name: one.name,
    node: `http://127.0.0.1:${one.rpc}`,
    chainId: plan.chainId,
    privateState: privacyOf(one) !== undefined,
    port: one.edge.port,
    health: { port: one.edge.health },
  });
}

export const startEdge = (folder: NetworkFolder, one: NodePlan): Promise<Running> =>
  startProgram(
    `the edge of ${one.name}`,
    programOf("edge", EDGE, folder.edgeConfig(one.name)),
    folder.edgeLog(one.name),
    metricsAt(one.edge?.health),
  );

export const writeKeeper = (folder: NetworkFolder, one: NodePlan): void =>
  writeJson(folder.keeperConfig(one.name), { network: folder.root, node: one.name, port: one.keeper });

export function startKeeper(folder: NetworkFolder, one: NodePlan): Promise<Running> {
  writeKeeper(folder, one);
  return startProgram(
    `the keeper of ${one.name}`,
    programOf("keeper", KEEPER, folder.keeperConfig(one.name)),
    folder.keeperLog(one.name),
    metricsAt(one.keeper),
  );
}
