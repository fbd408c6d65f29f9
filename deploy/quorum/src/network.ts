import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { addressOfKey, type Hex, toHex } from "@msec/core";
import { secretFile } from "@msec/service";
import { SigningKey } from "ethers";
import { z } from "zod";
import { NetworkProblem } from "./problem.ts";
import { BLOCK_GAS, genesis } from "./qbft.ts";

const hex = (bytes: number) => z.string().regex(new RegExp(`^0x[0-9a-f]{${2 * bytes}}$`)) as unknown as z.ZodType<Hex>;
const port = z.int().min(1).max(65_535);

const node = z.strictObject({
  name: z.string().regex(/^node-\d+$/),
  /** Whether it was planned as a validator; who is one now, the chain says. */
  validator: z.boolean(),
  /** Of the node key: how validators are named on the chain. */
  address: hex(20),
  /** Uncompressed point of the node key, without its first byte. */
  publicKey: z.string().regex(/^[0-9a-f]{128}$/),
  host: z.string(),
  p2p: port,
  rpc: port,
  ws: port,
});

const network = z.strictObject({
  chainId: z.int().min(2),
  blockSeconds: z.int().min(1).max(60),
  nodes: z.array(node).min(1),
});

export type NodePlan = z.infer<typeof node>;
export type NetworkPlan = z.infer<typeof network>;

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
  log(name: string) {
    return join(this.node(name), "node.log");
  }
}

/** 32 bytes, sealed at rest beside the key that opens them; made at random on first use. */
export const nodeKey = (folder: NetworkFolder, name: string): Uint8Array => secretFile(folder.node(name), "node-key");

export const enodeOf = ({ publicKey, host, p2p }: NodePlan): string => `enode://${publicKey}@${host}:${p2p}?discport=0`;

/** Reads the plan of a network. Throws {@link NetworkProblem} where there is none or it is damaged. */
export function readPlan(folder: NetworkFolder): NetworkPlan {
  if (!existsSync(folder.plan))
    throw new NetworkProblem(`there is no network in ${folder.root}: make one with msec network init`);
  try {
    return network.parse(JSON.parse(readFileSync(folder.plan, "utf8")));
  } catch (error) {
    throw new NetworkProblem(`${folder.plan} is damaged (${(error as Error).message}): restore it from a backup`);
  }
}

export interface InitOptions {
  chainId: number;
  validators: number;
  /** Further nodes, which follow the chain and vote for nothing. */
  observers: number;
  blockSeconds: number;
}

/** Writes a complete network into a folder that holds none. */
export async function initNetwork(root: string, options: InitOptions): Promise<NetworkPlan> {
  const folder = new NetworkFolder(root);
  if (existsSync(folder.plan))
    throw new NetworkProblem(`there is a network in ${folder.root} already: choose another folder, or bring it up`);
  if (options.validators < 4)
    throw new NetworkProblem("at least four validators: with fewer the chain stops when one of them does");
  const ports = await freePorts(3 * (options.validators + options.observers));
  const nodes = Array.from({ length: options.validators + options.observers }, (_, i) =>
    planNode(folder, i + 1, i < options.validators, ports.slice(3 * i, 3 * i + 3)),
  );
  const plan = { chainId: options.chainId, blockSeconds: options.blockSeconds, nodes };
  writePlan(folder, plan);
  const validators = nodes.filter(({ validator }) => validator).map(({ address }) => address);
  writeJson(folder.genesis, genesis({ ...plan, validators }));
  writeNodes(folder, plan);
  return plan;
}

function planNode(folder: NetworkFolder, number: number, validator: boolean, ports: number[]): NodePlan {
  const name = `node-${number}`;
  const key = nodeKey(folder, name);
  const [p2p, rpc, ws] = ports as [number, number, number];
  return {
    name,
    validator,
    address: addressOfKey(key),
    publicKey: new SigningKey(toHex(key)).publicKey.slice(4),
    host: "127.0.0.1",
    p2p,
    rpc,
    ws,
  };
}

/** Plans one more node and lets it in at every other. */
export async function planNextNode(folder: NetworkFolder, validator: boolean): Promise<NodePlan> {
  const plan = readPlan(folder);
  const last = Math.max(...plan.nodes.map(({ name }) => Number(name.slice("node-".length))));
  const added = planNode(folder, last + 1, validator, await freePorts(3));
  const next = { ...plan, nodes: [...plan.nodes, added] };
  writePlan(folder, next);
  writeNodes(folder, next);
  return added;
}

const writePlan = (folder: NetworkFolder, plan: NetworkPlan) => writeJson(folder.plan, plan);

/** What every node has of the network: whom it dials, whom it lets in, how it runs. */
function writeNodes(folder: NetworkFolder, plan: NetworkPlan): void {
  const enodes = plan.nodes.map(enodeOf);
  for (const one of plan.nodes) {
    mkdirSync(folder.data(one.name), { recursive: true, mode: 0o700 });
    writeJson(join(folder.data(one.name), "static-nodes.json"), enodes);
    writeJson(join(folder.data(one.name), "permissioned-nodes.json"), enodes);
    writeFileSync(folder.config(one.name), toml(plan, one));
  }
}

/** Settings that two cores carry, and ports on loopback only. */
const toml = (plan: NetworkPlan, one: NodePlan) => `[Eth]
NetworkId = ${plan.chainId}
SyncMode = "full"
EnableNodePermission = true
DatabaseCache = 128
TrieCleanCache = 32
TrieDirtyCache = 64
SnapshotCache = 0
RPCGasCap = ${BLOCK_GAS}

[Eth.Miner]
GasFloor = ${BLOCK_GAS}
GasCeil = ${BLOCK_GAS}
GasPrice = 0

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
  while (ports.size < count) {
    const candidate = 20_000 + Math.floor(Math.random() * 12_000);
    if (!ports.has(candidate) && (await isFree(candidate))) ports.add(candidate);
  }
  return [...ports];
}

function isFree(candidate: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(false));
    server.listen(candidate, "127.0.0.1", () => server.close(() => done(true)));
  });
}

export function writeJson(file: string, value: unknown): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
