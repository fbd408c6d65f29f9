import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer, connect } from "node:net";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const execFileAsync = promisify(execFile);

/** Debian's tpm2-tools, an implementation of the TPM's client that shares nothing with ours. */
export const missingTools: string | undefined = (process.env.PATH ?? "")
  .split(delimiter)
  .some((folder) => existsSync(join(folder, "tpm2_quote")))
  ? undefined
  : "tpm2-tools is not installed (apt-get install tpm2-tools libtss2-tcti-swtpm0)";

async function freePorts(): Promise<number> {
  for (;;) {
    const port = 20_000 + 2 * Math.floor(Math.random() * 6_000);
    const isFree = (p: number) =>
      new Promise<boolean>((resolve) => {
        const server = createServer();
        server.once("error", () => resolve(false));
        server.listen(p, "127.0.0.1", () => server.close(() => resolve(true)));
      });
    // The tools take the port above for the emulator's control channel.
    if ((await isFree(port)) && (await isFree(port + 1))) return port;
  }
}

export interface SharedTpm {
  /** For our client. */
  address: string;
  /** Runs a tool against the same TPM, in a folder of its own for its files. It serves one client at a time. */
  run(tool: string, ...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

/** The TPM of `folder` on loopback TCP, which is what the tools speak. */
export async function startShared(folder: string, files: string): Promise<SharedTpm> {
  const port = await freePorts();
  const child = spawn(
    "swtpm",
    [
      ...["socket", "--tpm2", "--tpmstate", `dir=${folder}`, "--flags", "not-need-init,startup-clear"],
      ...["--server", `type=tcp,port=${port},bindaddr=127.0.0.1`],
      ...["--ctrl", `type=tcp,port=${port + 1},bindaddr=127.0.0.1`],
    ],
    { stdio: "ignore" },
  );
  const exited = new Promise((resolve) => child.on("exit", resolve));
  for (let i = 0; i < 200 && !(await accepts(port + 1)); i++) await sleep(20);
  const env = { ...process.env, TPM2TOOLS_TCTI: `swtpm:host=127.0.0.1,port=${port}` };
  return {
    address: `swtpm:host=127.0.0.1,port=${port}`,
    run: async (tool, ...args) => (await execFileAsync(tool, args, { cwd: files, env })).stdout,
    stop: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
