import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { join } from "node:path";
import { addressOfKey, toHex } from "@msec/core";
import { freePort, writeJson } from "@msec/service";
import { SigningKey } from "ethers";
import { writeEdge } from "./companions.ts";
import { writeManagers } from "./manager.ts";
import {
  enodeOf,
  NetworkFolder,
  type NetworkPlan,
  type NodePlan,
  privacyOf,
  putNodeKey,
  readPlan,
  refuseMixture,
} from "./network.ts";
import { drawNodeKey } from "./order.ts";
import { NetworkProblem } from "./problem.ts";
import { BLOCK_GAS, genesis, RECOMMIT_SECONDS } from "./qbft.ts";
import { writeUnits } from "./units.ts";

export interface InitOptions {
  chainId: number;
  validators: number;
  /** Further nodes, which follow the chain and vote for nothing. */
  observers: number;
  /** How many of the nodes, the first ones, have a privacy manager. */
  members: number;
  /** Servers of a Tessera for each member, which then has no manager of this project's. */
  tesseras?: NonNullable<NodePlan["tessera"]>[];
  blockSeconds: number;
  /** Where each node is reached by others, in their order; loopback if left out. */
  hosts?: string[];
  /** Ports that somebody else of this machine is to have, and may not listen on yet. */
  taken?: ReadonlySet<number>;
}

/** Writes a complete network into a folder that holds none. */
export async function initNetwork(root: string, options: InitOptions): Promise<NetworkPlan> {
  const folder = new NetworkFolder(root);
  if (existsSync(folder.plan))
    throw new NetworkProblem(`there is a network in ${folder.root} already: choose another folder, or bring it up`);
  if (options.validators < 4)
    throw new NetworkProblem("at least four validators: with fewer the chain stops when one of them does");
  const count = options.validators + options.observers;
  const { members, tesseras = [], hosts } = options;
  if (members > count || members === 1)
    throw new NetworkProblem(`from two to ${count} of the nodes can have a privacy manager, or none`);
  if (tesseras.length > members)
    throw new NetworkProblem(`there are ${tesseras.length} Tesseras and ${members} members: one each`);
  refuseMixture(members, tesseras.length);
  if (hosts && (hosts.length !== count || !hosts.every(isIPv4)))
    throw new NetworkProblem(`give an IPv4 address for each of the ${count} nodes`);
  const ports = await freePorts(PORTS * count, options.taken);
  const nodes: NodePlan[] = [];
  for (let i = 0; i < count; i++)
    nodes.push(
      planNode(
        folder,
        i + 1,
        {
          validator: i < options.validators,
          host: hosts?.[i] ?? LOOPBACK,
          ...(tesseras[i] ? { tessera: tesseras[i] } : { member: i < members }),
        },
        ports.slice(PORTS * i, PORTS * (i + 1)),
        nodes,
      ),
    );
  const plan = { chainId: options.chainId, blockSeconds: options.blockSeconds, nodes };
  writePlan(folder, plan);
  const validators = nodes.filter(({ validator }) => validator).map(({ address }) => address);
  writeJson(folder.genesis, genesis({ ...plan, validators }));
  for (const one of nodes) writeNode(folder, plan, one);
  writeManagers(folder, plan);
  writeUnits(folder, plan);
  return plan;
}

const PORTS = 9;
export const LOOPBACK = "127.0.0.1";

export interface NewNode {
  validator: boolean;
  /** Where the others reach it, IPv4. */
  host: string;
  /** Whether it has a privacy manager of this project's. */
  member?: boolean;
  /** In place of one. */
  tessera?: NonNullable<NodePlan["tessera"]>;
}

function planNode(
  folder: NetworkFolder,
  number: number,
  given: NewNode,
  ports: number[],
  others: readonly NodePlan[],
): NodePlan {
  const name = `node-${number}`;
  const key = drawNodeKey(others.map(({ address }) => address));
  putNodeKey(folder, name, key);
  const [p2p, rpc, ws, edge, edgeHealth, q2t, thirdParty, managerP2p, health] = ports as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return {
    name,
    validator: given.validator,
    address: addressOfKey(key),
    publicKey: new SigningKey(toHex(key)).publicKey.slice(4),
    host: given.host,
    p2p,
    rpc,
    ws,
    edge: { port: edge, health: edgeHealth },
    ...(given.member ? { manager: { q2t, thirdParty, p2p: managerP2p, health } } : {}),
    ...(given.tessera ? { tessera: given.tessera } : {}),
  };
}

/** One more node of a network, with its key; the plan does not have it yet. */
export async function nextNode(folder: NetworkFolder, plan: NetworkPlan, given: NewNode): Promise<NodePlan> {
  const last = Math.max(...plan.nodes.map(({ name }) => Number(name.slice("node-".length))));
  const [keeper, ...ports] = (await freePorts(PORTS + 1)) as [number, ...number[]];
  return { ...planNode(folder, last + 1, given, ports, plan.nodes), ...(plan.directory ? { keeper } : {}) };
}

/** Plans one more node and, unless a Directory says who is, lets it in at every other. */
export async function planNextNode(folder: NetworkFolder, validator: boolean): Promise<NodePlan> {
  const plan = readPlan(folder);
  const added = await nextNode(folder, plan, { validator, host: LOOPBACK });
  const next = { ...plan, nodes: [...plan.nodes, added] };
  writePlan(folder, next);
  writeNode(folder, next, added);
  writeUnits(folder, next);
  // Those that follow a Directory let it in once it is in there.
  if (!plan.directory)
    for (const one of plan.nodes) if (existsSync(folder.node(one.name))) writePeers(folder, next, one);
  return added;
}

export const writePlan = (folder: NetworkFolder, plan: NetworkPlan) => writeJson(folder.plan, plan);

/** What a node has of the network: whom it dials, whom it lets in, how it runs. */
export function writeNode(folder: NetworkFolder, plan: NetworkPlan, one: NodePlan): void {
  writePeers(folder, plan, one);
  writeFileSync(folder.config(one.name), toml(plan, one));
  writeEdge(folder, plan, one);
}

/** Whom a node dials and whom it lets in: every node of the plan. */
export function writePeers(folder: NetworkFolder, plan: NetworkPlan, one: NodePlan): void {
  mkdirSync(folder.data(one.name), { recursive: true, mode: 0o700 });
  const enodes = plan.nodes.map(enodeOf);
  writeJson(join(folder.data(one.name), "static-nodes.json"), enodes);
  writeJson(join(folder.data(one.name), "permissioned-nodes.json"), enodes);
}

/**
 * Of a node with a privacy manager: its operator may unlock the account for extensions of private contracts, by the operator's
 * socket, which alone has `personal`. Its password is random, so that a costly derivation adds nothing.
 */
const EXTENSIONS = `InsecureUnlockAllowed = true
UseLightweightKDF = true
`;

/** Settings that two cores carry. Only the other nodes reach it beyond loopback, where it was asked for. */
const toml = (plan: NetworkPlan, one: NodePlan) => `[Eth]
NetworkId = ${plan.chainId}
SyncMode = "full"
RPCGasCap = ${BLOCK_GAS}

[Eth.Miner]
GasFloor = ${BLOCK_GAS}
GasCeil = ${BLOCK_GAS}
GasPrice = 0
Recommit = ${RECOMMIT_SECONDS * 1e9}

[Eth.TxPool]
AccountSlots = 4096
GlobalSlots = 16384
AccountQueue = 4096
GlobalQueue = 16384

[Node]
DataDir = "data"
HTTPHost = "127.0.0.1"
HTTPPort = ${one.rpc}
HTTPModules = ["eth", "net", "web3", "txpool", "quorumExtension"]
WSHost = "127.0.0.1"
WSPort = ${one.ws}
WSModules = ["eth", "net", "web3", "txpool", "quorumExtension"]
${privacyOf(one) ? EXTENSIONS : ""}
[Node.P2P]
MaxPeers = 50
NoDiscovery = true
BootstrapNodes = []
BootstrapNodesV5 = []
ListenAddr = "${one.host}:${one.p2p}"
`;

async function freePorts(count: number, taken?: ReadonlySet<number>): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort(taken));
  return ports;
}
