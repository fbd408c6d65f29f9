import { type Beacon, type Hex, ZERO32 } from "@msec/core";

const KEPT = 32;

/** The newest epoch on which f + 1 operators agree; a lone operator can't push the beacon ahead. */
export class BeaconWatch {
  readonly #needed: number;
  readonly #seen = new Map<Hex, Map<number, Hex>>();
  #newest: Beacon = { number: 0, digest: ZERO32 };

  constructor(needed: number) {
    this.#needed = needed;
  }

  get newest(): Beacon {
    return this.#newest;
  }

  note(operator: Hex, number: number, digest: Hex): void {
    const own = this.#seen.get(operator) ?? new Map<number, Hex>();
    this.#seen.set(operator, own);
    own.set(number, digest);
    while (own.size > KEPT) own.delete(Math.min(...own.keys()));
    if (number <= this.#newest.number) return;
    const agree = [...this.#seen.values()].filter((epochs) => epochs.get(number) === digest).length;
    if (agree >= this.#needed) this.#newest = { number, digest };
  }
}
