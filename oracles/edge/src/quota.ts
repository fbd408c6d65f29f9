/** So many a second, and at most so many at once. */
export interface Rate {
  perSecond: number;
  burst: number;
}

interface Bucket {
  tokens: number;
  /** Seconds. */
  at: number;
}

/** Whoever was not seen for longest is forgotten first; by then their bucket has long been full again. */
const REMEMBERED = 100_000;

/** A token bucket for each of many. */
export class Quota {
  readonly #rate: Rate;
  readonly #now: () => number;
  readonly #buckets = new Map<string, Bucket>();

  /** @param now Seconds, on a clock that only goes on. */
  constructor(rate: Rate, now: () => number = () => performance.now() / 1000) {
    this.#rate = rate;
    this.#now = now;
  }

  /** Takes `cost` tokens if there are as many; otherwise none, and says after how many seconds there will be. */
  take(who: string, cost = 1): number {
    const { perSecond, burst } = this.#rate;
    const at = this.#now();
    const before = this.#buckets.get(who) ?? { tokens: burst, at };
    const tokens = Math.min(burst, before.tokens + (at - before.at) * perSecond);
    const taken = tokens >= cost;
    this.#buckets.delete(who);
    this.#buckets.set(who, { tokens: taken ? tokens - cost : tokens, at });
    if (this.#buckets.size > REMEMBERED) this.#buckets.delete(this.#buckets.keys().next().value as string);
    return taken ? 0 : (cost - tokens) / perSecond;
  }

  /** Gives back what was taken for nothing. */
  giveBack(who: string, cost = 1): void {
    const bucket = this.#buckets.get(who);
    if (bucket) bucket.tokens = Math.min(this.#rate.burst, bucket.tokens + cost);
  }
}

/** Whom an address counts as: an IPv6 host has a network of 64 bits to itself. */
export function connectionOf(address: string): string {
  const plain = address.replace(/^::ffff:/, "");
  if (!plain.includes(":")) return plain;
  const [left = ""] = plain.split("::");
  return `${left.split(":").slice(0, 4).join(":")}::/64`;
}
