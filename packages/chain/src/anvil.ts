import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { copyFile, rename, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** The embedded chain: one node at Istanbul rules, gas price 0, a block a second, its state kept over a restart. */
export interface EmbeddedChain {
  rpc: string;
  chainId: number;
  pid: number;
  /** Resolves when the process has ended, by itself or by {@link stop}. */
  readonly exited: Promise<void>;
  stop(): Promise<void>;
}

export const EMBEDDED_CHAIN_ID = 20_260;
const VERSION = "1.7.1";

/** The program that runs the chain: from the npm package of this platform, else by npx, which fetches it once. */
function program(): [string, string[]] {
  if (process.env.ANVIL_BIN) return [process.env.ANVIL_BIN, []];
  try {
    const manifest = createRequire(import.meta.url).resolve("@foundry-rs/anvil-linux-amd64/package.json");
    const binary = join(dirname(manifest), "bin", "anvil");
    if (process.platform === "linux" && process.arch === "x64" && existsSync(binary)) return [binary, []];
  } catch {
    // Another platform: its package is not installed here.
  }
  return ["npx", ["-y", `@foundry-rs/anvil@${VERSION}`]];
}

async function blockNumber(rpc: string): Promise<number | undefined> {
  try {
    const response = await fetch(rpc, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_blockNumber", params: [] }),
      signal: AbortSignal.timeout(2000),
    });
    return Number(((await response.json()) as { result: string }).result);
  } catch {
    return undefined;
  }
}

/** Bytes of state that are saved a second: a longer history is saved less often, so that saving costs the same for ever. */
const SAVED_PER_SECOND = 4 * 1024 * 1024;

/** Seconds between two saves of a state file of this size, at least two. */
function saveSeconds(state: string): number {
  const size = existsSync(state) ? statSync(state).size : 0;
  return 2 + Math.floor(size / SAVED_PER_SECOND);
}

const COPY_MS = 10_000;
const QUIET_MS = 300;

function isWhole(file: string): boolean {
  try {
    JSON.parse(readFileSync(file, "utf8"));
    return true;
  } catch {
    return false;
  }
}

/** anvil writes its state in place, so that a SIGKILL may leave half of it: then the last copy takes its place. */
function mendState(state: string, copy: string): void {
  if (!existsSync(state) || isWhole(state)) return;
  if (!isWhole(copy))
    throw new Error(
      `the chain's state ${state} is damaged, and there is no copy of it: restore it from a backup, or start a new city in another folder`,
    );
  copyFileSync(copy, state);
}

/** Copies the state between two of its writings, again and again, until the chain has ended. */
async function keepCopies(state: string, copy: string, ended: () => boolean): Promise<void> {
  const seen = () => stat(state).then(({ size, mtimeMs }) => `${size}/${mtimeMs}`);
  for (let wait = 1000; !ended(); ) {
    await sleep(wait, undefined, { ref: false });
    try {
      const before = await seen();
      await sleep(QUIET_MS, undefined, { ref: false });
      const started = Date.now();
      if ((await seen()) === before) {
        await copyFile(state, `${copy}.new`);
        // Written again meanwhile, or cut short by a SIGKILL: not a copy to rely on.
        if ((await seen()) === before && !ended()) {
          await rename(`${copy}.new`, copy);
          wait = Math.max(COPY_MS, 20 * (Date.now() - started));
          continue;
        }
      }
    } catch {
      // Not there yet.
    }
    wait = 100;
  }
}

/**
 * Starts the chain on a loopback port. Its state goes to `folder` every few seconds and at a clean stop, so a SIGKILL loses
 * at most that much, and while it is being written at most what came since the last copy, some ten seconds; whoever sent
 * transactions sends them again. Only the newest 256 states are kept, blocks and receipts all.
 */
export async function startChain(folder: string, port: number): Promise<EmbeddedChain> {
  mkdirSync(folder, { recursive: true });
  const [command, before] = program();
  const state = join(folder, "state.json");
  const copy = join(folder, "state.copy.json");
  mendState(state, copy);
  const log = openSync(join(folder, "chain.log"), "a");
  const child = spawn(
    command,
    [
      ...before,
      ...["--hardfork", "istanbul", "--gas-price", "0", "--block-time", "1", "--host", "127.0.0.1"],
      ...["--port", String(port), "--chain-id", String(EMBEDDED_CHAIN_ID), "--accounts", "0", "--prune-history", "256"],
      ...["--state", state, "--state-interval", String(saveSeconds(state)), "--silent"],
    ],
    { stdio: ["ignore", log, log], detached: true },
  );
  child.unref();
  let exited = false;
  const ended = new Promise<void>((resolve) => {
    child.on("exit", resolve);
    child.on("error", () => resolve());
  });
  void ended.then(() => (exited = true));
  void keepCopies(state, copy, () => exited);
  const rpc = `http://127.0.0.1:${port}`;
  for (let i = 0; i < 1200; i++) {
    if (exited)
      throw new Error(
        `the embedded chain did not start: ${readFileSync(join(folder, "chain.log"), "utf8").slice(-500)}`,
      );
    if ((await blockNumber(rpc)) !== undefined) {
      return {
        rpc,
        chainId: EMBEDDED_CHAIN_ID,
        pid: child.pid as number,
        exited: ended,
        async stop() {
          if (exited) return;
          child.kill("SIGINT");
          for (let waited = 0; waited < 200 && !exited; waited++) await sleep(50);
          if (!exited) child.kill("SIGKILL");
        },
      };
    }
    await sleep(100);
  }
  throw new Error("the embedded chain did not answer within two minutes");
}
