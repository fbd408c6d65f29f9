import { type ChainProvider, type Contracts, describeError, type Sender } from "@msec/chain";
import { type Deal, dealId, type Hex, ProtocolError } from "@msec/core";
import { step } from "@msec/service";
import {
  dealOf,
  endedBy,
  fundedIn,
  isClosed,
  type Known,
  nodesOf,
  PASSED,
  STATE,
  type Status,
  statusFrom,
} from "@msec/trade";
import { type EventLog, type Result } from "ethers";
import { type Logger } from "pino";
import { type Custody } from "./custody.ts";
import { erasuresOf } from "./erasures.ts";
import { type Metrics } from "./metrics.ts";
import { prepareDelivery } from "./prepare.ts";
import { type DealRow, type Store } from "./store.ts";

/** Blocks that are read again after the chain was away. */
const OVERLAP = 50;
/** Blocks after which a deal's end is believed to stand. */
const SETTLED = 20;

export interface Parts {
  contracts: Contracts;
  provider: ChainProvider;
  sender: Sender;
  store: Store;
  custody: Custody;
  metrics: Metrics;
  log: Logger;
  chainId: number;
}

/**
 * Newest status of a deal from the chain's events; undefined where the chain does not know it (any more). A finished deal
 * has no status to supply: then only its state counts.
 */
export async function statusOf(contracts: Contracts, id: Hex): Promise<Known | undefined> {
  const { Escrow } = contracts;
  const [opened, released, refunded, resolved, changed] = await Promise.all([
    Escrow.queryFilter(Escrow.filters.DealOpened(id), 0),
    Escrow.queryFilter(Escrow.filters.Released(id), 0),
    Escrow.queryFilter(Escrow.filters.Refunded(id), 0),
    Escrow.queryFilter(Escrow.filters.Resolved(id), 0),
    Escrow.queryFilter(Escrow.filters.StatusChanged(id), 0),
  ]);
  const [opening] = opened;
  if (opening === undefined) return undefined;
  const given = changed[changed.length - 1]?.args.status;
  const status = given === undefined ? fundedIn(await opening.getBlock()) : statusFrom(given);
  const [end] = [...released, ...refunded, ...resolved];
  if (end === undefined) return status;
  const block = end.blockNumber;
  if (released.length > 0) return endedBy(status, { how: "released", block });
  if (resolved.length > 0) return endedBy(status, { how: "resolved", block });
  return endedBy(status, { how: "refunded", block, reason: refunded[0]?.args.reason ?? -1 });
}

/** Watches deals and does for each what its state asks of a deliverer. */
export class Deals {
  readonly #parts: Parts;
  #readTo = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async tick(): Promise<void> {
    await this.#read();
    let failure: Error | undefined;
    for (const row of await this.#parts.store.unfinished()) {
      try {
        await this.#serve(row);
      } catch (error) {
        // One deal that fails keeps no other waiting.
        failure = new Error(`deal ${row.dealId}: ${(error as Error).message}`, { cause: error });
      }
    }
    if (failure) throw failure;
  }

  async #read(): Promise<void> {
    const { contracts, provider, sender, store, log } = this.#parts;
    const block = await provider.getBlockNumber().catch((error: unknown) => {
      this.#readTo = Math.max(0, this.#readTo - OVERLAP);
      throw error;
    });
    if (block < this.#readTo) this.#readTo = Math.max(0, block - OVERLAP);
    if (block === this.#readTo) return;
    const events = await contracts.Escrow.queryFilter(contracts.Escrow.filters.DealOpened(), this.#readTo + 1, block);
    for (const event of events as unknown as EventLog[]) {
      const deal = dealOf(event.args.deal as Result);
      if (deal.deliverer !== sender.address && deal.fallbackDeliverer !== sender.address) continue;
      const id = dealId(deal);
      await store.put(id, deal, nodesOf(event.args.nodes as Result));
      log.info({ deal: id, stream: deal.streamId, packs: deal.packs, readings: deal.readings }, "deal seen");
    }
    this.#readTo = block;
  }

  async #serve(row: DealRow): Promise<void> {
    const { contracts, provider, sender, store, metrics, log } = this.#parts;
    const { deal, dealId: id } = row;
    const status = await statusOf(contracts, id);
    if (!status) return;
    const newest = await provider.getBlock("latest");
    if (!newest) return;
    const mine = deal.deliverer === sender.address;
    const escrow = contracts.Escrow.interface;
    const state = status.state & ~PASSED;
    const passed = (status.state & PASSED) !== 0;
    switch (state) {
      case STATE.released:
      case STATE.refunded:
      case STATE.resolved: {
        if (newest.number < (status.endedAt ?? 0) + SETTLED) return;
        const outcome = state === STATE.released ? "released" : state === STATE.refunded ? "refunded" : "resolved";
        await store.finish(id, outcome);
        metrics.finished.inc({ outcome });
        return;
      }
      case STATE.disputed: {
        // Pressed when it helps: once the panel has ruled, or nobody can any more.
        const data = escrow.encodeFunctionData("resolve", [deal, status]);
        if (!(await this.#taken(data))) return;
        if (await this.#send(row, data)) log.info({ deal: id }, "the complaint has ended");
        return;
      }
      case STATE.funded: {
        if (isClosed(status, deal.deliverSeconds, newest)) {
          const data = escrow.encodeFunctionData("refund", [deal, status]);
          if (await this.#send(row, data)) log.warn({ deal: id }, "nobody delivered in time: the buyer is refunded");
          return;
        }
        if (newest.timestamp * 1000 < deal.endMs) return;
        if (mine && passed) return;
        if (!mine && !passed && !isClosed(status, Math.floor(deal.deliverSeconds / 2), newest)) return;
        await this.#deliver(row, status);
        return;
      }
      case STATE.delivered: {
        if (!isClosed(status, deal.complainSeconds, newest)) return;
        const data = escrow.encodeFunctionData("release", [deal, status]);
        if (await this.#send(row, data)) log.info({ deal: id }, "released after the complaint window");
      }
    }
  }

  async #deliver(row: DealRow, status: Status): Promise<void> {
    const { contracts, store, custody, metrics, log, chainId } = this.#parts;
    const { deal, dealId: id } = row;
    const escrow = contracts.Escrow.interface;
    // Calldata is public even where the escrow refunds instead: so no key goes out once consent is gone.
    if (await this.#isGone(deal)) {
      await this.#send(row, escrow.encodeFunctionData("deliver", [deal, status, 0, 0, []]));
      return;
    }
    let { delivery } = row;
    if (!delivery) {
      const context = { chainId, escrow: (await contracts.Escrow.getAddress()).toLowerCase() as Hex, dealId: id };
      try {
        delivery = await prepareDelivery(
          custody,
          context,
          deal,
          row.nodes,
          await erasuresOf(contracts, deal.streamId, deal.erasures),
        );
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        log.warn({ deal: id, reason: error.code, error: error.message }, "the deal cannot be delivered: declined");
        metrics.declined.inc({ reason: error.code });
        await this.#send(row, escrow.encodeFunctionData("decline", [deal, status]));
        return;
      }
      step("deliver");
      await store.putDelivery(id, delivery);
    }
    const { E, masked } = delivery;
    step("delivering");
    if (await this.#send(row, escrow.encodeFunctionData("deliver", [deal, status, E.x, E.v, masked]))) {
      metrics.delivered.inc();
      log.info({ deal: id, nodes: masked.length }, "keys delivered");
    }
  }

  /** Whether a tombstone came, or consent went. */
  async #isGone(deal: Deal): Promise<boolean> {
    const { ConsentRegistry } = this.#parts.contracts;
    const [erasures, authorised] = await ConsentRegistry.consentOf(deal.streamId, deal.purpose, deal.buyer);
    return Number(erasures) > deal.erasures || !authorised;
  }

  /** Whether the escrow would take this call now. */
  async #taken(data: string): Promise<boolean> {
    const { contracts, provider, sender } = this.#parts;
    const to = (await contracts.Escrow.getAddress()) as Hex;
    return provider.call({ from: sender.address, to, data }).then(
      () => true,
      () => false,
    );
  }

  /** Keeps a transaction, sends it, waits for its block. A call first, so that no nonce goes on what would revert. */
  async #send(row: DealRow, data: string): Promise<boolean> {
    const { contracts, provider, sender, store, log } = this.#parts;
    const to = (await contracts.Escrow.getAddress()) as Hex;
    try {
      await provider.call({ from: sender.address, to, data });
    } catch (error) {
      log.warn({ deal: row.dealId, error: describeError(error) }, "the escrow does not take this now: tried again");
      return false;
    }
    const signed = await sender.sign({ to, data, gasLimit: 3_000_000 }, await sender.nonce());
    await store.putRaw(row.dealId, signed.raw, signed.nonce);
    step("sending");
    await sender.broadcast(signed.raw);
    step("sent");
    return (await sender.wait(signed.hash, signed.raw)).status === 1;
  }
}
