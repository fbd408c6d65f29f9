import { type Hex } from "@msec/core";
import { type JsonRpcProvider, type TransactionReceipt } from "ethers";

const WAIT_MS = 60_000;
const RECONNECT_MS = 250;

/**
 * Receipts of any number of transactions by one subscription to new block headers (`eth_subscribe`): each is asked for
 * once a block instead of again and again. The socket is opened again when it breaks.
 */
export class Receipts {
  readonly #provider: JsonRpcProvider;
  readonly #url: string;
  readonly #waiting = new Map<Hex, (receipt: TransactionReceipt) => void>();
  #socket: WebSocket | undefined;
  #closed = false;

  /** `url` is the WebSocket of the provider's node. */
  constructor(provider: JsonRpcProvider, url: string) {
    this.#provider = provider;
    this.#url = url;
    this.#open();
  }

  /** The receipt of a transaction, once it is in a block; an error after `ms` without one. */
  async wait(hash: Hex, ms = WAIT_MS): Promise<TransactionReceipt> {
    const mined = new Promise<TransactionReceipt>((resolve) => this.#waiting.set(hash, resolve));
    let late: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      late = setTimeout(
        () => reject(new Error(`transaction ${hash} is not in a block after ${ms / 1000} s: was it sent?`)),
        ms,
      );
    });
    try {
      // It may be in a block that came before.
      return (await this.#provider.getTransactionReceipt(hash)) ?? (await Promise.race([mined, tooLate]));
    } finally {
      clearTimeout(late);
      this.#waiting.delete(hash);
    }
  }

  close(): void {
    this.#closed = true;
    this.#socket?.close();
  }

  #open(): void {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => {
      socket.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_subscribe", params: ["newHeads"] }));
      // Blocks came while nobody listened.
      void this.#look();
    };
    socket.onmessage = ({ data }) => {
      if ((JSON.parse(String(data)) as { method?: string }).method === "eth_subscription") void this.#look();
    };
    socket.onerror = () => socket.close();
    socket.onclose = () => {
      if (!this.#closed) setTimeout(() => this.#closed || this.#open(), RECONNECT_MS).unref();
    };
  }

  async #look(): Promise<void> {
    await Promise.all(
      [...this.#waiting].map(async ([hash, resolve]) => {
        // A failure is made up for at the next block.
        const receipt = await this.#provider.getTransactionReceipt(hash).catch(() => null);
        if (receipt) resolve(receipt);
      }),
    );
  }
}
