import { type Hex } from "@msec/core";
import { type JsonRpcProvider, type TransactionReceipt } from "ethers";

const WAIT_MS = 60_000;
const RECONNECT_MS = 250;
/** So many times more seldom it is asked where a socket tells of blocks: one that died without a word. */
const WITH_SOCKET = 30;

/**
 * Receipts of any number of transactions by one subscription to new block headers (`eth_subscribe`): each is asked for
 * once a block instead of again and again. The socket is opened when somebody first waits, and again when it breaks.
 * Without one they are asked for every `pollMs`.
 */
export class Receipts {
  readonly #provider: JsonRpcProvider;
  readonly #url: string | undefined;
  readonly #pollMs: number;
  readonly #waiting = new Map<Hex, Set<(receipt: TransactionReceipt) => void>>();
  #socket: WebSocket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #away = "";
  #closed = false;

  /** `url` is the WebSocket of the provider's node. */
  constructor(provider: JsonRpcProvider, url: string | undefined, pollMs: number) {
    this.#provider = provider;
    this.#url = url;
    this.#pollMs = pollMs;
  }

  /** The receipt of a transaction, once it is in a block; an error after `ms` without one. */
  async wait(hash: Hex, ms = WAIT_MS): Promise<TransactionReceipt> {
    let late: NodeJS.Timeout | undefined;
    let told: ((receipt: TransactionReceipt) => void) | undefined;
    try {
      return await new Promise<TransactionReceipt>((resolve, reject) => {
        told = resolve;
        this.#waiting.set(hash, (this.#waiting.get(hash) ?? new Set()).add(resolve));
        late = setTimeout(() => {
          const why = this.#away || "was it sent, and does the chain make blocks?";
          reject(new Error(`transaction ${hash} is not in a block after ${ms / 1000} s: ${why}`));
        }, ms);
        this.#listen();
        // It may be in a block that came before.
        void this.#ask(hash);
      });
    } finally {
      clearTimeout(late);
      const others = this.#waiting.get(hash);
      if (told) others?.delete(told);
      if (others?.size === 0) this.#waiting.delete(hash);
      if (this.#waiting.size === 0) {
        clearInterval(this.#timer);
        this.#timer = undefined;
      }
    }
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#socket?.close();
  }

  #listen(): void {
    const url = this.#url;
    this.#timer ??= setInterval(() => this.#look(), (url === undefined ? 1 : WITH_SOCKET) * this.#pollMs);
    if (url !== undefined) this.#socket ??= this.#open(url);
  }

  #open(url: string): WebSocket {
    const socket = new WebSocket(url);
    socket.onopen = () => {
      socket.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_subscribe", params: ["newHeads"] }));
    };
    // Also the answer to the subscription: blocks came while nobody listened.
    socket.onmessage = () => this.#look();
    socket.onerror = () => socket.close();
    socket.onclose = () => {
      this.#socket = undefined;
      setTimeout(() => {
        if (this.#closed || this.#waiting.size === 0) return;
        this.#look();
        this.#listen();
      }, RECONNECT_MS).unref();
    };
    return socket;
  }

  #look(): void {
    for (const hash of this.#waiting.keys()) void this.#ask(hash);
  }

  async #ask(hash: Hex): Promise<void> {
    try {
      const receipt = await this.#provider.getTransactionReceipt(hash);
      this.#away = "";
      if (receipt) for (const resolve of this.#waiting.get(hash) ?? []) resolve(receipt);
    } catch (error) {
      // Made up for at the next block.
      this.#away = (error as Error).message;
    }
  }
}
