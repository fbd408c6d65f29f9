import { mkdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { startSwtpm, type Swtpm } from "@msec/secure-element/swtpm";

const RESTART_MS = 500;

/** Emulated TPMs by name. One start of the city is one power-on of each; one that ends is powered on again. */
export class Emulators {
  readonly #onChange: () => void;
  readonly #running = new Map<string, Swtpm>();
  readonly #restarts = new Set<Promise<void>>();
  #stopping = false;

  /** `onChange` is told when one runs, or runs again. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Powers on the TPM whose memory is `folder`: a new one where it is empty. */
  async start(name: string, folder: string): Promise<void> {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const swtpm = await startSwtpm(folder);
    if (this.#stopping) return swtpm.stop();
    this.#running.set(name, swtpm);
    this.#onChange();
    void swtpm.exited.then(() => {
      if (this.#stopping) return;
      const again = this.#again(name, folder).finally(() => this.#restarts.delete(again));
      this.#restarts.add(again);
    });
  }

  get pids(): Record<string, number> {
    return Object.fromEntries([...this.#running].map(([name, { pid }]) => [name, pid]));
  }

  /** As Tpm.open takes it; undefined for a name without a TPM. */
  addressOf(name: string): string | undefined {
    return this.#running.get(name)?.address;
  }

  /** Powers one off as a power cut does; it comes on again by itself. */
  async cut(name: string): Promise<void> {
    await this.#running.get(name)?.cut();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#restarts);
    await Promise.all([...this.#running.values()].map((swtpm) => swtpm.stop()));
  }

  async #again(name: string, folder: string): Promise<void> {
    while (!this.#stopping) {
      await sleep(RESTART_MS);
      try {
        return await this.start(name, folder);
      } catch {
        // Tried again: whoever needs it says so.
      }
    }
  }
}
