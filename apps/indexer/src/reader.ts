import { type JsonRpcProvider } from "ethers";
import { type Hex } from "@msec/core";
import { type Decoder } from "./decode.ts";
import { type Block, type Store } from "./store.ts";

/** Blocks whose logs are asked for at once. */
const RANGE = 2_000;
/** Blocks that are compared at once when the chain has lost some. */
const COMPARED = 50;

/** Follows the chain: every block's events, each once, in their order. */
export class Reader {
  readonly #provider: JsonRpcProvider;
  readonly #decoder: Decoder;
  readonly #store: Store;
  readonly #fromBlock: number;
  readonly #onLoss: (block: number) => void;
  /** Newest block of the chain when it was last asked. */
  chainHead = 0;
  /** Milliseconds; when everything up to {@link chainHead} was read. */
  caughtUpAt = 0;

  /** `fromBlock` is that of the deployment, or one before. `onLoss` is told the last block that the chain still has. */
  constructor(
    provider: JsonRpcProvider,
    decoder: Decoder,
    store: Store,
    fromBlock: number,
    onLoss: (block: number) => void,
  ) {
    this.#provider = provider;
    this.#decoder = decoder;
    this.#store = store;
    this.#fromBlock = fromBlock;
    this.#onLoss = onLoss;
  }

  /** Reads up to the chain's newest block. What was read before an error stays read. */
  async tick(): Promise<void> {
    this.chainHead = await this.#provider.getBlockNumber();
    let next = (await this.#lastInChain()) + 1;
    while (next <= this.chainHead) {
      const to = Math.min(next + RANGE - 1, this.chainHead);
      await this.#read(next, to);
      next = to + 1;
    }
    this.caughtUpAt = Date.now();
  }

  /** The newest block that was read and is in the chain still; what was read after it is forgotten. */
  async #lastInChain(): Promise<number> {
    const head = await this.#store.head();
    if (!head) return this.#fromBlock - 1;
    if (await this.#isInChain(head)) return head.number;
    let last = -1;
    let below = head.number;
    while (last < 0) {
      const kept = await this.#store.blocks(COMPARED, below);
      if (kept.length === 0) break;
      const there = await Promise.all(kept.map((block) => this.#isInChain(block)));
      last = kept[there.indexOf(true)]?.number ?? -1;
      below = (kept.at(-1) as Block).number;
    }
    await this.#store.rollback(last);
    this.#onLoss(last);
    return Math.max(last, this.#fromBlock - 1);
  }

  async #isInChain({ number, hash }: Block): Promise<boolean> {
    return number <= this.chainHead && (await this.#provider.getBlock(number))?.hash === hash;
  }

  async #read(from: number, to: number): Promise<void> {
    const logs = await this.#provider.getLogs({ address: this.#decoder.addresses, fromBlock: from, toBlock: to });
    const events = logs.flatMap((log) => this.#decoder.decode(log) ?? []);
    const numbers = [...new Set([...events.map(({ block }) => block), to])].sort((a, b) => a - b);
    const blocks = await Promise.all(numbers.map((number) => this.#block(number)));
    const hashes = new Map(blocks.map(({ number, hash }) => [number, hash]));
    if (logs.some((log) => hashes.has(log.blockNumber) && hashes.get(log.blockNumber) !== log.blockHash))
      throw new Error("the chain changed while it was read: it is read again");
    await this.#store.append(events, blocks);
  }

  async #block(number: number): Promise<Block> {
    const block = await this.#provider.getBlock(number);
    if (!block?.hash) throw new Error(`the node has no block ${number}: it is asked again`);
    return { number, hash: block.hash as Hex, at: block.timestamp };
  }
}
