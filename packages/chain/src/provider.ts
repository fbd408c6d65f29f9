import { JsonRpcProvider, Network, type TransactionReceipt } from "ethers";
import { type Hex } from "@msec/core";
import { Receipts } from "./heads.ts";

/** How a network is spoken to: the same for each, so that nothing outside this package knows which one runs. */
export interface Profile {
  rpc: string;
  /** WebSocket of the same node, for receipts by subscription; without it they are asked for ten times a block. */
  ws?: string | undefined;
  chainId: number;
  /** Seconds between blocks. */
  blockSeconds: number;
}

/** The embedded chain, whose one port speaks HTTP and WebSocket. */
export const embedded = (rpc: string, chainId: number): Profile => ({
  rpc,
  ws: rpc.replace(/^http/, "ws"),
  chainId,
  blockSeconds: 1,
});

/** A GoQuorum node, which has a port for each. */
export const quorum = (rpc: string, ws: string, chainId: number, blockSeconds: number): Profile => ({
  rpc,
  ws,
  chainId,
  blockSeconds,
});

/** A node of which only the URL is known. */
export const endpoint = (rpc: string, chainId: number): Profile => ({ rpc, chainId, blockSeconds: 1 });

/** A provider that waits for receipts by subscription, and never asks which network it is on. */
export class ChainProvider extends JsonRpcProvider {
  readonly #receipts: Receipts;

  constructor({ rpc, ws, chainId, blockSeconds }: Profile) {
    const network = Network.from(chainId);
    // Calls of one turn go in one request, and none waits for a next one.
    super(rpc, network, { staticNetwork: network, batchMaxCount: 20, batchStallTime: 0, cacheTimeout: -1 });
    this.pollingInterval = blockSeconds * 250;
    this.#receipts = new Receipts(this, ws, blockSeconds * 100);
  }

  /** The receipt of a transaction, once it is in a block; an error that says why after 60 s without one. */
  mined(hash: Hex): Promise<TransactionReceipt> {
    return this.#receipts.wait(hash);
  }

  override destroy(): void {
    this.#receipts.close();
    super.destroy();
  }
}

export const connectChain = (profile: Profile): ChainProvider => new ChainProvider(profile);
