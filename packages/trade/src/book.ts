import {
  demand,
  type Fields,
  type Hex,
  OFFER,
  REQUEST,
  type KeyNode,
  type StreamPreimage,
  type StructType,
  type ValueOfFields,
} from "@msec/core";
import { structFrom } from "./abi.ts";
import { offerHash, requestHash, type SignedOffer, type SignedRequest } from "./orders.ts";
import { NO_PERMIT, type Permit } from "./permit.ts";

// Signed orders on their way to a market and back: JSON with integers beyond 53 bits as decimal text.

/** An order with all that settling it takes. */
export type BookOrder =
  | { kind: "offer"; stream: StreamPreimage; signed: SignedOffer }
  | { kind: "request"; stream: StreamPreimage; signed: SignedRequest; permit: Permit };

/** How an order is as its market knows. Only an `open` one can still be settled. */
export type OrderState = "open" | "filled" | "cancelled" | "expired";

/** An order as a market lists it. */
export interface ListedOrder {
  hash: Hex;
  order: BookOrder;
  state: OrderState;
  /** Units of an offer that are sold already. */
  filled: number;
  /** The deal that a filled request came to. */
  dealId: Hex | null;
  receivedAtMs: number;
}

/** As `Settled` names it. */
export const orderHash = (order: BookOrder): Hex =>
  order.kind === "offer" ? offerHash(order.signed.offer) : requestHash(order.signed.request);

export const makerOf = (order: BookOrder): Hex =>
  order.kind === "offer" ? order.signed.offer.seller : order.signed.request.buyer;

/** What both kinds have. */
export const termsOfOrder = (order: BookOrder) => (order.kind === "offer" ? order.signed.offer : order.signed.request);

const text = (value: object): object =>
  JSON.parse(JSON.stringify(value, (_, x: unknown) => (typeof x === "bigint" ? x.toString() : x))) as object;

/** What `POST /orders` of a market takes. */
export function orderToJson(order: BookOrder): object {
  const { kind, stream, signed } = order;
  if (kind === "offer") return text({ kind, stream, order: signed.offer, signature: signed.signature });
  const { request, nodes, signature } = signed;
  return text({
    kind,
    stream,
    order: request,
    nodes,
    signature,
    permit: order.permit.deadline === 0n ? null : order.permit,
  });
}

const HEX: Record<string, RegExp> = { address: /^0x[0-9a-f]{40}$/, bytes32: /^0x[0-9a-f]{64}$/ };
const SIGNATURE = /^0x(?:[0-9a-f]{2}){1,1024}$/;
/** What @msec/core keeps as a number. */
const EXACT_BITS = 64;

function isUint(value: unknown, bits: number): boolean {
  const fits =
    typeof value === "number" ? Number.isSafeInteger(value) && value >= 0 : /^\d{1,78}$/.test(String(value as string));
  if (!fits) return false;
  const exact = BigInt(value as number | string);
  return exact < 1n << BigInt(bits) && (bits > EXACT_BITS || exact <= BigInt(Number.MAX_SAFE_INTEGER));
}

function objectFrom(what: string, given: unknown): Record<string, unknown> {
  demand(typeof given === "object" && given !== null && !Array.isArray(given), "malformed", `${what} is no object`);
  return given as Record<string, unknown>;
}

function structOf<F extends Fields>(type: StructType<F>, given: unknown): ValueOfFields<F> {
  const fields = objectFrom(`the ${type.name.toLowerCase()}`, given);
  for (const [kind, name] of type.fields) {
    const value = fields[name];
    const good = kind.startsWith("uint") ? isUint(value, Number(kind.slice(4))) : HEX[kind]?.test(String(value));
    demand(good === true, "malformed", `${type.name}.${name} is no ${kind}, in lower case and without signs`, value);
  }
  return structFrom(type, fields);
}

function nodeFrom(given: unknown): KeyNode {
  const { depth, firstSlot, x, v } = objectFrom("a node", given);
  demand(
    isUint(depth, 8) && isUint(firstSlot, 32) && isUint(x, 256) && (v === 27 || v === 28),
    "malformed",
    "a node is depth, firstSlot, x and v",
    given,
  );
  return { depth: Number(depth), firstSlot: Number(firstSlot), x: BigInt(x as string), v };
}

function permitFrom(given: unknown): Permit {
  if (given === null || given === undefined) return NO_PERMIT;
  const { value, deadline, v, r, s } = objectFrom("the permit", given);
  const words = [r, s].every((word) => HEX.bytes32?.test(String(word)));
  demand(
    isUint(value, 256) && isUint(deadline, 256) && (v === 27 || v === 28) && words,
    "malformed",
    "a permit is value, deadline, v, r and s",
    given,
  );
  return { value: BigInt(value as string), deadline: BigInt(deadline as string), v, r: r as Hex, s: s as Hex };
}

/** More nodes than any window's cover has. */
const MOST_NODES = 64;

/** Reads what {@link orderToJson} made. Throws a `malformed` ProtocolError; whether the order is any good is another question. */
export function orderFromJson(given: unknown): BookOrder {
  const { kind, order, nodes, signature, permit, stream } = objectFrom("the order", given);
  demand(kind === "offer" || kind === "request", "malformed", 'an order\'s kind is "offer" or "request"', kind);
  demand(SIGNATURE.test(String(signature)), "malformed", "the signature is no hex text of at most 1,024 bytes");
  const preimage = objectFrom("the stream", stream) as unknown as StreamPreimage;
  const signed = { signature: signature as Hex };
  if (kind === "offer") return { kind, stream: preimage, signed: { ...signed, offer: structOf(OFFER, order) } };
  demand(
    Array.isArray(nodes) && nodes.length <= MOST_NODES,
    "malformed",
    `the nodes are a list of at most ${MOST_NODES}`,
  );
  return {
    kind,
    stream: preimage,
    signed: { ...signed, request: structOf(REQUEST, order), nodes: nodes.map(nodeFrom) },
    permit: permitFrom(permit),
  };
}

/** Reads one item of what `GET /orders` of a market answers. */
export function listedFrom(given: unknown): ListedOrder {
  const { hash, state, filled, dealId, receivedAtMs, ...order } = objectFrom("a listed order", given);
  return {
    hash: hash as Hex,
    order: orderFromJson(order),
    state: state as OrderState,
    filled: Number(filled),
    dealId: (dealId ?? null) as Hex | null,
    receivedAtMs: Number(receivedAtMs),
  };
}
