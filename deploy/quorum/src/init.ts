import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { addressOfKey, toHex } from "@msec/core";
import { freePort, writeJson } from "@msec/service";
import { SigningKey } from "ethers";
import { writeEdge } from "./companions.ts";
import { writeManagers } from "./manager.ts";
import { enodeOf, NetworkFolder, type NetworkPlan, type NodePlan, putNodeKey, readPlan } from "./network.ts";
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
  blockSeconds: number;
}

/** Writes a complete network into a folder that holds none. */
export async function initNetwork(root: string, options: InitOptions): Promise<NetworkPlan> {
  const folder = new NetworkFolder(root);
  if (existsSync(folder.plan))
    throw new NetworkProblem(`there is a network in ${folder.root} already: choose another folder, or bring it up`);
  if (options.validators < 4)
    throw new NetworkProblem("at least four validators: with fewer the chain stops when one of them does");
  const count = options.validators + options.observers;
  if (options.members > count || options.members === 1)
    throw new NetworkProblem(`from two to ${count} of the nodes can have a privacy manager, or none`);
  const ports = await freePorts(PORTS * count);
  const nodes: NodePlan[] = [];
  for (let i = 0; i < count; i++)
    nodes.push(
      planNode(
        folder,
        i + 1,
        { validator: i < options.validators, member: i < options.members },
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

function planNode(
  folder: NetworkFolder,
  number: number,
  { validator, member }: { validator: boolean; member: boolean },
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
    validator,
    address: addressOfKey(key),
    publicKey: new SigningKey(toHex(key)).publicKey.slice(4),
    host: "127.0.0.1",
    p2p,
    rpc,
    ws,
    edge: { port: edge, health: edgeHealth },
    ...(member ? { manager: { q2t, thirdParty, p2p: managerP2p, health } } : {}),
  };
}

/** Plans one more node and, unless a Directory says who is, lets it in at every other. */
export async function planNextNode(folder: NetworkFolder, validator: boolean): Promise<NodePlan> {
  const plan = readPlan(folder);
  const last = Math.max(...plan.nodes.map(({ name }) => Number(name.slice("node-".length))));
  const [keeper, ...ports] = (await freePorts(PORTS + 1)) as [number, ...number[]];
  const added = {
    ...planNode(folder, last + 1, { validator, member: false }, ports, plan.nodes),
    ...(plan.directory ? { keeper } : {}),
  };
  const next = { ...plan, nodes: [...plan.nodes, added] };
  writePlan(folder, next);
  writeNode(folder, next, added);
  writeUnits(folder, next);
  // Those that follow a Directory let it in once it is in there.
  if (!plan.directory)
    for (const one of plan.nodes) if (existsSync(folder.node(one.name))) writePeers(folder, next, one);
  return added;
}

const writePlan = (folder: NetworkFolder, plan: NetworkPlan) => writeJson(folder.plan, plan);

/** What a node has of the network: whom it dials, whom it lets in, how it runs. */
function writeNode(folder: NetworkFolder, plan: NetworkPlan, one: NodePlan): void {
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

/** Settings that two cores carry, and ports on loopback only. */
const toml = (plan: NetworkPlan, one: NodePlan) => `[Eth]
NetworkId = ${plan.chainId}
SyncMode = "full"
EnableNodePermission = true
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

[Node.P2P]
MaxPeers = 50
NoDiscovery = true
BootstrapNodes = []
BootstrapNodesV5 = []
ListenAddr = "127.0.0.1:${one.p2p}"
`;

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort(ports));
  return [...ports];
}
