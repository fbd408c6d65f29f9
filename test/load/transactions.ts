import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { connectChain, type PrivacyManager, PrivateSender, type Profile, Sender } from "@msec/chain";
import { type Hex, toHex } from "@msec/core";
import { getCreateAddress } from "ethers";

// What a GoQuorum network takes in a second: public transactions that were signed ahead, and private ones.

const TICK_MS = 250;
const DRAIN_MS = 60_000;
/** Writes its calldata's word to slot 0 where there is any, else returns it. */
const WORD = "0x6018600c60003960186000f33615600c57600035600055005b60005460005260206000f3";

const randomKey = (): Hex => toHex(new Uint8Array(randomBytes(32)));

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? NaN;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Blocks as one node announces them, with the hashes of their transactions. */
class Blocks {
  readonly #socket: WebSocket;
  readonly #onBlock: (hashes: Hex[], seenAt: number) => void;
  #asked = 1;
  readonly #seenAt = new Map<number, number>();

  constructor(ws: string, onBlock: (hashes: Hex[], seenAt: number) => void) {
    this.#onBlock = onBlock;
    this.#socket = new WebSocket(ws);
    this.#socket.onopen = () => this.#ask(1, "eth_subscribe", ["newHeads"]);
    this.#socket.onmessage = ({ data }) => this.#read(String(data));
  }

  #ask(id: number, method: string, params: unknown[]): void {
    this.#socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
  }

  #read(text: string): void {
    const message = JSON.parse(text) as {
      id?: number;
      result?: { transactions: Hex[] };
      params?: { result: { hash: Hex } };
    };
    if (message.params) {
      this.#seenAt.set(++this.#asked, performance.now());
      this.#ask(this.#asked, "eth_getBlockByHash", [message.params.result.hash, false]);
    } else if (message.id !== undefined && message.id > 1 && message.result)
      this.#onBlock(message.result.transactions, this.#seenAt.get(message.id) as number);
  }

  close(): void {
    this.#socket.close();
  }
}

/**
 * An account's connection to its node. Requests stand beside one another on it: a batch is taken one by one, each waiting for
 * the pool and each told to the other nodes by itself.
 */
class Line {
  readonly #socket: WebSocket;
  /** Resolves when it is open, or failed. */
  readonly opened: Promise<void>;
  #waiting = 0;
  /** Why the node took a transaction not, or the connection ended. */
  failed: Error | undefined;

  constructor(ws: string) {
    this.#socket = new WebSocket(ws);
    this.opened = new Promise((done) => {
      this.#socket.onopen = () => done();
      this.#socket.onclose = () => {
        this.failed ??= new Error(`${ws} closed the connection`);
        done();
      };
    });
    this.#socket.onmessage = ({ data }) => {
      this.#waiting--;
      const { error } = JSON.parse(String(data)) as { error?: { message: string } };
      if (error) this.failed ??= new Error(`a node refuses a transaction: ${error.message}`);
    };
  }

  send(raw: Hex): void {
    this.#waiting++;
    const request = { jsonrpc: "2.0", id: 1, method: "eth_sendRawTransaction", params: [raw] };
    this.#socket.send(JSON.stringify(request));
  }

  /** Until each one is answered. */
  async answered(): Promise<void> {
    while (this.#waiting > 0 && !this.failed) await sleep(20);
  }

  close(): void {
    this.#socket.close();
  }
}

export interface PublicOptions {
  /** Offered transactions a second, for so many seconds, by so many accounts. */
  rate: number;
  seconds: number;
  senders: number;
}

/**
 * Offers transfers at a fixed rate, each account at one of the nodes, and waits for all of them. A latency counts from when
 * a transaction was due to be sent until the block with it was announced by the first node.
 */
export async function publicRun(profiles: readonly Profile[], { rate, seconds, senders }: PublicOptions) {
  const each = Math.ceil((rate * seconds) / senders);
  const provider = connectChain(profiles[0] as Profile);
  const accounts = Array.from({ length: senders }, (_, i) => {
    const { ws, chainId } = profiles[i % profiles.length] as Profile;
    return { line: new Line(ws as string), sender: new Sender(randomKey(), provider, chainId) };
  });
  const lines = accounts.map(({ line }) => line);
  const signed = await Promise.all(
    accounts.map(async ({ sender }) => {
      const own = [];
      for (let nonce = 0; nonce < each; nonce++)
        own.push(await sender.sign({ to: sender.address, data: "0x", gasLimit: 21_000 }, nonce));
      return own;
    }),
  );
  await Promise.all(lines.map((line) => line.opened));
  const dueAt = new Map<Hex, number>();
  const latencies: number[] = [];
  const perBlock: number[] = [];
  let lastAt = 0;
  const blocks = new Blocks(profiles[0]?.ws as string, (hashes, seenAt) => {
    const ours = hashes.filter((hash) => dueAt.has(hash));
    if (dueAt.size > 0 || ours.length > 0) perBlock.push(ours.length);
    for (const hash of ours) {
      latencies.push(seenAt - (dueAt.get(hash) as number));
      dueAt.delete(hash);
      lastAt = seenAt;
    }
  });
  const total = each * senders;
  const failed = () => lines.find((line) => line.failed)?.failed;
  let sent = 0;
  const started = performance.now();
  while (sent < total && !failed()) {
    const due = Math.min(total, Math.floor(((performance.now() - started) / 1000) * rate));
    for (; sent < due; sent++) {
      const { hash, raw } = signed[sent % senders]?.[Math.floor(sent / senders)] as { hash: Hex; raw: Hex };
      dueAt.set(hash, started + (sent / rate) * 1000);
      lines[sent % senders]?.send(raw);
    }
    await sleep(TICK_MS);
  }
  await Promise.all(lines.map((line) => line.answered()));
  for (const end = performance.now() + DRAIN_MS; latencies.length < total && performance.now() < end && !failed(); )
    await sleep(20);
  const why = failed();
  for (const line of lines) line.close();
  blocks.close();
  provider.destroy();
  if (why) throw why;
  return {
    offeredPerSecond: rate,
    senders,
    transactions: total,
    lost: total - latencies.length,
    perSecond: Math.round(latencies.length / ((lastAt - started) / 1000)),
    p50Ms: Math.round(quantile(latencies, 0.5)),
    p95Ms: Math.round(quantile(latencies, 0.95)),
    p99Ms: Math.round(quantile(latencies, 0.99)),
    blocks: perBlock.length,
    mostInOneBlock: Math.max(...perBlock),
  };
}

/** A member of the network: its node, its manager, its party's key. */
export interface Member {
  profile: Profile;
  manager: PrivacyManager;
  key: string;
}

/**
 * Writes to a private contract of two parties, `atOnce` accounts side by side, each giving its manager the content, signing
 * and handing the transaction to its node, without waiting for blocks; then waits for all of them.
 */
export async function privateRun(from: Member, to: Member, atOnce: number, seconds: number) {
  const provider = connectChain(from.profile);
  const receiver = connectChain(to.profile);
  const among = { to: [to.key] };
  try {
    const deployer = new PrivateSender(randomKey(), provider, from.manager);
    const creation = await deployer.sign({ data: WORD, gasLimit: 1_000_000 }, 0);
    await deployer.broadcast(creation.raw, among);
    await provider.mined(creation.hash);
    const contract = getCreateAddress({ from: deployer.address, nonce: 0 }).toLowerCase() as Hex;
    const hashes: Hex[] = [];
    const started = performance.now();
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        const sender = new PrivateSender(randomKey(), provider, from.manager);
        for (let nonce = 0; performance.now() - started < seconds * 1000; nonce++) {
          const { hash, raw } = await sender.sign({ to: contract, data: randomKey(), gasLimit: 300_000 }, nonce);
          await sender.broadcast(raw, among);
          hashes.push(hash);
        }
      }),
    );
    const receipts = await Promise.all(hashes.map((hash) => provider.mined(hash)));
    const perSecond = receipts.length / ((performance.now() - started) / 1000);
    const failed = receipts.filter(({ status }) => status !== 1).length;
    if (failed > 0) throw new Error(`${failed} of ${receipts.length} private transactions failed`);
    // The other party has executed them, too.
    const newest = Math.max(...receipts.map(({ blockNumber }) => blockNumber));
    while ((await receiver.getBlockNumber()) < newest) await sleep(100);
    const words = await Promise.all([provider, receiver].map((p) => p.call({ to: contract, data: "0x" })));
    if (words[0] !== words[1] || BigInt(words[0] as string) === 0n)
      throw new Error("the two parties came to different states");
    return Number(perSecond.toFixed(1));
  } finally {
    provider.destroy();
    receiver.destroy();
  }
}

/** Payloads a second that one manager seals and brings to another, both having stored them when it answers. */
export async function sendRun(from: PrivacyManager, to: string, atOnce: number, seconds: number): Promise<number> {
  const payload = new Uint8Array(randomBytes(512));
  const started = performance.now();
  let sent = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (; performance.now() - started < seconds * 1000; sent++) await from.send(payload, { to: [to] });
    }),
  );
  return Number((sent / ((performance.now() - started) / 1000)).toFixed(1));
}
