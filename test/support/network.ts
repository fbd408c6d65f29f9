import { setTimeout as sleep } from "node:timers/promises";
import {
  ask,
  type NetworkFolder,
  type NetworkPlan,
  type NodePlan,
  requireBinary,
  runningNodes,
  runningProcesses,
  startNode,
} from "@msec/quorum";
import { writeJson } from "@msec/service";

/** Waits until something holds; what fails meanwhile, such as a node that is slow to answer, holds not yet. Throws after `seconds`. */
export async function until(holds: () => Promise<boolean>, seconds: number, everyMs = 200): Promise<void> {
  let last = "";
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(everyMs))
    try {
      if (await holds()) return;
    } catch (error) {
      last = `: ${(error as Error).message}`;
    }
  throw new Error(`not so within ${seconds} s${last}`);
}

/** Nodes of a network that is up, by number from 1, for tests that kill and start them. */
export class Nodes {
  readonly #folder: NetworkFolder;
  readonly #plan: NetworkPlan;

  constructor(folder: NetworkFolder, plan: NetworkPlan) {
    this.#folder = folder;
    this.#plan = plan;
  }

  plan(n: number): NodePlan {
    return this.#plan.nodes[n - 1] as NodePlan;
  }

  rpc(n: number): string {
    return `http://127.0.0.1:${this.plan(n).rpc}`;
  }

  pid(n: number): number | undefined {
    return runningNodes(this.#folder)[`node-${n}`];
  }

  async height(n: number): Promise<number> {
    return Number(await ask<string>(this.rpc(n), "eth_blockNumber"));
  }

  async hash(n: number, block: number): Promise<string> {
    const at = `0x${block.toString(16)}`;
    return (await ask<{ hash: string }>(this.rpc(n), "eth_getBlockByNumber", [at, false])).hash;
  }

  async kill(n: number, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    process.kill(this.pid(n) as number, signal);
    while (this.pid(n) !== undefined) await sleep(50);
  }

  async start(n: number): Promise<void> {
    const { pid } = await startNode(this.#folder, this.plan(n), requireBinary());
    writeJson(this.#folder.run, { ...runningProcesses(this.#folder), [`node-${n}`]: pid });
  }

  /** Until a node has every block that another one has. */
  async level(n: number, other: number, seconds = 90): Promise<void> {
    await until(async () => (await this.height(n)) >= (await this.height(other)) - 1, seconds);
  }

  /** Until a node has so many more blocks than now. @returns Milliseconds. */
  async grown(n: number, blocks: number, seconds = 120): Promise<number> {
    const [before, started] = [await this.height(n), performance.now()];
    await until(async () => (await this.height(n)) >= before + blocks, seconds);
    return performance.now() - started;
  }
}
