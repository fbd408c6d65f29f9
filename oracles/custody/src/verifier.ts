import { Worker } from "node:worker_threads";
import { type Hex, ProtocolError, type RefusalCode, type StreamPreimage } from "@msec/core";

/** One pack to be checked by itself: its signature by `spki` and, with a leaf node, its content. */
export interface Claim {
  message: Uint8Array;
  spki: Uint8Array;
  /** Leaf node of the pack's slot; absent where this operator does not open the stream. */
  leaf: Uint8Array | undefined;
}

export interface Failure {
  code: RefusalCode;
  message: string;
}

/** What is wrong with a pack; undefined where nothing is, or where it was not looked at. */
export interface Verdict {
  signature: Failure | undefined;
  opening: Failure | undefined;
}

export function demandNone(failure: Failure | undefined): void {
  if (failure) throw new ProtocolError(failure.code, failure.message);
}

interface Thread {
  worker: Worker;
  /** Streams that the thread has been told of. */
  told: Set<Hex>;
  waiting: Map<number, (verdicts: (Verdict | undefined)[] | undefined) => void>;
}

/**
 * Checks packs on threads of their own, so that signatures and ciphers keep neither broker nor database waiting. It knows
 * nothing of lines: what depends on the order of packs is checked when they enter.
 */
export class Verifier {
  readonly #threads: Thread[] = [];
  readonly #onLoss: (error: Error) => void;
  #id = 0;

  /** `onLoss` is told when a thread dies; its packs are then checked by whoever asked. */
  constructor(threads: number, onLoss: (error: Error) => void) {
    this.#onLoss = onLoss;
    for (let i = 0; i < threads; i++) this.#start();
  }

  #start(): void {
    const worker = new Worker(new URL("./verifier-thread.ts", import.meta.url));
    const thread: Thread = { worker, told: new Set(), waiting: new Map() };
    worker.on("message", ({ id, verdicts }: { id: number; verdicts: (Verdict | undefined)[] }) => {
      thread.waiting.get(id)?.(verdicts);
      thread.waiting.delete(id);
    });
    worker.on("error", this.#onLoss);
    worker.on("exit", () => {
      this.#threads.splice(this.#threads.indexOf(thread), 1);
      for (const resolve of thread.waiting.values()) resolve(undefined);
    });
    this.#threads.push(thread);
  }

  /** Verdicts in the order of the claims; undefined where no thread gave one. */
  async judge(
    claims: readonly { claim: Claim; streamId: Hex; stream: StreamPreimage }[],
  ): Promise<(Verdict | undefined)[]> {
    const threads = [...this.#threads];
    const share = Math.ceil(claims.length / threads.length);
    const parts = threads.map((thread, i) => {
      const part = claims.slice(i * share, (i + 1) * share);
      if (part.length === 0) return [];
      const fresh = new Map<Hex, StreamPreimage>();
      for (const { streamId, stream } of part) if (!thread.told.has(streamId)) fresh.set(streamId, stream);
      for (const streamId of fresh.keys()) thread.told.add(streamId);
      const id = this.#id++;
      const verdicts = new Promise<(Verdict | undefined)[] | undefined>((resolve) => thread.waiting.set(id, resolve));
      thread.worker.postMessage({ id, fresh: [...fresh], claims: part.map(({ claim }) => claim) });
      return verdicts.then((all) => all ?? part.map(() => undefined));
    });
    const verdicts = (await Promise.all(parts)).flat();
    return claims.map((_, i) => verdicts[i]);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#threads].map(({ worker }) => worker.terminate()));
  }
}
