import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** A Node process of the city. */
export interface Program {
  name: string;
  /** TypeScript file that is run. */
  script: string;
  args: string[];
  env?: Record<string, string>;
}

/** Compiled code of every process, so that a start need not compile it again. */
const NODE_COMPILE_CACHE = fileURLToPath(new URL("../../../../node_modules/.cache/msec", import.meta.url));
const RESTART_MS = 1000;
/** Two cities that end at once on two cores were seen to need more than ten. */
const STOP_MS = 20_000;

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Starts processes, starts them again when they end by themselves, and stops them in the reverse order. */
export class Processes {
  readonly #logs: string;
  readonly #children = new Map<string, ChildProcess>();
  readonly #order: string[] = [];
  readonly #onChange: () => void;
  readonly #onExit: (name: string, code: number | null, signal: string | null) => void;
  readonly #programs = new Map<string, Program>();
  readonly #halted = new Set<string>();
  #stopping = false;

  constructor(
    logs: string,
    onChange: () => void,
    onExit: (name: string, code: number | null, signal: string | null) => void,
  ) {
    this.#logs = logs;
    this.#onChange = onChange;
    this.#onExit = onExit;
  }

  start(program: Program): void {
    const log = openSync(join(this.#logs, `${program.name}.log`), "a");
    // The IPC channel closes when this process dies, however it dies; the child then ends by itself.
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program.script, ...program.args], {
      stdio: ["ignore", log, log, "ipc"],
      // Each process has a database of its own in its configuration, which this variable would override.
      env: { NODE_COMPILE_CACHE, ...process.env, DATABASE_URL: undefined, ...program.env },
    });
    closeSync(log);
    if (!this.#children.has(program.name)) this.#order.push(program.name);
    this.#children.set(program.name, child);
    this.#programs.set(program.name, program);
    this.#onChange();
    child.on("exit", (code, signal) => {
      if (this.#stopping || this.#halted.has(program.name) || this.#children.get(program.name) !== child) return;
      this.#onExit(program.name, code, signal);
      // A test kills at a named step once; the restart runs on.
      const { MSEC_KILL_AT: _, ...env } = program.env ?? {};
      const next = { ...program, env };
      this.#programs.set(program.name, next);
      void sleep(RESTART_MS).then(() => {
        if (!this.#stopping && !this.#halted.has(program.name) && this.#children.get(program.name) === child)
          this.start(next);
      });
    });
  }

  /** Ends one process, at once, and leaves it ended until {@link resume}. */
  async halt(name: string): Promise<void> {
    const child = this.#children.get(name);
    if (!child) throw new Error(`there is no process ${name}`);
    this.#halted.add(name);
    child.kill("SIGKILL");
    while (child.exitCode === null && child.signalCode === null) await sleep(20);
  }

  /** Starts a process again that was halted. */
  resume(name: string): void {
    const program = this.#programs.get(name);
    if (program && this.#halted.delete(name)) this.start(program);
  }

  get pids(): Record<string, number> {
    return Object.fromEntries([...this.#children].flatMap(([name, child]) => (child.pid ? [[name, child.pid]] : [])));
  }

  /** Names of those that did not end by themselves, once {@link stop} is over. */
  readonly killed: string[] = [];

  async stop(): Promise<void> {
    this.#stopping = true;
    const children = this.#order.reverse().flatMap((name) => this.#children.get(name) ?? []);
    for (const child of children) child.kill("SIGTERM");
    // One that was stopped by a signal takes the other only when it runs on.
    for (const child of children) child.kill("SIGCONT");
    const end = Date.now() + STOP_MS;
    for (const [name, child] of [...this.#children]) {
      while (child.exitCode === null && child.signalCode === null && Date.now() < end) await sleep(20);
      if (child.exitCode !== null || child.signalCode !== null) continue;
      this.killed.push(name);
      child.kill("SIGKILL");
    }
  }
}
