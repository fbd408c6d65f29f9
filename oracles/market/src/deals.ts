import { type Contracts, describeError, type Sender } from "@msec/chain";
import { DEAL, type Deal, dealId, type Hex, type KeyNode, ProtocolError, type SlotRange } from "@msec/core";
import { step } from "@msec/service";
import { type EventLog, type JsonRpcProvider, type Result } from "ethers";
import { type Logger } from "pino";
import { type Custody } from "./custody.ts";
import { type Metrics } from "./metrics.ts";
import { prepareDelivery } from "./prepare.ts";
import { type DealRow, type Store } from "./store.ts";

/** Escrow's stored status of a deal, as its events give it. */
export interface Status {
  state: number;
  at: number;
  atBlock: number;
  deliveryHash: Hex;
}

export const STATE = { funded: 1, delivered: 2, released: 3, refunded: 4 } as const;
/** Set in the state once the right to deliver has passed to the fallback deliverer. */
export const PASSED = 0x80;
const OVERLAP = 50;

export interface Parts {
  contracts: Contracts;
  provider: JsonRpcProvider;
  sender: Sender;
  store: Store;
  custody: Custody;
  metrics: Metrics;
  log: Logger;
  chainId: number;
}

/** A Deal as ethers decodes it, in the shapes of packages/core. */
export function dealOf(given: Result): Deal {
  return Object.fromEntries(
    DEAL.fields.map(([type, name]) => {
      const value: unknown = given[name];
      if (type === "uint128") return [name, BigInt(value as bigint)];
      if (type.startsWith("uint")) return [name, Number(value)];
      return [name, (value as string).toLowerCase()];
    }),
  ) as unknown as Deal;
}

export const nodesOf = (given: Result): KeyNode[] =>
  [...given].map((node: Result) => ({
    depth: Number(node.depth),
    firstSlot: Number(node.firstSlot),
    x: BigInt(node.x as bigint),
    v: Number(node.v),
  }));

/** Newest status of a deal from the chain's events; undefined where the chain does not know it (any more). */
export async function statusOf(contracts: Contracts, id: Hex): Promise<Status | undefined> {
  const events = await contracts.Escrow.queryFilter(contracts.Escrow.filters.StatusChanged(id), 0);
  const given = events[events.length - 1]?.args.status;
  // By position: a decoded struct is an array, whose own `at` hides the field of that name.
  return (
    given && { state: Number(given[0]), at: Number(given[1]), atBlock: Number(given[2]), deliveryHash: given[3] as Hex }
  );
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
    for (const row of await this.#parts.store.unfinished()) await this.#serve(row);
  }

  async #read(): Promise<void> {
    const { contracts, provider, sender, store, log } = this.#parts;
    const block = await provider.getBlockNumber();
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
    const now = (await provider.getBlock("latest"))?.timestamp ?? 0;
    const mine = deal.deliverer === sender.address;
    const escrow = contracts.Escrow.interface;
    const state = status.state & ~PASSED;
    const passed = (status.state & PASSED) !== 0;
    switch (state) {
      case STATE.released:
      case STATE.refunded: {
        await store.finish(id, state === STATE.released ? "released" : "refunded");
        metrics.finished.inc({ outcome: state === STATE.released ? "released" : "refunded" });
        return;
      }
      case STATE.funded: {
        if (now * 1000 <= deal.endMs) return;
        if (mine && passed) return;
        if (!mine && !passed && now < status.at + Math.ceil(deal.deliverSeconds / 2)) return;
        await this.#deliver(row, status);
        return;
      }
      case STATE.delivered: {
        if (now < status.at + deal.complainSeconds) return;
        const data = escrow.encodeFunctionData("release", [deal, status]);
        if (await this.#send(row, data)) log.info({ deal: id }, "released after the complaint window");
      }
    }
  }

  async #deliver(row: DealRow, status: Status): Promise<void> {
    const { contracts, store, custody, metrics, log, chainId } = this.#parts;
    const { deal, dealId: id } = row;
    const escrow = contracts.Escrow.interface;
    let { delivery } = row;
    if (!delivery) {
      const context = { chainId, escrow: (await contracts.Escrow.getAddress()).toLowerCase() as Hex, dealId: id };
      try {
        delivery = await prepareDelivery(custody, context, deal, row.nodes, await this.#erasures(deal));
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

  /** The erasures that the deal counts: later ones end in a refund without fault. */
  async #erasures(deal: Deal): Promise<SlotRange[]> {
    const { ConsentRegistry } = this.#parts.contracts;
    const out: SlotRange[] = [];
    for (let number = 1; number <= deal.erasures; number++) {
      const erasure = await ConsentRegistry.erasureAt(deal.streamId, number);
      out.push([Number(erasure.fromSlot), Number(erasure.toSlot)]);
    }
    return out;
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
    return (await sender.wait(signed.hash)).status === 1;
  }
}
