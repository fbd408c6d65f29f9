import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, closeSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { toHex } from "@msec/core";
import { type Binary } from "./binary.ts";
import { ipcPath } from "./ipc.ts";
import { openLog } from "./log.ts";
import { type NetworkFolder, type NodePlan, openNodeKey, privacyOf } from "./network.ts";
import { NetworkProblem } from "./problem.ts";

const START_MS = 120_000;
const STOP_MS = 20_000;
/**
 * The cache in MiB is a flag, since without one GoQuorum takes 4,096 whatever its configuration says, and collects garbage at
 * a quarter of growth, which costs processor time.
 */
const MEMORY = ["--cache", "256", "--snapshot=false"];
/** Whoever is not in permissioned-nodes.json is let in by nobody. A flag too: in the configuration's [Eth] it does nothing. */
const ADMISSION = ["--permissioned"];
export const NODE_FLAGS = ["--mine", "--miner.threads", "1", "--verbosity", "2", ...ADMISSION, ...MEMORY];

/** A node or a manager that answers. */
export interface Running {
  pid: number;
  /** Resolves when the process has ended, by itself or by {@link stop}. */
  readonly exited: Promise<void>;
  stop(): Promise<void>;
}

/** Asks a node. Throws what it answers as an error, and when it does not answer within `timeoutMs`. */
export async function ask<T>(url: string, method: string, params: unknown[] = [], timeoutMs = 3000): Promise<T> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    signal: AbortSignal.timeout(timeoutMs),
  });
  const answer = (await response.json()) as { result?: T; error?: { message: string } };
  if (answer.error) throw new Error(answer.error.message);
  return answer.result as T;
}

/** Asks a node several things in one request; throws the first error among the answers. */
export async function askAll<T>(url: string, requests: [method: string, params: unknown[]][]): Promise<T[]> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(requests.map(([method, params], id) => ({ jsonrpc: "2.0", id, method, params }))),
    signal: AbortSignal.timeout(3000),
  });
  const answers = (await response.json()) as { id: number; result?: T; error?: { message: string } }[];
  return requests.map((_, id) => {
    const answer = answers.find((one) => one.id === id);
    if (!answer || answer.error) throw new Error(answer?.error?.message ?? "the node left a request without an answer");
    return answer.result as T;
  });
}

/** Memory rather than disk, where there is such a folder. */
const transient = () => (existsSync("/dev/shm") ? "/dev/shm" : tmpdir());

/**
 * Starts a node of the network and waits until it answers. Its key is unsealed into a private file for as long as the start
 * takes, since GoQuorum reads it from nowhere else.
 */
export async function startNode(folder: NetworkFolder, one: NodePlan, binary: Binary): Promise<Running> {
  const cwd = folder.node(one.name);
  const manager = privacyOf(one)?.q2t;
  const key = toHex(openNodeKey(folder, one.name)).slice(2);
  initialise(folder, one, binary);
  const secret = mkdtempSync(join(transient(), "msec-node-"));
  const keyFile = join(secret, "key");
  writeFileSync(keyFile, key, { mode: 0o600 });
  const log = openLog(folder.log(one.name));
  let child: ChildProcess;
  try {
    child = spawn(
      binary.path,
      [
        ...args(folder.config(one.name), keyFile, ipcPath(folder, one.name)),
        ...(manager ? ["--ptm.url", manager] : []),
      ],
      {
        cwd,
        stdio: ["ignore", log, log],
        detached: true,
        env: { ...process.env, PRIVATE_CONFIG: manager ? undefined : "ignore", GOMEMLIMIT: "900MiB" },
      },
    );
  } finally {
    closeSync(log);
  }
  const rpc = `http://127.0.0.1:${one.rpc}`;
  const answers = () => ask<string>(rpc, "eth_chainId", [], 1000);
  try {
    return await answering(one.name, child, folder.log(one.name), answers);
  } finally {
    rmSync(secret, { recursive: true, force: true });
  }
}

/** A process that was started, once it answers; an error with the end of its log if it does not. */
export async function answering(
  name: string,
  child: ChildProcess,
  log: string,
  answers: () => Promise<unknown>,
): Promise<Running> {
  child.unref();
  let ended = false;
  const exited = new Promise<void>((done) => {
    child.on("exit", () => done());
    child.on("error", () => done());
  });
  void exited.then(() => (ended = true));
  for (const end = Date.now() + START_MS; ; await sleep(100)) {
    if (ended) throw new NetworkProblem(`${name} ended at its start: ${lastLines(log)}`);
    if (await answers().catch(() => undefined)) break;
    if (Date.now() > end) {
      child.kill("SIGKILL");
      throw new NetworkProblem(`${name} does not answer after ${START_MS / 1000} s: see ${log}`);
    }
  }
  return {
    pid: child.pid as number,
    exited,
    async stop() {
      if (ended) return;
      child.kill("SIGINT");
      for (const end = Date.now() + STOP_MS; !ended && Date.now() < end; ) await sleep(50);
      if (!ended) child.kill("SIGKILL");
      await exited;
    },
  };
}

const args = (config: string, keyFile: string, ipc: string): string[] => [
  ...["--config", config, "--nodekey", keyFile, "--ipcpath", ipc],
  ...NODE_FLAGS,
];

function initialise(folder: NetworkFolder, one: NodePlan, binary: Binary): void {
  if (existsSync(join(folder.data(one.name), "geth", "chaindata"))) return;
  const { status, stderr } = spawnSync(binary.path, ["--datadir", folder.data(one.name), "init", folder.genesis], {
    encoding: "utf8",
  });
  if (status !== 0) throw new NetworkProblem(`${one.name} does not take the genesis block: ${stderr.slice(-500)}`);
}

const lastLines = (file: string): string =>
  existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").slice(-5).join("\n") : "it wrote nothing";
