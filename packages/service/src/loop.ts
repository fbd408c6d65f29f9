import { setTimeout as sleep } from "node:timers/promises";

/** Work that is repeated until the process stops. A step that fails is reported and tried again a second later. */
export class Loops {
  readonly #stopped = new AbortController();
  readonly #running: Promise<void>[] = [];
  readonly #onError: (loop: string, error: Error) => void;

  constructor(onError: (loop: string, error: Error) => void) {
    this.#onError = onError;
  }

  every(ms: number, name: string, work: () => Promise<void>): void {
    this.#running.push(this.#run(ms, name, work));
  }

  async #run(ms: number, name: string, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopped;
    const pause = (time: number) => sleep(time, undefined, { signal }).catch(() => undefined);
    while (!signal.aborted) {
      try {
        await work();
      } catch (error) {
        this.#onError(name, error as Error);
        await pause(1000);
      }
      await pause(ms);
    }
  }

  /** Resolves when every loop has finished the step that it was in. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#running);
  }
}

/** Runs `main` with the configuration file named on the command line; ends with code 2 without one, 1 on failure. */
export function runMain(name: string, main: (configFile: string) => Promise<void>): void {
  const file = process.argv[2];
  if (!file) {
    process.stderr.write(`usage: ${name} CONFIG.json\n`);
    process.exit(2);
  }
  main(file).catch((error: Error) => {
    process.stderr.write(`${name}: ${error.message}\n`);
    process.exit(1);
  });
}

/** Calls `stop` once at SIGTERM, at SIGINT or when the process that started this one is gone; then ends the process. */
export function onStop(stop: () => Promise<void>): void {
  let stopping = false;
  const end = () => {
    if (stopping) return;
    stopping = true;
    stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
  process.on("disconnect", end);
}
