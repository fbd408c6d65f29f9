import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Hex } from "@msec/core";
import { freePort, writeJson } from "@msec/service";
import { type Network, NETWORKS } from "../../apps/cli/src/city/chain.ts";
import { type DevicePlan } from "../../apps/cli/src/city/devices.ts";
import { isAlive } from "../../apps/cli/src/city/processes.ts";
import { type City, up, type UpOptions } from "../../apps/cli/src/city/up.ts";
import { shopOf } from "../../apps/cli/src/demo.ts";
import { type Shop } from "../../apps/cli/src/market/buy.ts";
import { type Status } from "../../oracles/custody/src/health.ts";

/** Longer than anything takes on a busy machine: what doesn't come by then won't. */
const PATIENCE_MS = 120_000;

/** Waits until `check` gives something, and says what it waited for when it does not. */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = PATIENCE_MS,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  let last = "";
  for (;;) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = `: ${(error as Error).message}`;
    }
    if (Date.now() > end) throw new Error(`not within ${timeoutMs / 1000} s: ${what}${last}`);
    await sleep(100);
  }
}

/** Waits until a value has not changed for a time, and returns it: what was under way has come by then. */
export async function settled<T>(what: string, read: () => Promise<T>, quietMs: number): Promise<T> {
  let last = await read();
  let since = Date.now();
  return until(`${what} for ${quietMs / 1000} s`, async () => {
    const now = await read();
    if (now !== last) {
      last = now;
      since = Date.now();
    }
    return Date.now() - since >= quietMs && { last };
  }).then(({ last }) => last);
}

/** A CSV file of rows a given time apart, whose values tell their row. */
export function csvFile(root: string, name: string, rows: number, stepMs: number, startMs = Date.UTC(2024, 0, 1)) {
  const file = join(root, name);
  const lines = Array.from({ length: rows }, (_, i) => `${startMs + i * stepMs},${i},${(i % 97) / 10}`);
  writeFileSync(file, `time,row,value\n${lines.join("\n")}\n`);
  return {
    file,
    rows: Array.from({ length: rows }, (_, i) => ({ tMs: startMs + i * stepMs, row: i, value: (i % 97) / 10 })),
  };
}

type Driver = DevicePlan["streams"][number]["driver"];

export const driverOf = (file: string, speed: number | "max", end = false): Driver => ({
  kind: "replay",
  file,
  time: { columns: ["time"], format: "unix-ms" },
  columns: { row: "row", value: "value" },
  speed,
  end,
});

/** An open device on a CSV file of {@link csvFile}. */
export function openPlan(name: string, file: string, slotSeconds: number, speed: number | "max"): DevicePlan {
  return {
    name,
    owner: "city",
    unitPrice: 10n,
    streams: [{ name: `${name}/air`, mode: "open", slotSeconds, driver: driverOf(file, speed) }],
  };
}

/** What MSEC_NETWORK says that cities of tests live on, where the test does not. */
function networkAsked(): Network | undefined {
  const { MSEC_NETWORK: asked } = process.env;
  if (asked === undefined || NETWORKS.some((known) => known === asked)) return asked as Network | undefined;
  throw new Error(`MSEC_NETWORK is ${NETWORKS.join(" or ")}, not ${asked}`);
}

/** A city in a folder of its own, with what tests do to it. */
export class TestCity {
  readonly root: string;
  readonly city: City;
  /** Names of processes that ended by themselves, in order. */
  readonly exits: string[];
  readonly #pids = new Set<number>();

  private constructor(root: string, city: City, exits: string[]) {
    this.root = root;
    this.city = city;
    this.exits = exits;
    this.#note();
  }

  /** `plans` may need the folder for their files. */
  static async up(
    plans: (root: string) => DevicePlan[],
    options: Pick<UpOptions, "epochMs" | "silenceMs" | "caseSeconds" | "env" | "software" | "network" | "pages"> = {},
  ): Promise<TestCity> {
    const root = mkdtempSync(join(tmpdir(), "msec-test-"));
    const exits: string[] = [];
    const network = options.network ?? networkAsked();
    const made = plans(root);
    // Not where people look for theirs: several cities are tested at once, and one may be in use.
    if (options.pages) writeJson(join(root, "ports.json"), { marketplace: await freePort() });
    const names = [
      ...[1, 2, 3, 4].map((n) => `operator-${n}`),
      ...[1, 2].map((n) => `market-${n}`),
      ...made.map((p) => p.name),
    ];
    const env = Object.fromEntries(
      names.map((name) => [name, { MSEC_KILL_FILE: join(root, `${name}.kill`), ...options.env?.[name] }]),
    );
    try {
      const city = await up(root, made, {
        progress: () => undefined,
        onExit: (name) => void exits.push(name),
        epochMs: options.epochMs ?? 500,
        ...(options.caseSeconds ? { caseSeconds: options.caseSeconds } : {}),
        ...(options.silenceMs ? { silenceMs: options.silenceMs } : {}),
        ...(network ? { network } : {}),
        ...(options.software ? { software: true } : {}),
        ...(options.pages ? { pages: true } : {}),
        env,
      });
      return new TestCity(root, city, exits);
    } catch (error) {
      process.stderr.write(`${tail(root)}\n`);
      rmSync(root, { recursive: true, force: true });
      throw error;
    }
  }

  #note(): void {
    const { run } = this.city;
    const all = [
      ...Object.values(run.chain.pids),
      run.postgres?.pid,
      ...Object.values(run.processes),
      ...Object.values(run.tpms),
    ];
    for (const pid of all) if (pid) this.#pids.add(pid);
  }

  pid(name: string): number {
    this.#note();
    const { run } = this.city;
    const pid = name === "postgres" ? run.postgres?.pid : (run.chain.pids[name] ?? run.processes[name]);
    if (pid === undefined) throw new Error(`there is no process ${name}`);
    return pid;
  }

  signal(name: string, signal: NodeJS.Signals): void {
    process.kill(this.pid(name), signal);
  }

  /** Kills a process, and waits until the supervisor has started another in its place. */
  async kill(name: string): Promise<void> {
    const before = this.pid(name);
    process.kill(before, "SIGKILL");
    await this.restarted(name, before);
  }

  /** Has a process killed the next time it comes to a step, and waits until another runs in its place. */
  async killAt(name: string, step: string, provoke: () => Promise<unknown> | void = () => undefined) {
    const before = this.pid(name);
    writeFileSync(join(this.root, `${name}.kill`), step);
    await provoke();
    await this.restarted(name, before, `${name} comes to the step ${step}`);
  }

  async restarted(name: string, before: number, what = `${name} is started again`): Promise<void> {
    await until(what, () => this.pid(name) !== before && isAlive(this.pid(name)));
    const answers = this.urlOf(name);
    if (answers) await until(`${name} answers again`, async () => (await fetch(answers)).ok);
  }

  urlOf(name: string): string | undefined {
    const operator = this.city.run.operators.find((o) => o.name === name);
    if (operator) return `${operator.url}/info`;
    const market = this.city.run.markets.find((o) => o.name === name);
    return market && `${market.url}/status`;
  }

  url(n: number): string {
    return this.city.run.operators[n - 1]?.url as string;
  }

  async get<T>(n: number, path: string): Promise<T> {
    const response = await fetch(this.url(n) + path, { signal: AbortSignal.timeout(10_000) });
    if (!response.ok) throw new Error(`operator ${n} answers ${response.status} to ${path}: ${await response.text()}`);
    return (await response.json()) as T;
  }

  status(n: number): Promise<Status> {
    return this.get<Status>(n, "/status");
  }

  /** A counter of an operator's, over all labels that fit. */
  async metric(n: number, name: string, labels: Record<string, string> = {}): Promise<number> {
    const text = await (await fetch(`${this.url(n)}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();
    let sum = 0;
    for (const line of text.split("\n")) {
      if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
      if (Object.entries(labels).every(([k, v]) => line.includes(`${k}="${v}"`))) sum += Number(line.split(" ").pop());
    }
    return sum;
  }

  async chainEpoch(): Promise<number> {
    return Number((await this.city.contracts.DataAnchor.latest()).number);
  }

  /** Name of the operator that leads, as the first one that answers sees it. */
  leader(): Promise<string> {
    return until("an operator names the leader", async () => {
      for (const n of [1, 2, 3, 4]) {
        const seen = await this.status(n).catch(() => undefined);
        const found = seen && this.city.run.operators.find((o) => o.address === seen.leader)?.name;
        if (found) return found;
      }
      return undefined;
    });
  }

  streamOf(device: string): Hex {
    return this.city.run.devices.find((d) => d.name === device)?.streams[0]?.streamId as Hex;
  }

  shop(told: string[] = []): Shop {
    return shopOf(this.city, (step, detail) => void told.push(`${step}: ${detail}`));
  }

  /** Ends of the logs, for a test that failed. */
  logs(): string {
    return tail(this.root);
  }

  /** Stops everything; throws where a process is left or did not end by itself. */
  async stop(): Promise<void> {
    this.#note();
    await this.city.stop();
    this.#note();
    rmSync(this.root, { recursive: true, force: true });
    const left = [...this.#pids].filter(isAlive);
    if (left.length > 0) throw new Error(`processes are left: ${left.join(", ")}`);
    const { killed } = this.city.processes;
    if (killed.length > 0) throw new Error(`did not end by themselves and were killed: ${killed.join(", ")}`);
  }
}

function tail(root: string): string {
  return [1, 2, 3, 4]
    .map((n) => {
      try {
        const lines = readFileSync(join(root, "logs", `operator-${n}.log`), "utf8")
          .trim()
          .split("\n");
        return `operator-${n}:\n${lines.slice(-12).join("\n")}`;
      } catch {
        return `operator-${n}: no log`;
      }
    })
    .join("\n");
}

const main = fileURLToPath(new URL("../../apps/cli/src/main.ts", import.meta.url));

/** Runs the command line as a person does. */
export function msec(args: string[]): Promise<{ code: number; out: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", main, ...args],
      { timeout: 60_000 },
      (error, stdout, stderr) =>
        resolve({ code: error ? ((error as { code?: number }).code ?? -1) : 0, out: stdout + stderr }),
    );
  });
}
