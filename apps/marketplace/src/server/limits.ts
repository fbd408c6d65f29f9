/** Requests that one address may make in a burst, and how many it gets back a second. */
export interface Rate {
  burst: number;
  perSecond: number;
}

const MOST_ADDRESSES = 10_000;

/** Token buckets by address: full at first, refilled with time, the oldest forgotten when there are too many. */
export class Buckets {
  readonly #rate: Rate;
  readonly #now: () => number;
  readonly #buckets = new Map<string, { left: number; at: number }>();

  constructor(rate: Rate, now: () => number = Date.now) {
    this.#rate = rate;
    this.#now = now;
  }

  /** Whether `who` may go on; takes one of its tokens if so. */
  take(who: string): boolean {
    const { burst, perSecond } = this.#rate;
    const now = this.#now();
    const before = this.#buckets.get(who) ?? { left: burst, at: now };
    const left = Math.min(burst, before.left + ((now - before.at) / 1000) * perSecond);
    this.#buckets.delete(who);
    this.#buckets.set(who, { left: left < 1 ? left : left - 1, at: now });
    if (this.#buckets.size > MOST_ADDRESSES) this.#buckets.delete(this.#buckets.keys().next().value as string);
    return left >= 1;
  }
}

/** Whether a request comes from a page of this site: browsers name the origin of every request that changes something. */
export function isOwnOrigin(request: Request, { origins }: { origins: readonly string[] }): boolean {
  if (request.method === "GET" || request.method === "HEAD") return true;
  const origin = request.headers.get("origin");
  if (!origin) return false;
  if (origins.includes(origin)) return true;
  const host = request.headers.get("host");
  return origins.length === 0 && (origin === `http://${host}` || origin === `https://${host}`);
}
