import { type Contracts, describeError } from "@msec/chain";
import {
  batchContext,
  batchStartMs,
  type Hex,
  ProtocolError,
  subscriptionId,
  type SubscriptionTerms,
} from "@msec/core";
import { step } from "@msec/service";
import {
  type Batch,
  batchFrom,
  isClosed,
  PHASE,
  type SubscriptionState,
  subscriptionStateFrom,
  termsFrom,
} from "@msec/trade";
import { type EventLog, type Result } from "ethers";
import { type Parts } from "./deals.ts";
import { type BatchDelivery, type Nothing, prepareBatch } from "./prepare.ts";
import { type SubscriptionRow } from "./store.ts";

/** Blocks that are read again after the chain was away. */
const OVERLAP = 50;
/** Most batches of one subscription that are looked at in one go. */
const AT_ONCE = 16;

export const stateOf = async (contracts: Contracts, id: Hex): Promise<SubscriptionState> =>
  subscriptionStateFrom(await contracts.Subscription.stateOf(id));

/** Delivered batches of a subscription, ascending, or the one of a number. A chain that lost blocks may show fewer. */
export async function batchesOf(contracts: Contracts, id: Hex, number?: number): Promise<Batch[]> {
  const { Subscription } = contracts;
  const events = await Subscription.queryFilter(Subscription.filters.BatchDelivered(id, number), 0);
  return events.map(({ args }) => batchFrom(args.batch));
}

/** Arguments of `deliver` besides the terms. */
export const deliverArguments = ({ number, slots, E, masked, last }: BatchDelivery) =>
  [{ number, slots, Ex: E.x, vE: E.v, masked }, last] as const;

/** Watches subscriptions: delivers each batch once it is over, settles what nobody has complained of. */
export class Subscriptions {
  readonly #parts: Parts;
  #readTo = 0;
  /** The first batch of each subscription that is not known to be undeliverable. */
  readonly #from = new Map<Hex, number>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async tick(): Promise<void> {
    await this.#read();
    let failure: Error | undefined;
    for (const row of await this.#parts.store.openSubscriptions()) {
      try {
        await this.#serve(row);
      } catch (error) {
        // One subscription that fails keeps no other waiting.
        failure = new Error(`subscription ${row.subscriptionId}: ${(error as Error).message}`, { cause: error });
      }
    }
    if (failure) throw failure;
  }

  async #read(): Promise<void> {
    const { contracts, provider, sender, store, log } = this.#parts;
    const { Subscription } = contracts;
    const block = await provider.getBlockNumber().catch((error: unknown) => {
      this.#readTo = Math.max(0, this.#readTo - OVERLAP);
      throw error;
    });
    if (block < this.#readTo) this.#readTo = Math.max(0, block - OVERLAP);
    if (block === this.#readTo) return;
    const events = await Subscription.queryFilter(Subscription.filters.Subscribed(), this.#readTo + 1, block);
    for (const event of events as unknown as EventLog[]) {
      const terms = termsFrom(event.args.terms as Result);
      if (terms.deliverer !== sender.address && terms.fallbackDeliverer !== sender.address) continue;
      const id = subscriptionId(terms);
      await store.putSubscription(id, terms);
      log.info({ subscription: id, stream: terms.streamId, fromBatch: terms.fromBatch }, "subscription seen");
    }
    this.#readTo = block;
  }

  async #serve(row: SubscriptionRow): Promise<void> {
    const { contracts, provider, store, log } = this.#parts;
    const { subscriptionId: id, terms } = row;
    const state = await stateOf(contracts, id);
    const newest = await provider.getBlock("latest");
    if (!newest || state.phase === PHASE.none) return;
    const waiting = await this.#settle(row, newest);
    if (state.phase === PHASE.ended) {
      if (waiting === 0) {
        await store.finishSubscription(id, "ended");
        log.info({ subscription: id }, "subscription ended");
      }
      return;
    }
    const grace = state.limit <= state.next || isClosed(state, 2 * terms.deliverSeconds, newest);
    const timeIsUp = state.phase === PHASE.ending ? grace : isClosed(state, terms.silenceSeconds, newest);
    // A delivery shows the key even where it ends the subscription instead: so it is not sent once consent is gone.
    if (timeIsUp || (await this.#isGone(terms))) {
      await this.#send(row, contracts.Subscription.interface.encodeFunctionData("end", [terms]));
      return;
    }
    await this.#deliver(row, state, newest.timestamp * 1000);
  }

  /** Whether a tombstone came, or consent went. */
  async #isGone(terms: SubscriptionTerms): Promise<boolean> {
    const { ConsentRegistry } = this.#parts.contracts;
    const [erasures, authorised] = await ConsentRegistry.consentOf(terms.streamId, terms.purpose, terms.buyer);
    return Number(erasures) > terms.erasures || !authorised;
  }

  /** Settles what the window has closed of. Returns how many batches are not done with. */
  async #settle(row: SubscriptionRow, newest: { timestamp: number; number: number }): Promise<number> {
    const { contracts, store, metrics, log } = this.#parts;
    const { subscriptionId: id, terms } = row;
    let waiting = 0;
    for (const number of await store.unsettled(id)) {
      const word = await contracts.Subscription.batchWord(id, number);
      if (BigInt(word) === 0n) {
        // Not delivered (yet), by another, settled or refunded: only the first leaves something to do, and `deliver` sees it.
        if (number < (await stateOf(contracts, id)).next) await store.putSettled(id, number);
        continue;
      }
      waiting++;
      const [batch] = (await batchesOf(contracts, id, number)).slice(-1);
      if (!batch || !isClosed(batch, terms.complainSeconds, newest)) continue;
      const data = contracts.Subscription.interface.encodeFunctionData("settle", [terms, [batch]]);
      if (!(await this.#send(row, data))) continue;
      metrics.batches.inc({ outcome: "settled" });
      log.info({ subscription: id, batch: number }, "batch settled after the complaint window");
    }
    return waiting;
  }

  async #deliver(row: SubscriptionRow, state: SubscriptionState, nowMs: number): Promise<void> {
    const { sender } = this.#parts;
    const { subscriptionId: id, terms } = row;
    const mine = terms.deliverer === sender.address;
    const first = Math.max(state.next, this.#from.get(id) ?? 0);
    for (let number = first; number < first + AT_ONCE; number++) {
      const overMs = batchStartMs(terms, number + 1);
      if (nowMs < overMs || (state.phase !== PHASE.active && number >= state.limit)) return;
      if (!mine && nowMs <= overMs + terms.deliverSeconds * 1000) return;
      const late = nowMs > overMs + (terms.deliverSeconds * 1000) / 2;
      const delivery = await this.#prepare(row, number, late);
      if (delivery === "early") return;
      if (delivery === "empty") {
        this.#from.set(id, number + 1);
        continue;
      }
      if (!(await this.#publish(row, delivery))) return;
    }
  }

  /** The delivery that was made of this batch, or a new one. */
  async #prepare(row: SubscriptionRow, number: number, late: boolean): Promise<BatchDelivery | Nothing> {
    const { contracts, store, custody, metrics, log, chainId } = this.#parts;
    const { subscriptionId: id, terms } = row;
    const before = await store.batch(id, number);
    if (before) return before;
    const contract = (await contracts.Subscription.getAddress()).toLowerCase() as Hex;
    try {
      const made = await prepareBatch(custody, batchContext(chainId, contract, id, number), terms, number, late);
      if (typeof made === "string") return made;
      step("batch");
      return await store.putBatch(id, made);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      log.warn({ subscription: id, batch: number, error: error.message }, "the batch can't be delivered: left out");
      metrics.batches.inc({ outcome: "undeliverable" });
      return "empty";
    }
  }

  async #publish(row: SubscriptionRow, delivery: BatchDelivery): Promise<boolean> {
    const { contracts, metrics, log } = this.#parts;
    const [keys, last] = deliverArguments(delivery);
    const data = contracts.Subscription.interface.encodeFunctionData("deliver", [row.terms, keys, last] as never);
    step("delivering-batch");
    if (!(await this.#send(row, data))) return false;
    metrics.batches.inc({ outcome: "delivered" });
    log.info({ subscription: row.subscriptionId, batch: delivery.number }, "batch delivered");
    return true;
  }

  /** Sends a transaction and waits for its block. A call first: what would revert must not show a key. */
  async #send(row: SubscriptionRow, data: string): Promise<boolean> {
    const { contracts, provider, sender, log } = this.#parts;
    const to = (await contracts.Subscription.getAddress()) as Hex;
    try {
      await provider.call({ from: sender.address, to, data });
    } catch (error) {
      const subscription = row.subscriptionId;
      log.warn({ subscription, error: describeError(error) }, "the contract does not take this now: tried again");
      return false;
    }
    const signed = await sender.sign({ to, data, gasLimit: 3_000_000 }, await sender.nonce());
    step("sending-batch");
    await sender.broadcast(signed.raw);
    step("sent-batch");
    return (await sender.wait(signed.hash, signed.raw)).status === 1;
  }
}
