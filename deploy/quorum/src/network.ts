import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Profile, quorum } from "@msec/chain";
import { type Hex } from "@msec/core";
import { putSecret, secretFile } from "@msec/service";
import { z } from "zod";
import { NetworkProblem } from "./problem.ts";

const hex = (bytes: number) => z.string().regex(new RegExp(`^0x[0-9a-f]{${2 * bytes}}$`)) as unknown as z.ZodType<Hex>;
const port = z.int().min(1).max(65_535);

/** A node of a plan. */
export const nodePlan = z.strictObject({
  name: z.string().regex(/^node-\d+$/),
  /** Whether it was planned as a validator; who is one now, the chain says. */
  validator: z.boolean(),
  /** Of the node key: how validators are named on the chain. */
  address: hex(20),
  /** Uncompressed point of the node key, without its first byte. */
  publicKey: z.string().regex(/^[0-9a-f]{128}$/),
  /** Where the other nodes, and its manager's peers, reach it. All else is on loopback. */
  host: z.ipv4(),
  p2p: port,
  rpc: port,
  ws: port,
  /** Ports of the privacy manager beside it, if it has one. */
  manager: z.strictObject({ q2t: port, thirdParty: port, p2p: port, health: port }).optional(),
  /** In place of one: the servers of a Tessera that its operator runs, for the node and for applications. */
  tessera: z
    .strictObject({ q2t: z.url({ protocol: /^https?$/ }), thirdParty: z.url({ protocol: /^https?$/ }) })
    .optional(),
  /** Ports of the edge, where users reach it. */
  edge: z.strictObject({ port, health: port }).optional(),
  /** Port of the keeper of its peers, once the network follows a Directory. */
  keeper: port.optional(),
});

export const networkPlan = z.strictObject({
  chainId: z.int().min(2),
  blockSeconds: z.int().min(1).max(60),
  nodes: z.array(nodePlan).min(1),
  /** The Directory whose organisations' nodes are let in; without one, every node of this plan. */
  directory: hex(20).optional(),
});

export type NodePlan = z.infer<typeof nodePlan>;
export type NetworkPlan = z.infer<typeof networkPlan>;

/** Where a network keeps what it has. Each node has a folder of its own, which is all that its machine needs. */
export class NetworkFolder {
  readonly root: string;

  constructor(root: string) {
    this.root = resolve(root);
  }

  get plan() {
    return join(this.root, "network.json");
  }
  get genesis() {
    return join(this.root, "genesis.json");
  }
  /** Which processes run now. */
  get run() {
    return join(this.root, "run.json");
  }
  /** Units for systemd, and a file for compose. */
  get units() {
    return join(this.root, "systemd");
  }
  get compose() {
    return join(this.root, "compose.yaml");
  }
  node(name: string) {
    return join(this.root, "nodes", name);
  }
  /** Blocks and state: may be wiped, and comes back from the others. */
  data(name: string) {
    return join(this.node(name), "data");
  }
  config(name: string) {
    return join(this.node(name), "node.toml");
  }
  /** Its privacy manager: keys, configuration, log. */
  manager(name: string) {
    return join(this.node(name), "manager");
  }
  managerConfig(name: string) {
    return join(this.manager(name), "config.json");
  }
  managerLog(name: string) {
    return join(this.manager(name), "manager.log");
  }
  /** Who the managers are, as each of them has it. */
  get parties() {
    return join(this.root, "parties.json");
  }
  /** Of a node that joined: what the others take in. */
  get card() {
    return join(this.root, "card.json");
  }
  /** The database server of all managers. */
  get postgres() {
    return join(this.root, "postgres");
  }
  edgeConfig(name: string) {
    return join(this.node(name), "edge.json");
  }
  edgeLog(name: string) {
    return join(this.node(name), "edge.log");
  }
  keeperConfig(name: string) {
    return join(this.node(name), "keeper.json");
  }
  keeperLog(name: string) {
    return join(this.node(name), "keeper.log");
  }
  log(name: string) {
    return join(this.node(name), "node.log");
  }
  startScript(name: string) {
    return join(this.node(name), "start.sh");
  }
}

const hasNodeKey = (folder: NetworkFolder, name: string) => existsSync(join(folder.node(name), "node-key.sealed"));

/** Writes the key of a new node, sealed at rest beside the key that opens it. Never over another one. */
export function putNodeKey(folder: NetworkFolder, name: string, key: Uint8Array): void {
  if (hasNodeKey(folder, name))
    throw new NetworkProblem(
      `${folder.node(name)} holds a key, and ${folder.plan} knows of no such node: put the plan back from a backup, or remove that folder`,
    );
  putSecret(folder.node(name), "node-key", key);
}

/** The key of a node that was made before. Never a new one: the network would not know it. */
export function openNodeKey(folder: NetworkFolder, name: string): Uint8Array {
  if (!hasNodeKey(folder, name))
    throw new NetworkProblem(
      `${folder.node(name)} has no key of ${name}: put it back with msec network restore --node ${name}`,
    );
  return secretFile(folder.node(name), "node-key");
}

export const enodeOf = ({ publicKey, host, p2p }: NodePlan): string => `enode://${publicKey}@${host}:${p2p}?discport=0`;

/** How a node of the network is spoken to. */
export const profileOf = ({ chainId, blockSeconds }: NetworkPlan, { rpc, ws }: NodePlan): Profile =>
  quorum(`http://127.0.0.1:${rpc}`, `ws://127.0.0.1:${ws}`, chainId, blockSeconds);

/** Where a node asks its manager. Whoever reaches it reads everything of this organisation's. */
export const managerUrl = ({ q2t }: NonNullable<NodePlan["manager"]>): string => `http://127.0.0.1:${q2t}`;

/** Servers of a node's privacy manager, whichever it is: for the node, and for applications. */
export const privacyOf = ({ manager, tessera }: NodePlan): { q2t: string; thirdParty: string } | undefined =>
  manager ? { q2t: managerUrl(manager), thirdParty: `http://127.0.0.1:${manager.thirdParty}` } : tessera;

/** Throws where members have managers of both kinds: a payload would never reach those at the other kind. */
export function refuseMixture(members: number, tesseras: number): void {
  if (tesseras > 0 && tesseras < members)
    throw new NetworkProblem(
      `a Tessera and this project's privacy manager can't exchange payloads: give each of the ${members} members a Tessera, or none (here ${tesseras})`,
    );
}

/** Reads the plan of a network. Throws {@link NetworkProblem} where there is none or it is damaged. */
export function readPlan(folder: NetworkFolder): NetworkPlan {
  if (!existsSync(folder.plan))
    throw new NetworkProblem(`there is no network in ${folder.root}: make one with msec network init`);
  return parsePlan(folder.plan);
}

/** Reads a plan that is there, such as a backup's. */
export function parsePlan(file: string): NetworkPlan {
  let plan: NetworkPlan;
  try {
    plan = networkPlan.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    throw new NetworkProblem(`${file} is damaged (${(error as Error).message}): restore it from a backup`);
  }
  const members = plan.nodes.filter(privacyOf);
  refuseMixture(members.length, members.filter(({ tessera }) => tessera).length);
  return plan;
}
