import { type Hex } from "@msec/core";
import { isError, keccak256, type TransactionReceipt, Wallet } from "ethers";
import { type ChainProvider } from "./provider.ts";

/** A transaction that was signed but perhaps not sent. The same bytes may be sent any number of times. */
export interface SignedTransaction {
  hash: Hex;
  nonce: number;
  raw: Hex;
}

export interface Call {
  /** Absent where a contract is deployed. */
  to?: Hex;
  data: string;
  gasLimit?: number;
}

const GAS_LIMIT = 8_000_000;
const RESEND_MS = 3_000;

/**
 * Signs legacy transactions at gas price 0. What is signed is kept by the caller before it is sent, so that a crash ends
 * in the same bytes being sent again and never in two transactions for one purpose.
 */
export class Sender {
  readonly wallet: Wallet;
  readonly #provider: ChainProvider;
  readonly #chainId: number;

  constructor(privateKey: Hex, provider: ChainProvider, chainId: number) {
    this.wallet = new Wallet(privateKey, provider);
    this.#provider = provider;
    this.#chainId = chainId;
  }

  get address(): Hex {
    return this.wallet.address.toLowerCase() as Hex;
  }

  /** Transactions of this account that the chain holds, in blocks or waiting. */
  async nonce(): Promise<number> {
    return this.#provider.getTransactionCount(this.address, "pending");
  }

  /** Transactions of this account that are in blocks. */
  async minedNonce(): Promise<number> {
    return this.#provider.getTransactionCount(this.address, "latest");
  }

  async sign(call: Call, nonce: number): Promise<SignedTransaction> {
    const raw = (await this.wallet.signTransaction({
      type: 0,
      chainId: this.#chainId,
      gasPrice: 0,
      gasLimit: call.gasLimit ?? GAS_LIMIT,
      nonce,
      to: call.to ?? null,
      data: call.data,
    })) as Hex;
    return { hash: keccak256(raw) as Hex, nonce, raw };
  }

  /** Sends signed bytes. A node that has them already, or has mined them, is as good as one that takes them now. */
  async broadcast(raw: Hex): Promise<void> {
    try {
      await this.#provider.send("eth_sendRawTransaction", [raw]);
    } catch (error) {
      const text = String((error as { error?: { message?: string } }).error?.message ?? (error as Error).message);
      if (/already known|already imported|known transaction|nonce too low|nonce has already been used/i.test(text))
        return;
      if (isError(error, "NONCE_EXPIRED")) return;
      throw error;
    }
  }

  async receipt(hash: Hex): Promise<TransactionReceipt | null> {
    return this.#provider.getTransactionReceipt(hash);
  }

  /** Signs, sends and waits, for tools that a person sits in front of. Throws with the contract's own error. */
  async transact(call: Call): Promise<TransactionReceipt> {
    await this.#provider.call({ from: this.address, to: call.to ?? null, data: call.data, gasLimit: GAS_LIMIT });
    const signed = await this.sign(call, await this.nonce());
    await this.broadcast(signed.raw);
    const receipt = await this.wait(signed.hash, signed.raw);
    if (receipt.status !== 1) throw new Error(`transaction ${signed.hash} was reverted`);
    return receipt;
  }

  /**
   * The receipt of a transaction, once it is in a block; an error after 60 s without one. With `raw` the same bytes are
   * sent again from time to time: a chain that was killed forgets what it had not saved.
   */
  async wait(hash: Hex, raw?: Hex): Promise<TransactionReceipt> {
    const again = raw && setInterval(() => void this.broadcast(raw).catch(() => undefined), RESEND_MS);
    try {
      return await this.#provider.mined(hash);
    } finally {
      clearInterval(again);
    }
  }
}
