import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  ask,
  backupNetwork,
  downNetwork,
  initNetwork,
  NetworkFolder,
  type NetworkPlan,
  type NodePlan,
  requireBinary,
  restoreNetwork,
  runningNodes,
  runningProcesses,
  startNode,
  upNetwork,
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

const msec = fileURLToPath(new URL("../../apps/cli/src/main.ts", import.meta.url));

/** Operators of a network, by number from 1, each with a folder of its own as on a machine of its own: none has another's key or socket. */
export class Machines {
  readonly home = mkdtempSync(join(tmpdir(), "msec-machines-"));
  readonly #known = new Set<number>();

  /** Makes a network with four validators and brings up each of its nodes from its own folder. */
  async found(given: { observers: number; members: number }): Promise<NetworkPlan> {
    const [made, backup, wrapping] = [
      join(this.home, "made"),
      join(this.home, "backup"),
      join(this.home, "wrapping.json"),
    ];
    const plan = await initNetwork(made, { ...given, chainId: 20_261, validators: 4, blockSeconds: 1 });
    await backupNetwork(made, backup, { wrappingOut: wrapping, chainData: false });
    const numbers = plan.nodes.map((_, i) => i + 1);
    for (const n of numbers) await restoreNetwork(this.folder(n).root, backup, wrapping, [this.name(n)]);
    await Promise.all(numbers.map((n) => upNetwork(this.folder(n).root, () => undefined, this.name(n))));
    return plan;
  }

  name(n: number): string {
    return `node-${n}`;
  }

  folder(n: number): NetworkFolder {
    this.#known.add(n);
    return new NetworkFolder(join(this.home, `machine-${n}`));
  }

  /** What `msec network … --json` prints on a machine. */
  msec<T>(n: number, ...args: string[]): Promise<T> {
    const command = [msec, "network", ...args, "--dir", this.folder(n).root, "--json"];
    return new Promise((resolve, reject) => {
      execFile(process.execPath, ["--disable-warning=ExperimentalWarning", ...command], (error, out, problem) =>
        error ? reject(new Error(out + problem)) : resolve(JSON.parse(out) as T),
      );
    });
  }

  async end(): Promise<void> {
    for (const n of this.#known) await downNetwork(this.folder(n).root).catch(() => undefined);
    rmSync(this.home, { recursive: true, force: true });
  }
}
