import type { Answer, Request, Work } from "./worker.ts";

type Progress = (done: number, of: number) => void;

let worker: Worker | undefined;
let last = 0;
const waiting = new Map<
  number,
  { resolve: (value: never) => void; reject: (error: Error) => void; progress?: Progress | undefined }
>();

/** A failure in the worker, with the name and code that it had there. */
export class WorkError extends Error {
  readonly code: string | undefined;
  constructor({ name, code, message }: { name: string; code?: string; message: string }) {
    super(message);
    this.name = name;
    this.code = code;
  }
}

function start(): Worker {
  const made = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "msec" });
  made.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
    const asked = waiting.get(data.id);
    if ("progress" in data) return asked?.progress?.(...data.progress);
    waiting.delete(data.id);
    if ("error" in data) asked?.reject(new WorkError(data.error));
    else asked?.resolve(data.result as never);
  });
  made.addEventListener("error", (event) => {
    for (const { reject } of waiting.values()) reject(new Error(event.message || "the worker could not be started"));
    waiting.clear();
    worker = undefined;
  });
  return made;
}

/** Has something done beside the page. */
export function inWorker<N extends keyof Work>(
  name: N,
  input: Parameters<Work[N]>[0],
  progress?: Progress,
): ReturnType<Work[N]> {
  worker ??= start();
  const id = ++last;
  const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject, progress }));
  worker.postMessage({ id, name, input } as unknown as Request);
  return answer as ReturnType<Work[N]>;
}
