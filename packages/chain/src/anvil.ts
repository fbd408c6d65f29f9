import { spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { keepCopies, mendState, saveSeconds } from "./anvil-state.ts";

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

async function request(rpc: string, method: string, params: unknown[]): Promise<unknown> {
  try {
    const response = await fetch(rpc, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
      signal: AbortSignal.timeout(2000),
    });
    return ((await response.json()) as { result?: unknown }).result;
  } catch {
    return undefined;
  }
}

/**
 * Starts the chain on a loopback port. Its state goes to `folder` every few seconds and at a clean stop, so a SIGKILL loses
 * at most that much, and where what was left is not whole at most what came since the last copy, some ten seconds; whoever
 * sent transactions sends them again. Only the newest 256 states are kept, blocks and receipts all.
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
    if ((await request(rpc, "eth_blockNumber", [])) !== undefined) {
      return {
        rpc,
        chainId: EMBEDDED_CHAIN_ID,
        pid: child.pid as number,
        exited: ended,
        async stop() {
          if (exited) return;
          // No block while the state is saved for the last time.
          await request(rpc, "evm_setIntervalMining", [0]);
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
