import { type ChainProvider, type Contracts, describeError, type Sender } from "@msec/chain";
import { demand, type Hex, ProtocolError, streamId, streamOf } from "@msec/core";
import { bytes32, Reply, type Request, streamPreimage } from "@msec/service";
import {
  type BookOrder,
  checkOffer,
  checkRequest,
  type Deployed,
  type ListedOrder,
  makerOf,
  matchOrders,
  orderFromJson,
  orderHash,
  orderToJson,
  permitData,
  type SignedOffer,
  termsOfOrder,
  settleCall,
  TradeError,
} from "@msec/trade";
import { verifyTypedData } from "ethers";
import { type Logger } from "pino";
import { z } from "zod";
import { type Book } from "./book.ts";
import { erasuresOf } from "./erasures.ts";

/** Blocks that are read again after the chain was away. */
const OVERLAP = 50;
const MOST_DAYS = 90;
const DAY_MS = 86_400_000;
const MOST_OPEN = 10_000;
const MOST_OPEN_OF_ONE = 100;
/** How often orders are brought together again that did not meet before, such as those of a buyer without money. */
const AGAIN_MS = 15_000;

const filter = z.strictObject({
  kind: z.enum(["offer", "request"]).optional(),
  stream: bytes32.optional(),
  maker: z
    .string()
    .regex(/^0x[0-9a-f]{40}$/, "expected an account in lower case")
    .optional(),
  state: z.enum(["open", "any"]).default("open"),
});

export interface OrderParts {
  contracts: Contracts;
  provider: ChainProvider;
  sender: Sender;
  deployed: Deployed;
  book: Book;
  log: Logger;
}

/**
 * Signed offers and requests of those who are not here at the same time: kept, listed, and brought to the marketplace as
 * soon as two meet. The book decides nothing: whoever has two orders that meet can settle them without it.
 */
export class Orders {
  readonly #parts: OrderParts;
  #readTo = 0;
  #matchAt = 0;

  constructor(parts: OrderParts) {
    this.#parts = parts;
  }

  /** `POST /orders`. Refuses what could not be settled as the chain is now; the same order twice is one, with its newer permit. */
  async submit(body: unknown): Promise<Reply> {
    const { book, log } = this.#parts;
    const order = orderFromJson(body);
    await this.#check(order);
    const nowMs = Date.now();
    const { all, own } = await book.counts(makerOf(order), nowMs);
    demand(own < MOST_OPEN_OF_ONE, "state", `an account may have ${MOST_OPEN_OF_ONE} orders open here: cancel some`);
    demand(all < MOST_OPEN, "state", "the book is full: try another market");
    const hash = orderHash(order);
    const added = await book.put(order, nowMs);
    this.#matchAt = 0;
    if (added) {
      log.info({ order: hash, kind: order.kind, stream: termsOfOrder(order).streamId }, "order taken");
    }
    return new Reply(added ? 201 : 200, { hash });
  }

  /** `GET /orders?kind=&stream=&maker=&state=`: newest first. */
  async list({ query }: Request): Promise<{ items: object[] }> {
    const parsed = filter.safeParse(Object.fromEntries(query));
    demand(parsed.success, "malformed", "orders are asked for by kind, stream, maker and state (open or any)");
    const { state, kind, stream, maker } = parsed.data;
    const found = await this.#parts.book.list(
      {
        open: state === "open",
        ...(kind ? { kind } : {}),
        ...(stream ? { stream: stream as Hex } : {}),
        ...(maker ? { maker: maker as Hex } : {}),
      },
      Date.now(),
    );
    return { items: found.map(toJson) };
  }

  /** `GET /orders/:hash`. */
  async get(hash: string): Promise<Reply> {
    const found = await this.#parts.book.get(hash as Hex, Date.now());
    return found
      ? new Reply(200, toJson(found))
      : new Reply(404, { code: "not-found", message: `this market has no order ${hash.slice(0, 70)}` });
  }

  /** Takes in what the chain says of orders, then settles those that meet. */
  async tick(): Promise<void> {
    await this.#read();
    if (Date.now() < this.#matchAt) return;
    this.#matchAt = Date.now() + AGAIN_MS;
    await this.#match();
  }

  async #check(order: BookOrder): Promise<void> {
    const { contracts, sender, deployed } = this.#parts;
    const { Marketplace, DeviceRegistry } = contracts;
    const terms = termsOfOrder(order);
    const stream = streamPreimage.safeParse(order.stream);
    demand(stream.success, "malformed", "the stream is not what hashes to a stream's id");
    demand(streamId(order.stream) === terms.streamId, "wrong-stream", "the stream is another than the order's");
    demand(
      terms.deliverer === sender.address,
      "deal",
      `this market settles orders that name it as deliverer: ${sender.address}`,
      terms.deliverer,
    );
    const now = Date.now();
    demand(terms.deadline > now, "time", "the order has expired");
    demand(terms.deadline <= now + MOST_DAYS * DAY_MS, "time", `an order stands for ${MOST_DAYS} days at most`);
    const maker = makerOf(order);
    const counter = Number(await Marketplace.counterOf(maker));
    demand(terms.counter === counter, "state", `all orders of ${maker} before counter ${counter} are cancelled`);
    try {
      if (order.kind === "offer") {
        const { offer } = order.signed;
        const { deviceId, ownerEpoch } = streamOf(order.stream);
        const owner = (await DeviceRegistry.ownerOf(deviceId, ownerEpoch)).toLowerCase();
        demand(owner === offer.seller, "deal", `the stream's device belongs to ${owner}: only they can sell it`);
        checkOffer(deployed, order.signed);
        demand(Number(await Marketplace.filledOf(offer.seller, offer.salt)) < offer.amount, "state", "all is sold");
      } else {
        const { request } = order.signed;
        checkRequest(deployed, order.signed, await erasuresOf(contracts, request.streamId));
        demand(!(await Marketplace.isUsed(request.buyer, request.nonce)), "state", "the request's nonce is used");
        await this.#checkPermit(order);
      }
    } catch (error) {
      if (error instanceof TradeError) throw new ProtocolError("deal", error.message);
      throw error;
    }
  }

  /** A permit is the buyer's own, enough, and the next that the token would take. */
  async #checkPermit({ permit, signed: { request } }: BookOrder & { kind: "request" }): Promise<void> {
    if (permit.deadline === 0n) return;
    const { contracts, deployed } = this.#parts;
    const { value, deadline, ...signature } = permit;
    const nonce = await contracts.MSecToken.nonces(request.buyer);
    const spender = deployed.addresses.Marketplace;
    const data = permitData(deployed, { owner: request.buyer, spender, value, nonce, deadline });
    const signer = verifyTypedData(data.domain, data.types, data.message, signature).toLowerCase();
    demand(signer === request.buyer, "state", "the permit is not the buyer's, or used: sign it again", signer);
    demand(value >= request.maxPrice, "state", "the permit allows less than the request would pay", value);
  }

  async #read(): Promise<void> {
    const { contracts, provider, book } = this.#parts;
    const { Marketplace } = contracts;
    const block = await provider.getBlockNumber().catch((error: unknown) => {
      this.#readTo = Math.max(0, this.#readTo - OVERLAP);
      throw error;
    });
    if (block < this.#readTo) this.#readTo = Math.max(0, block - OVERLAP);
    if (block === this.#readTo) return;
    const between = [this.#readTo + 1, block] as const;
    const [settled, offers, requests, raised] = await Promise.all([
      Marketplace.queryFilter(Marketplace.filters.Settled(), ...between),
      Marketplace.queryFilter(Marketplace.filters.OfferCancelled(), ...between),
      Marketplace.queryFilter(Marketplace.filters.RequestCancelled(), ...between),
      Marketplace.queryFilter(Marketplace.filters.CounterRaised(), ...between),
    ]);
    for (const { args } of settled) {
      const offer = await book.get(args.offerHash as Hex, 0);
      if (offer?.order.kind === "offer") {
        const { seller, salt } = offer.order.signed.offer;
        await book.sold(offer.hash, Number(await Marketplace.filledOf(seller, salt)));
      }
      await book.fill(args.requestHash as Hex, args.dealId as Hex);
    }
    for (const { args } of offers) await book.cancel("offer", account(args.seller), args.salt as Hex);
    for (const { args } of requests) await book.cancel("request", account(args.buyer), args.nonce as Hex);
    for (const { args } of raised) await book.cancelBefore(account(args.account), Number(args.counter));
    this.#readTo = block;
  }

  /** The oldest request first, each with the cheapest offer that meets it. */
  async #match(): Promise<void> {
    const { book } = this.#parts;
    const now = Date.now();
    const requests = (await book.list({ kind: "request", open: true }, now, MOST_OPEN)).reverse();
    for (const { order } of requests) {
      if (order.kind !== "request") continue;
      const { streamId: stream } = order.signed.request;
      const offers = (await book.list({ kind: "offer", stream, open: true }, now)).reverse();
      const meeting = offers
        .flatMap((listed) =>
          listed.order.kind === "offer" ? [{ signed: listed.order.signed, filled: listed.filled }] : [],
        )
        .sort((a, b) => Number(a.signed.offer.unitPrice - b.signed.offer.unitPrice));
      for (const { signed, filled } of meeting)
        if (meets(signed, filled, order, now) && (await this.#settle(signed, order))) break;
    }
  }

  async #settle(offer: SignedOffer, request: BookOrder & { kind: "request" }): Promise<boolean> {
    const { contracts, provider, sender, deployed, log } = this.#parts;
    const call = settleCall(offer, request.signed, request.stream, request.permit);
    const to = deployed.addresses.Marketplace;
    const data = contracts.Marketplace.interface.encodeFunctionData(call.functionName, call.args as never);
    const what = { request: orderHash(request) };
    try {
      await provider.call({ from: sender.address, to, data });
    } catch (error) {
      log.info({ ...what, error: describeError(error) }, "two orders meet that the marketplace does not take now");
      return false;
    }
    const { status } = await sender.transact({ to, data });
    log.info({ ...what, status }, "two orders settled");
    return status === 1;
  }
}

function meets(offer: SignedOffer, filled: number, request: BookOrder & { kind: "request" }, now: number): boolean {
  try {
    const { units } = matchOrders(offer.offer, request.signed.request, request.stream, now);
    return filled + units <= offer.offer.amount;
  } catch (error) {
    if (error instanceof TradeError) return false;
    throw error;
  }
}

const account = (address: string) => address.toLowerCase() as Hex;

const toJson = ({ order, ...known }: ListedOrder): object => ({ ...orderToJson(order), ...known });
