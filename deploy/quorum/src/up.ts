import { existsSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type EmbeddedPostgres, startPostgres } from "@msec/companion-db";
import { type Hex } from "@msec/core";
import { writeJson } from "@msec/service";
import { requireBinary } from "./binary.ts";
import { validatorsOf } from "./ipc.ts";
import { startEdge, startKeeper } from "./companions.ts";
import { planToFollow } from "./follow.ts";
import { databaseName, startManager } from "./manager.ts";
import { NetworkFolder, type NetworkPlan, type NodePlan, openNodeKey, readPlan } from "./network.ts";
import { ask, type Running, startNode } from "./node.ts";
import { NetworkProblem } from "./problem.ts";
import {
  isManager,
  isNode,
  isRunning,
  managerOf,
  type NetworkRun,
  nodeOf,
  partOf,
  runningNodes,
  runningProcesses,
} from "./run.ts";

const FIRST_BLOCK_MS = 60_000;
/** One node alone makes no block: it is not waited for, for longer, where the others are not there yet. */
const ONE_NODE_MS = 20_000;
const RESTART_MS = 1000;

/** A network whose processes this one started. */
export interface RunningNetwork {
  plan: NetworkPlan;
  /** One a node, in the plan's order. */
  rpcs: string[];
  /** Process ids, as they are now. */
  pids(): NetworkRun;
  /** Starts what ends by itself again, until {@link stop}; `onChange` once it runs. */
  keep(onExit: (name: string) => void, onChange: () => void): void;
  /** From now on every node lets in those whose account is in an organisation of this Directory; `taken` are others' ports. */
  follow(directory: Hex, taken: ReadonlySet<number>): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts every process, managers before their nodes, and waits until the chain makes blocks. With `only`, what does not run of
 * one node and what is beside it, and goes on without a block: others may come later, in any order.
 */
export async function upNetwork(
  root: string,
  progress: (line: string) => void,
  only?: string,
): Promise<RunningNetwork> {
  const folder = new NetworkFolder(root);
  const plan = readPlan(folder);
  const binary = requireBinary();
  let following = plan.directory;
  const nodes = plan.nodes.filter(({ name }) => only === undefined || name === only);
  if (nodes.length === 0)
    throw new NetworkProblem(`there is no ${only}: the nodes are ${plan.nodes.map(({ name }) => name).join(", ")}`);
  const isOurs = (name: string) => nodes.some((one) => one.name === nodeOf(name));
  const before = Object.keys(runningProcesses(folder)).filter(isOurs);
  if (only === undefined ? before.length > 0 : before.some(isNode))
    throw new NetworkProblem(
      `${before.join(", ")} of ${folder.root} run already: stop them first with msec network down`,
    );
  for (const { name } of nodes) openNodeKey(folder, name);
  const members = nodes.filter(({ manager }) => manager !== undefined);
  const parts = new Map<string, { running: Running; start: () => Promise<Running> }>();
  let postgres: EmbeddedPostgres | undefined;
  let stopping = false;
  const restarts = new Set<Promise<void>>();
  const pids = (): NetworkRun => Object.fromEntries([...parts].map(([name, { running }]) => [name, running.pid]));
  const others = () => Object.entries(runningProcesses(folder)).filter(([name]) => !parts.has(name));
  const begin = async (name: string, start: () => Promise<Running>): Promise<void> => {
    parts.set(name, { running: await start(), start });
    writeJson(folder.run, { ...Object.fromEntries(others()), ...pids() });
  };
  const beginNew = async (name: string, start: () => Promise<Running>): Promise<void> => {
    if (!before.includes(name)) await begin(name, start);
  };
  const stop = async () => {
    stopping = true;
    await Promise.all(restarts);
    const stopAll = (which: (name: string) => boolean) =>
      Promise.all([...parts].filter(([name]) => which(name)).map(([, { running }]) => running.stop()));
    await stopAll((name) => !isManager(name));
    await stopAll(isManager);
    const left = Object.fromEntries(others());
    if (Object.keys(left).length > 0) return writeJson(folder.run, left);
    await postgres?.stop();
    rmSync(folder.run, { force: true });
  };
  try {
    if (members.length > 0) {
      progress(`${members.length} privacy managers`);
      const server = (postgres = await startPostgres(folder.postgres));
      await settled(
        members.map(async (one) => {
          const url = await server.database(databaseName(one.name));
          await beginNew(managerOf(one.name), () => startManager(folder, one, url));
        }),
      );
    }
    await settled(nodes.map(tesseraAnswers));
    progress(`${nodes.length} nodes of GoQuorum ${binary.version}`);
    await settled(
      nodes.flatMap((one) => [
        beginNew(one.name, () => startNode(folder, one, binary)),
        ...(one.edge ? [beginNew(partOf(one.name, "edge"), () => startEdge(folder, one))] : []),
        ...(plan.directory ? [beginNew(partOf(one.name, "keeper"), () => startKeeper(folder, one))] : []),
      ]),
    );
    if (only === undefined) await firstBlocks(nodes, progress);
    else if (!(await newBlocks(nodes, ONE_NODE_MS))[0])
      progress(`${only} runs and has no new block yet: more than two thirds of the validators must reach one another`);
  } catch (error) {
    await stop();
    throw error;
  }
  const watch = (name: string, onExit: (name: string) => void, onChange: () => void): void => {
    const part = parts.get(name) as { running: Running; start: () => Promise<Running> };
    void part.running.exited.then(() => {
      if (stopping) return;
      onExit(name);
      const again = restart(
        () => stopping,
        isManager(name) ? 0 : RESTART_MS,
        () => begin(name, part.start),
      ).then(() => {
        onChange();
        watch(name, onExit, onChange);
      });
      restarts.add(again);
      void again.finally(() => restarts.delete(again));
    });
  };
  return {
    plan,
    rpcs: plan.nodes.map(({ rpc }) => `http://127.0.0.1:${rpc}`),
    pids,
    async follow(directory, taken) {
      if (following === directory) return;
      const { nodes: planned } = await planToFollow(root, directory, taken);
      following = directory;
      await settled(planned.map((one) => begin(partOf(one.name, "keeper"), () => startKeeper(folder, one))));
    },
    keep: (onExit, onChange) => [...parts.keys()].forEach((name) => watch(name, onExit, onChange)),
    stop,
  };
}

/** A node ends when its manager is silent for five seconds, so a manager is started again at once. */
async function restart(stopping: () => boolean, waitMs: number, start: () => Promise<void>): Promise<void> {
  for (let wait = waitMs; !stopping(); wait = RESTART_MS) {
    await sleep(wait);
    if (stopping()) return;
    if (
      await start().then(
        () => true,
        () => false,
      )
    )
      return;
  }
}

/** A node ends at its start while its manager is away, and a Tessera is its operator's to start. */
async function tesseraAnswers({ name, tessera }: NodePlan): Promise<void> {
  if (!tessera) return;
  const answer = await fetch(`${tessera.q2t}/upcheck`, { signal: AbortSignal.timeout(3000) }).catch(() => undefined);
  if (!answer?.ok) throw new NetworkProblem(`the Tessera of ${name} does not answer at ${tessera.q2t}: start it first`);
}

/** Waits for all, then throws the first error: nothing is left half started behind it. */
async function settled(work: Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find((r) => r.status === "rejected");
  if (failed) throw failed.reason;
}

/**
 * Until the first node has a block that it had not, and then until the others have: one that was connected late is not told of the
 * blocks before, and leads no round until it has fetched them. Whoever takes longer is named and goes on by itself.
 */
async function firstBlocks(nodes: readonly NodePlan[], progress: (line: string) => void): Promise<void> {
  const [first, ...others] = await newBlocks(nodes, FIRST_BLOCK_MS);
  if (!first)
    throw new NetworkProblem(
      `the nodes are up and make no block within ${FIRST_BLOCK_MS / 1000} s: more than two thirds of the validators must reach one another`,
    );
  const late = nodes.slice(1).filter((_, i) => !others[i]);
  if (late.length > 0) progress(`without a new block so far: ${late.map(({ name }) => name).join(", ")}`);
}

/** Whether each node has a block within a time that it has not now. */
async function newBlocks(nodes: readonly NodePlan[], withinMs: number): Promise<boolean[]> {
  const height = async ({ rpc }: NodePlan) => Number(await ask<string>(`http://127.0.0.1:${rpc}`, "eth_blockNumber"));
  const before = await Promise.all(nodes.map(height));
  const end = Date.now() + withinMs;
  const grows = async (one: NodePlan, i: number) => {
    for (; Date.now() < end; await sleep(100))
      if ((await height(one).catch(() => 0)) > (before[i] as number)) return true;
    return false;
  };
  return Promise.all(nodes.map(grows));
}

/** Has a network that is up follow a Directory: starts the keeper of every node that runs without one. */
export async function followDirectory(root: string, directory: Hex): Promise<void> {
  const folder = new NetworkFolder(root);
  if (Object.keys(runningNodes(folder)).length === 0)
    throw new NetworkProblem(`no node of ${folder.root} runs that could say what the Directory holds: msec network up`);
  const { nodes } = await planToFollow(root, directory);
  const running = runningProcesses(folder);
  for (const one of nodes) {
    const keeper = partOf(one.name, "keeper");
    if (running[one.name] === undefined || running[keeper] !== undefined) continue;
    const { pid } = await startKeeper(folder, one);
    writeJson(folder.run, { ...runningProcesses(folder), [keeper]: pid });
  }
}

/** Stops what runs, in whichever process it was started: nodes before their managers. */
export async function downNetwork(root: string): Promise<string[]> {
  const folder = new NetworkFolder(root);
  const plan = readPlan(folder);
  const all = Object.entries(runningProcesses(folder));
  for (const managers of [false, true]) {
    const pids = all.filter(([name]) => isManager(name) === managers);
    for (const [, pid] of pids) process.kill(pid, managers ? "SIGTERM" : "SIGINT");
    for (const end = Date.now() + 20_000; Date.now() < end; await sleep(50))
      if (!pids.some(([name, pid]) => isRunning(folder, name, pid))) break;
    for (const [name, pid] of pids) if (isRunning(folder, name, pid)) process.kill(pid, "SIGKILL");
  }
  // Whoever started it is gone: it is adopted, to be stopped in order.
  if (plan.nodes.some(({ manager }) => manager) && existsSync(folder.postgres))
    await (await startPostgres(folder.postgres)).stop();
  rmSync(folder.run, { force: true });
  return all.map(([name]) => name);
}

/** How one node is. */
export interface NodeStatus {
  name: string;
  address: string;
  /** Whether this folder holds it. Of others is known what the chain says. */
  here: boolean;
  pid: number | null;
  /** Processes of its privacy manager, its edge and its keeper; null where it has none or it does not run. */
  manager: number | null;
  edge: number | null;
  keeper: number | null;
  validator: boolean;
  block: number | null;
  peers: number | null;
  /** Seconds since its newest block. */
  age: number | null;
}

/** How each node is, and who the validators are, as the first node of this folder that answers says. */
export async function networkStatus(root: string): Promise<{ nodes: NodeStatus[]; validators: string[] }> {
  const folder = new NetworkFolder(root);
  const plan = readPlan(folder);
  const pids = runningProcesses(folder);
  let validators: string[] | undefined;
  const nodes = [];
  for (const one of plan.nodes) {
    const here = existsSync(folder.node(one.name));
    const rpc = `http://127.0.0.1:${one.rpc}`;
    const newest = () => ask<{ number: string; timestamp: string }>(rpc, "eth_getBlockByNumber", ["latest", false]);
    const block = here ? await newest().catch(() => undefined) : undefined;
    if (block) validators ??= await validatorsOf(folder, one.name).catch(() => undefined);
    const peers = block ? Number(await ask<string>(rpc, "net_peerCount").catch(() => "0x0")) : null;
    nodes.push({
      name: one.name,
      address: one.address,
      here,
      pid: pids[one.name] ?? null,
      manager: pids[managerOf(one.name)] ?? null,
      edge: pids[partOf(one.name, "edge")] ?? null,
      keeper: pids[partOf(one.name, "keeper")] ?? null,
      block: block ? Number(block.number) : null,
      peers,
      age: block ? Math.max(0, Math.round(Date.now() / 1000) - Number(block.timestamp)) : null,
    });
  }
  const known = new Set((validators ?? []).map((address) => address.toLowerCase()));
  return { nodes: nodes.map((n) => ({ ...n, validator: known.has(n.address) })), validators: [...known] };
}
