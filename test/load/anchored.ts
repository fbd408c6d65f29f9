import { setTimeout as sleep } from "node:timers/promises";
import { type Hex } from "@msec/core";
import { type Result } from "ethers";
import type { City } from "../../apps/cli/src/city/up.ts";
import { READINGS } from "./packs.ts";
import type { Sent } from "./senders.ts";

const POLL_MS = 50;

/** What the chain holds: counted from the calldata of the anchor transactions, not from an operator's word. */
export class Anchored {
  epochs = 0;
  packs = 0;
  readings = 0;
  gas = 0n;
  /** Milliseconds from publishing to seen anchored, one a pack. */
  latencies: number[] = [];
  /** Monotonic time at which the newest epoch was seen. */
  lastAt = 0;
  /** Packs of this run that an epoch named which had been named before, or that nobody sent. */
  strangers = 0;
  readonly #city: City;
  readonly #sent: Sent;
  #block: number;
  #stopping = false;
  #loop: Promise<void> | undefined;

  private constructor(city: City, sent: Sent, block: number) {
    this.#city = city;
    this.#sent = sent;
    this.#block = block;
  }

  /** Follows the chain from the present block on. */
  static async follow(city: City, sent: Sent): Promise<Anchored> {
    const anchored = new Anchored(city, sent, await city.provider.getBlockNumber());
    anchored.#loop = anchored.#run();
    return anchored;
  }

  reset(): void {
    Object.assign(this, { epochs: 0, packs: 0, readings: 0, gas: 0n, latencies: [], strangers: 0 });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      try {
        await this.#read();
      } catch (error) {
        if (!this.#stopping) process.stderr.write(`the chain could not be read: ${(error as Error).message}\n`);
      }
      await sleep(POLL_MS);
    }
  }

  async #read(): Promise<void> {
    const { contracts, provider, run } = this.#city;
    const block = await provider.getBlockNumber();
    if (block <= this.#block) return;
    const anchor = contracts.DataAnchor;
    const events = await anchor.queryFilter(anchor.filters.Anchored(), this.#block + 1, block);
    const seenAt = performance.now();
    for (const hash of new Set(events.map((event) => event.transactionHash))) {
      const [tx, receipt] = await Promise.all([provider.getTransaction(hash), provider.getTransactionReceipt(hash)]);
      const call = tx && anchor.interface.parseTransaction(tx);
      if (!call || !receipt) throw new Error(`the transaction ${hash} is not there`);
      const epochs = (call.name === "anchorMany" ? call.args[0] : [call.args[0]]) as Result[];
      this.gas += receipt.gasUsed;
      for (const epoch of epochs) {
        const digests = await headerDigests((run.operators[0] as { url: string }).url, Number(epoch.number));
        if (digests.length !== Number(epoch.packs))
          throw new Error(`epoch ${epoch.number} has ${epoch.packs} packs, the operator names ${digests.length}`);
        this.epochs++;
        this.packs += digests.length;
        this.readings += Number(epoch.readings);
        for (const digest of digests) {
          const at = this.#sent.at.get(digest);
          if (at === undefined) this.strangers++;
          else this.latencies.push(seenAt - at);
          this.#sent.at.delete(digest);
        }
        this.lastAt = seenAt;
      }
    }
    this.#block = block;
  }

  /** Readings that were sent and are not anchored. */
  missing(): number {
    return this.#sent.at.size * READINGS;
  }
}

/** Which headers an epoch holds; the operator says so as soon as it has seen it on the chain itself. */
async function headerDigests(url: string, number: number): Promise<Hex[]> {
  for (let i = 0; i < 200; i++) {
    const response = await fetch(`${url}/epochs/${number}`);
    if (response.ok) return ((await response.json()) as { headerDigests: Hex[] }).headerDigests;
    await response.body?.cancel();
    await sleep(POLL_MS);
  }
  throw new Error(`the operator did not confirm epoch ${number} within 10 s`);
}
