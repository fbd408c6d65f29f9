import {
  holesOf,
  checkKeyNodes,
  type Deal,
  dealId,
  type Domain,
  type Fields,
  hashStruct,
  type Hex,
  holesHash,
  type KeyNode,
  keysTree,
  marketDomain,
  OFFER,
  type Offer as OfferOrder,
  recoverTyped,
  REQUEST,
  type Request as RequestOrder,
  type SlotRange,
  streamId,
  type StreamPreimage,
  type StructType,
  toHex,
  type ValueOfFields,
} from "@msec/core";
import { abiStruct, type AbiStruct, type Call } from "./abi.ts";
import { type Deployed } from "./deployed.ts";
import { TradeError } from "./errors.ts";
import { priceOf, unitsOf } from "./offer.ts";
import { NO_PERMIT, type Permit } from "./permit.ts";
import { abiStream, type AbiStream, endOf, type Wanted, windowKeys } from "./purchase.ts";
import { freshNonce } from "./secret.ts";
import { typedData, type TypedData } from "./typed-data.ts";

// Orders that seller and buyer sign apart from each other, and that anyone brings to the marketplace together.

export type { Offer as OfferOrder, Request as RequestOrder } from "@msec/core";

export interface SignedOffer {
  offer: OfferOrder;
  signature: Hex;
}

/** A request with the buyer's nodes, which whoever settles it must show. */
export interface SignedRequest {
  request: RequestOrder;
  nodes: KeyNode[];
  signature: Hex;
}

/** What a buyer would take: everything of a request but the window, the keys and the buyer. */
export type Wish = Pick<
  RequestOrder,
  | "deliverer"
  | "fallbackDeliverer"
  | "token"
  | "maxPrice"
  | "minBond"
  | "maxDeliverSeconds"
  | "minComplainSeconds"
  | "terms"
  | "counter"
  | "deadline"
>;

const domainOf = ({ chainId, addresses }: Deployed): Domain => marketDomain(chainId, addresses.Marketplace);

/** What a seller signs. */
export const offerData = (deployed: Deployed, offer: OfferOrder): TypedData =>
  typedData(domainOf(deployed), OFFER, offer);
/** What a buyer signs, beside the keys of {@link planRequest}. */
export const requestData = (deployed: Deployed, request: RequestOrder): TypedData =>
  typedData(domainOf(deployed), REQUEST, request);

/** As `Settled` names them. */
export const offerHash = (offer: OfferOrder): Hex => hashStruct(OFFER, offer);
export const requestHash = (request: RequestOrder): Hex => hashStruct(REQUEST, request);

/**
 * A request up to its signature. The secret must be kept: it opens what is delivered. Requests under one nonce are
 * alternatives, of which at most one is ever filled.
 */
export async function planRequest(
  deployed: Deployed,
  wish: Wish,
  wanted: Wanted,
  nonce: Hex = freshNonce(),
): Promise<{ request: RequestOrder; nodes: KeyNode[]; secret: Uint8Array }> {
  const { secret, nodes, pinned } = await windowKeys(deployed, wanted, nonce);
  return { request: { ...wish, ...pinned, buyer: wanted.buyer, purpose: wanted.purpose }, nodes, secret };
}

function require(condition: boolean, message: string): asserts condition {
  if (!condition) throw new TradeError("no-match", message);
}

function checkSigner<F extends Fields>(
  deployed: Deployed,
  type: StructType<F>,
  order: ValueOfFields<F>,
  signature: Hex,
  signer: Hex,
): void {
  const found = recoverTyped(domainOf(deployed), type, order, signature);
  require(found === signer.toLowerCase(), `the ${type.name.toLowerCase()} is signed by ${found}, not by ${signer}`);
}

/** Refuses an offer that its seller has not signed. A contract's own signature (ERC-1271) only the chain can judge. */
export function checkOffer(deployed: Deployed, { offer, signature }: SignedOffer): void {
  checkSigner(deployed, OFFER, offer, signature, offer.seller);
}

/**
 * Refuses a request that its buyer has not signed, or that could not be served: of another network, of keys that are not
 * those of its window without the erased ranges, or older than the newest erasure.
 */
export function checkRequest(
  deployed: Deployed,
  { request, nodes, signature }: SignedRequest,
  erasures: readonly SlotRange[],
): void {
  const { fromSlot, toSlot } = request;
  checkSigner(deployed, REQUEST, request, signature, request.buyer);
  require(request.anchor.toLowerCase() ===
    deployed.addresses.DataAnchor.toLowerCase(), "the request is for data that another contract has anchored");
  require(request.erasures === erasures.length, "something of the stream was erased since the request was signed");
  const holes = holesOf(erasures, fromSlot, toSlot);
  require(request.holesHash === holesHash(holes), "the request's holes are not the erased ranges of its window");
  checkKeyNodes(nodes, fromSlot, toSlot, holes);
  require(request.nodes === nodes.length &&
    request.keysRoot === toHex(keysTree(nodes).root), "the nodes are not those that the request pins");
}

/**
 * The deal that an offer and a request come to, as the marketplace would open it at the time `nowMs`; a
 * {@link TradeError} where they do not meet. What only the chain knows is left to it: counters, what the offer has filled
 * already, whether the request was used.
 */
export function matchOrders(
  offer: OfferOrder,
  request: RequestOrder,
  stream: StreamPreimage,
  nowMs: number,
): { dealId: Hex; deal: Deal; units: number } {
  require(nowMs <= offer.deadline, "the offer has expired");
  require(nowMs <= request.deadline, "the request has expired");
  const id = streamId(stream);
  require(offer.streamId === id && request.streamId === id, "offer and request are not of this one stream");
  require((["deliverer", "fallbackDeliverer", "token", "terms"] as const).every(
    (field) => offer[field].toLowerCase() === request[field].toLowerCase(),
  ), "offer and request name another deliverer, token or licence");
  require(offer.bond >= request.minBond, "the deliverer stakes less than the request demands");
  require(offer.deliverSeconds <=
    request.maxDeliverSeconds, "the offer takes longer to deliver than the request allows");
  require(offer.complainSeconds >= request.minComplainSeconds, "the offer leaves less time to complain than requested");
  require(request.fromSlot >= offer.fromSlot &&
    request.toSlot <= offer.toSlot, "the request's window is not within the offer's");
  const counted = { packs: request.packs, records: request.readings };
  const { price, fee } = priceOf(offer, stream, counted);
  require(price <= request.maxPrice, `the price is ${price} units, the request goes up to ${request.maxPrice}`);
  const units = unitsOf(stream, counted);
  require(units <= offer.amount, `the request takes ${units} units, the offer has ${offer.amount}`);
  const deal: Deal = {
    anchor: request.anchor,
    streamId: id,
    buyer: request.buyer,
    seller: offer.seller,
    deliverer: offer.deliverer,
    fallbackDeliverer: offer.fallbackDeliverer,
    token: offer.token,
    price,
    fee,
    bond: offer.bond,
    asOfEpoch: request.asOfEpoch,
    packs: request.packs,
    readings: request.readings,
    endMs: endOf(stream, request.toSlot),
    fromSlot: request.fromSlot,
    toSlot: request.toSlot,
    holesHash: request.holesHash,
    nodes: request.nodes,
    keysRoot: request.keysRoot,
    purpose: request.purpose,
    erasures: request.erasures,
    deliverSeconds: offer.deliverSeconds,
    complainSeconds: offer.complainSeconds,
    nonce: request.nonce,
  };
  return { dealId: dealId(deal), deal, units };
}

type AbiOffer = AbiStruct<typeof OFFER.fields>;
type AbiRequest = AbiStruct<typeof REQUEST.fields>;

/** `Marketplace.settle`: the one transaction that makes a deal of an offer and a request. By anyone; the permit is the buyer's. */
export const settleCall = (
  { offer, signature }: SignedOffer,
  request: SignedRequest,
  stream: StreamPreimage,
  permit: Permit = NO_PERMIT,
): Call<"settle", [AbiOffer, Hex, AbiRequest, Hex, AbiStream, KeyNode[], Permit]> => ({
  functionName: "settle",
  args: [
    abiStruct(OFFER, offer),
    signature,
    abiStruct(REQUEST, request.request),
    request.signature,
    abiStream(stream),
    request.nodes,
    permit,
  ],
});
