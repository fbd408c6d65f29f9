/** Told how much is done of how much. */
export type Progress = (done: number, of: number) => void;

/** Longest stretch of work without a rest, in milliseconds. */
const STRETCH_MS = 25;

/** Drives work that yields how much it has done, resting now and then so that a page or worker can do other things. */
export async function paced<T>(steps: Generator<number, T>, of: number, progress?: Progress): Promise<T> {
  for (let rested = performance.now(); ; ) {
    const { done, value } = steps.next();
    if (done) {
      progress?.(of, of);
      return value;
    }
    if (performance.now() - rested < STRETCH_MS) continue;
    progress?.(value, of);
    await new Promise((resolve) => setTimeout(resolve));
    rested = performance.now();
  }
}

/** Drives the same work in one go. */
export function atOnce<T>(steps: Generator<number, T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}
