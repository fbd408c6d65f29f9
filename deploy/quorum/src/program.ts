import { spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openLog } from "./log.ts";
import { answering, type Running } from "./node.ts";
import { type Part } from "./run.ts";

// The project's own processes of a network: how they are run, by whomever.

/** MiB that a process may take. A node keeps to 900 by itself (GOMEMLIMIT). */
export const MEMORY = { node: 1200, manager: 400, edge: 250, keeper: 200 };

/** Compiled code of every process: a node ends when its manager takes five seconds to come back. */
const NODE_COMPILE_CACHE = fileURLToPath(new URL("../../../node_modules/.cache/msec", import.meta.url));

/** A part's command line after `node`: its heap keeps to three fifths of its memory, the rest is code, stacks and buffers. */
export const programOf = (part: Part, script: string, config: string): string[] => [
  "--disable-warning=ExperimentalWarning",
  `--max-old-space-size=${0.6 * MEMORY[part]}`,
  script,
  config,
];

/** Starts a part beside a node, and waits until it answers at a URL. */
export async function startProgram(
  name: string,
  args: string[],
  logFile: string,
  url: string,
  env: NodeJS.ProcessEnv = {},
): Promise<Running> {
  const log = openLog(logFile);
  try {
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", log, log],
      detached: true,
      env: { ...process.env, NODE_COMPILE_CACHE, ...env },
    });
    return await answering(name, child, logFile, () => fetch(url, { signal: AbortSignal.timeout(1000) }));
  } finally {
    closeSync(log);
  }
}
