import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type EmbeddedPostgres, startPostgres } from "@msec/companion-db";
import { type Config, type Party } from "@msec/privacy";
import { freePort } from "@msec/service";

const script = (name: string) => fileURLToPath(new URL(`../../oracles/privacy/src/${name}.ts`, import.meta.url));
const NODE = ["--disable-warning=ExperimentalWarning"];
/** As a supervisor starts it: compiled code is kept, so that a start need not compile it again. */
const ENVIRONMENT = {
  NODE_COMPILE_CACHE: fileURLToPath(new URL("../../node_modules/.cache/msec", import.meta.url)),
  ...process.env,
  DATABASE_URL: "",
};

/** Ports that nobody has and no system hands out by itself. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}

/** One party's manager: a process of its own, with its own folder and database. */
export class ManagerProcess {
  readonly name: string;
  readonly folder: string;
  readonly config: Config;
  #child: ChildProcess | undefined;

  constructor(name: string, folder: string, config: Config) {
    this.name = name;
    this.folder = folder;
    this.config = config;
    mkdirSync(folder, { recursive: true });
    writeFileSync(this.file, JSON.stringify(config), { mode: 0o600 });
  }

  get file(): string {
    return join(this.folder, "config.json");
  }
  get socket(): string {
    return this.config.q2t.socket as string;
  }
  get url(): string {
    return `http://127.0.0.1:${this.config.q2t.port}`;
  }
  get thirdParty(): string {
    return `http://127.0.0.1:${this.config.thirdParty?.port}`;
  }
  get health(): string {
    return `http://127.0.0.1:${this.config.port}`;
  }
  get pid(): number {
    return this.#child?.pid as number;
  }
  get log(): string {
    return readFileSync(join(this.folder, "log"), "utf8");
  }

  keygen(): Party {
    return JSON.parse(execFileSync(process.execPath, [...NODE, script("keygen"), this.file]).toString()) as Party;
  }

  /** Starts it and waits until it answers its node; the milliseconds that this took. */
  async start(env: Record<string, string> = {}): Promise<number> {
    const started = performance.now();
    const child = spawn(process.execPath, [...NODE, script("main"), this.file], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...ENVIRONMENT, ...env },
    });
    const keep = (part: Buffer) => writeFileSync(join(this.folder, "log"), part, { flag: "a" });
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    this.#child = child;
    for (;;) {
      if (child.exitCode !== null) throw new Error(`${this.name} did not start: ${this.log}`);
      const up = await fetch(`${this.url}/upcheck`).then(
        (answer) => answer.ok,
        () => false,
      );
      if (up) return performance.now() - started;
      await sleep(10);
    }
  }

  /** Ends it and waits for the end; the exit code, null after a SIGKILL. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    const child = this.#child;
    if (!child) return null;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill(signal);
      await ended;
    }
    return child.exitCode;
  }

  /** Resolves when the process has ended by itself. */
  async ended(): Promise<void> {
    while (this.#child?.exitCode === null && this.#child.signalCode === null) await sleep(10);
  }

  /** Runs a program of its folder to its end. */
  run(name: "main" | "recover"): Promise<{ code: number | null; output: string }> {
    return new Promise((resolve) => {
      const child = spawn(process.execPath, [...NODE, script(name), this.file], { env: ENVIRONMENT });
      let output = "";
      child.stdout.on("data", (part) => (output += String(part)));
      child.stderr.on("data", (part) => (output += String(part)));
      child.on("close", (code) => resolve({ code, output }));
    });
  }
}

/** Managers of several organisations that know one another, on one PostgreSQL server with a database each. */
export class PrivacyNetwork {
  readonly postgres: EmbeddedPostgres;
  readonly managers: ManagerProcess[];
  readonly #folder: string;

  private constructor(folder: string, postgres: EmbeddedPostgres, managers: ManagerProcess[]) {
    this.#folder = folder;
    this.postgres = postgres;
    this.managers = managers;
  }

  static async create(
    folder: string,
    names: string[],
    change: (name: string) => Partial<Config> = () => ({}),
  ): Promise<PrivacyNetwork> {
    const postgres = await startPostgres(join(folder, "postgres"));
    const partyList = join(folder, "parties.json");
    const managers: ManagerProcess[] = [];
    for (const name of names) {
      const [p2p, q2t, thirdParty, health] = (await freePorts(4)) as [number, number, number, number];
      const own = join(folder, name);
      const config: Config = {
        ...{ name, partyList, keys: ["main"], whenAway: "refuse", host: "127.0.0.1", port: health, logLevel: "info" },
        dataDir: join(own, "keys"),
        databaseUrl: await postgres.database(name),
        q2t: { socket: join(own, "tm.ipc"), port: q2t },
        thirdParty: { host: "127.0.0.1", port: thirdParty },
        p2p: { host: "127.0.0.1", port: p2p, url: `https://127.0.0.1:${p2p}` },
        ...change(name),
      };
      managers.push(new ManagerProcess(name, own, config));
    }
    writeFileSync(partyList, JSON.stringify(managers.map((m) => m.keygen())), { mode: 0o600 });
    return new PrivacyNetwork(folder, postgres, managers);
  }

  /** The party list as the managers read it. */
  get parties(): Party[] {
    return JSON.parse(readFileSync(join(this.#folder, "parties.json"), "utf8")) as Party[];
  }

  keyOf(name: string): string {
    return this.parties.find((party) => party.name === name)?.keys[0] as string;
  }

  async start(): Promise<void> {
    await Promise.all(this.managers.map((m) => m.start()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.managers.map((m) => m.stop()));
    await this.postgres.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
