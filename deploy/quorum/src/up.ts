import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { requireBinary } from "./binary.ts";
import { validatorsOf } from "./members.ts";
import { NetworkFolder, type NetworkPlan, type NodePlan, readPlan, writeJson } from "./network.ts";
import { ask, type RunningNode, startNode } from "./node.ts";
import { NetworkProblem } from "./problem.ts";
import { isNode, type NetworkRun, runningNodes } from "./run.ts";

const FIRST_BLOCK_MS = 60_000;
const RESTART_MS = 1000;

/** A network whose nodes this process started. */
export interface RunningNetwork {
  plan: NetworkPlan;
  /** One a node, in the plan's order. */
  rpcs: string[];
  /** Process ids by node, as they are now. */
  pids(): NetworkRun;
  /** Starts nodes again that end by themselves, until {@link stop}. */
  keep(onExit: (name: string) => void): void;
  stop(): Promise<void>;
}

/**
 * Starts every node, and waits until the chain makes blocks. `managers` are URLs of privacy managers by node; they must
 * answer already, since a node ends where its manager does not.
 */
export async function upNetwork(
  root: string,
  progress: (line: string) => void,
  managers: Record<string, string> = {},
): Promise<RunningNetwork> {
  const folder = new NetworkFolder(root);
  const plan = readPlan(folder);
  const binary = requireBinary();
  const before = runningNodes(folder);
  if (Object.keys(before).length > 0)
    throw new NetworkProblem(
      `${Object.keys(before).join(", ")} of ${folder.root} run already: stop them first with msec network down`,
    );
  const nodes = new Map<string, RunningNode>();
  const note = () => writeJson(folder.run, Object.fromEntries([...nodes].map(([name, { pid }]) => [name, pid])));
  let stopping = false;
  const restarts = new Set<Promise<void>>();
  const start = async (one: NodePlan) => {
    nodes.set(one.name, await startNode(folder, one, binary, managers[one.name]));
    note();
  };
  const stop = async () => {
    stopping = true;
    await Promise.all(restarts);
    await Promise.all([...nodes.values()].map((running) => running.stop()));
    rmSync(folder.run, { force: true });
  };
  try {
    progress(`${plan.nodes.length} nodes of GoQuorum ${binary.version}`);
    await settled(plan.nodes.map(start));
    await firstBlock(plan);
  } catch (error) {
    await stop();
    throw error;
  }
  const watch = (one: NodePlan, onExit: (name: string) => void): void => {
    void nodes.get(one.name)?.exited.then(() => {
      if (stopping) return;
      onExit(one.name);
      const again = restart(one, () => stopping, start).then(() => watch(one, onExit));
      restarts.add(again);
      void again.finally(() => restarts.delete(again));
    });
  };
  return {
    plan,
    rpcs: plan.nodes.map(({ rpc }) => `http://127.0.0.1:${rpc}`),
    pids: () => Object.fromEntries([...nodes].map(([name, { pid }]) => [name, pid])),
    keep: (onExit) => plan.nodes.forEach((one) => watch(one, onExit)),
    stop,
  };
}

async function restart(one: NodePlan, stopping: () => boolean, start: (one: NodePlan) => Promise<void>): Promise<void> {
  while (!stopping()) {
    await sleep(RESTART_MS);
    if (stopping()) return;
    if (
      await start(one).then(
        () => true,
        () => false,
      )
    )
      return;
  }
}

/** Waits for all, then throws the first error: nothing is left half started behind it. */
async function settled(work: Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find((r) => r.status === "rejected");
  if (failed) throw failed.reason;
}

/** The first round of a network that comes up may time out, so that its first block takes some seconds. */
async function firstBlock(plan: NetworkPlan): Promise<void> {
  const rpc = `http://127.0.0.1:${plan.nodes[0]?.rpc}`;
  const height = async () => Number(await ask<string>(rpc, "eth_blockNumber"));
  const before = await height();
  for (const end = Date.now() + FIRST_BLOCK_MS; Date.now() < end; await sleep(100))
    if ((await height()) > before) return;
  throw new NetworkProblem(
    `the nodes are up and make no block within ${FIRST_BLOCK_MS / 1000} s: more than two thirds of the validators must reach one another`,
  );
}

/** Stops nodes that run, in whichever process they were started. */
export async function downNetwork(root: string): Promise<string[]> {
  const folder = new NetworkFolder(root);
  readPlan(folder);
  const pids = Object.entries(runningNodes(folder));
  for (const [, pid] of pids) process.kill(pid, "SIGINT");
  for (const end = Date.now() + 20_000; Date.now() < end; await sleep(50))
    if (!pids.some(([name, pid]) => isNode(folder, name, pid))) break;
  for (const [name, pid] of pids) if (isNode(folder, name, pid)) process.kill(pid, "SIGKILL");
  rmSync(folder.run, { force: true });
  return pids.map(([name]) => name);
}

/** How one node is. */
export interface NodeStatus {
  name: string;
  address: string;
  pid: number | null;
  validator: boolean;
  block: number | null;
  peers: number | null;
  /** Seconds since its newest block. */
  age: number | null;
}

/** How each node is, and who the validators are, as the first node that answers says. */
export async function networkStatus(root: string): Promise<{ nodes: NodeStatus[]; validators: string[] }> {
  const folder = new NetworkFolder(root);
  const plan = readPlan(folder);
  const pids = runningNodes(folder);
  let validators: string[] | undefined;
  const nodes = [];
  for (const one of plan.nodes) {
    const rpc = `http://127.0.0.1:${one.rpc}`;
    const block = await ask<{ number: string; timestamp: string }>(rpc, "eth_getBlockByNumber", [
      "latest",
      false,
    ]).catch(() => undefined);
    if (block) validators ??= await validatorsOf(folder, one.name).catch(() => undefined);
    const peers = block ? Number(await ask<string>(rpc, "net_peerCount").catch(() => "0x0")) : null;
    nodes.push({
      name: one.name,
      address: one.address,
      pid: pids[one.name] ?? null,
      block: block ? Number(block.number) : null,
      peers,
      age: block ? Math.max(0, Math.round(Date.now() / 1000) - Number(block.timestamp)) : null,
    });
  }
  const known = new Set((validators ?? []).map((address) => address.toLowerCase()));
  return { nodes: nodes.map((n) => ({ ...n, validator: known.has(n.address) })), validators: [...known] };
}
