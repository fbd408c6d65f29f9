import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Tpm } from "./tpm/index.ts";

/** The TPM emulator of Debian's packages swtpm and swtpm-tools, for machines without a chip, and for tests. */

const found = (program: string) =>
  (process.env.PATH ?? "").split(delimiter).some((folder) => folder !== "" && existsSync(join(folder, program)));

/** Whether swtpm and what makes its certificates are installed; a sentence saying what to do if not. */
export function missingSwtpm(): string | undefined {
  const missing = ["swtpm", "swtpm_setup", "swtpm_localca"].filter((program) => !found(program));
  if (missing.length === 0) return undefined;
  return `${missing.join(", ")} not found: install the packages swtpm and swtpm-tools (apt-get install swtpm swtpm-tools)`;
}

/** A running emulator. One start of the process is one power-on of the TPM. */
export interface Swtpm {
  /** As {@link Tpm.open} takes it. */
  address: string;
  pid: number;
  exited: Promise<unknown>;
  /** Says good-bye to the TPM, so that its next start is an orderly one, and ends the process. */
  stop(): Promise<void>;
  /** Ends it as a power cut does. */
  cut(): Promise<void>;
}

const START_MS = 10_000;
const SOCKET_PATH = 100;

/**
 * Makes a new TPM in `folder`, with endorsement certificates (RSA-2048 and ECC P-384) by the maker whose certification
 * authority is in `maker`; that one is made first where there is none. Nothing is done where the TPM exists.
 */
export async function manufacture(folder: string, maker: string): Promise<void> {
  if (existsSync(join(folder, "tpm2-00.permall"))) return;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await mkdir(maker, { recursive: true, mode: 0o700 });
  const file = (name: string) => join(maker, name);
  const authority = {
    statedir: maker,
    signingkey: file("key.pem"),
    issuercert: file("issuer.pem"),
    certserial: file("serial"),
  };
  await writeFile(file("authority.conf"), lines(authority));
  await writeFile(
    file("authority.options"),
    "--platform-manufacturer msec\n--platform-version 1\n--platform-model emulator\n",
  );
  const setup = {
    create_certs_tool: "swtpm_localca",
    create_certs_tool_config: file("authority.conf"),
    create_certs_tool_options: file("authority.options"),
    active_pcr_banks: "sha256",
  };
  await writeFile(file("setup.conf"), lines(setup));
  const state = ["--tpm2", "--tpmstate", folder, "--config", file("setup.conf")];
  const child = spawn("swtpm_setup", [...state, "--create-ek-cert", "--lock-nvram"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (part: Buffer) => (output += part.toString()));
  child.stderr.on("data", (part: Buffer) => (output += part.toString()));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("exit", resolve));
  if (code !== 0) throw new Error(`swtpm_setup could not make a TPM in ${folder}: ${output.slice(-500)}`);
}

const lines = (values: Record<string, string>) =>
  Object.entries(values)
    .map(([name, value]) => `${name} = ${value}\n`)
    .join("");

/** Certificates of the maker's authority, PEM: its root first. */
export async function makerCertificates(maker: string): Promise<string[]> {
  const names = (await readdir(maker)).filter((name) => name.endsWith("-cert.pem")).concat("issuer.pem");
  return Promise.all(names.map((name) => readFile(join(maker, name), "utf8")));
}

/** Starts the TPM of `folder`: a power-on, with the PCRs at zero. It ends with this process. */
export async function startSwtpm(folder: string): Promise<Swtpm> {
  // A socket's path has room for 107 bytes; where the folder's takes too many, the address is a new one at each start.
  const near = join(folder, "socket");
  const socket = near.length < SOCKET_PATH ? near : join(await mkdtemp(join(tmpdir(), "msec-tpm-")), "socket");
  await rm(socket, { force: true });
  const swtpm = [
    ...["swtpm", "socket", "--tpm2", "--tpmstate", `dir=${folder}`],
    ...["--server", `type=unixio,path=${socket}`, "--flags", "not-need-init,startup-clear"],
    ...["--log", `file=${join(folder, "swtpm.log")},level=1,truncate`],
  ];
  // So that it does not outlive a parent that was killed.
  const [program, ...args] = found("setpriv") ? ["setpriv", "--pdeathsig", "KILL", ...swtpm] : swtpm;
  // Of its own group, so that Ctrl-C leaves it to whoever started it.
  const child = spawn(program as string, args, { stdio: "ignore", detached: true });
  const exited = new Promise<void>((resolve) => {
    child.on("error", () => resolve());
    child.on("exit", () => resolve());
  }).finally(() => rm(near.length < SOCKET_PATH ? socket : dirname(socket), { recursive: true, force: true }));
  const address = `swtpm:path=${socket}`;
  const end = (signal: NodeJS.Signals) => {
    if (isRunning(child)) child.kill(signal);
    return exited;
  };
  for (const until = Date.now() + START_MS; !(await listens(socket)); await sleep(5)) {
    if (isRunning(child) && Date.now() < until) continue;
    await end("SIGKILL");
    const log = await readFile(join(folder, "swtpm.log"), "utf8").catch(() => "");
    throw new Error(`swtpm did not start on ${folder}: ${log.trim() || "is another one running on this folder?"}`);
  }
  return {
    address,
    pid: child.pid as number,
    exited,
    stop: async () => {
      await goodBye(address).catch(() => undefined);
      await end("SIGTERM");
    },
    cut: () => end("SIGKILL"),
  };
}

/** Whether somebody answers there: a socket is in its folder before anyone listens at it. */
const listens = (socket: string): Promise<boolean> =>
  new Promise((resolve) => {
    const connection = connect(socket);
    connection.once("error", () => resolve(false));
    connection.once("connect", () => connection.end(() => resolve(true)));
  });

const isRunning = (child: ChildProcess) =>
  child.pid !== undefined && child.exitCode === null && child.signalCode === null;

async function goodBye(address: string): Promise<void> {
  const tpm = await Tpm.open(address);
  try {
    await tpm.shutdown();
  } finally {
    await tpm.close();
  }
}
