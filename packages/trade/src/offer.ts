import { type Hex, MODE, type Stream, STREAM, type StreamPreimage, type WindowReport } from "@msec/core";
import { type Decoded, fieldsOf, structFrom } from "./abi.ts";
import { TradeError } from "./errors.ts";

/** An offer that was published for anyone. */
export interface Offer {
  offerId: Hex;
  streamId: Hex;
  seller: Hex;
  stream: Stream;
  deliverer: Hex;
  fallbackDeliverer: Hex;
  token: Hex;
  unitPrice: bigint;
  feePerMille: number;
  bond: bigint;
  deliverSeconds: number;
  complainSeconds: number;
  fromSlot: number;
  toSlot: number;
  /** Hash of the exact text of the licence. */
  terms: Hex;
  open: boolean;
}

/** The offer's terms as the marketplace was given them: part of every purchase. */
export const termsOf = (offer: Offer) => ({
  deliverer: offer.deliverer,
  fallbackDeliverer: offer.fallbackDeliverer,
  token: offer.token,
  unitPrice: offer.unitPrice,
  feePerMille: offer.feePerMille,
  bond: offer.bond,
  deliverSeconds: offer.deliverSeconds,
  complainSeconds: offer.complainSeconds,
  fromSlot: offer.fromSlot,
  toSlot: offer.toSlot,
  terms: offer.terms,
});

/** An offer of its event, or of the indexer; `open` as the marketplace says now. */
export function offerFrom(event: Decoded, open: boolean): Offer {
  const { offerId, streamId, seller, stream, terms } = fieldsOf(event);
  const given = fieldsOf(terms as Decoded);
  const account = (name: string) => (given[name] as string).toLowerCase() as Hex;
  return {
    offerId: offerId as Hex,
    streamId: streamId as Hex,
    seller: (seller as string).toLowerCase() as Hex,
    stream: structFrom(STREAM, stream as Decoded),
    deliverer: account("deliverer"),
    fallbackDeliverer: account("fallbackDeliverer"),
    token: account("token"),
    unitPrice: BigInt(given.unitPrice as bigint),
    feePerMille: Number(given.feePerMille),
    bond: BigInt(given.bond as bigint),
    deliverSeconds: Number(given.deliverSeconds),
    complainSeconds: Number(given.complainSeconds),
    fromSlot: Number(given.fromSlot),
    toSlot: Number(given.toSlot),
    terms: given.terms as Hex,
    open,
  };
}

export function checkOpen(offer: Offer): void {
  if (!offer.open) throw new TradeError("closed", `the offer ${offer.offerId} is closed`);
}

/** What is paid for: packs of a sealed stream, records of another. */
export const unitsOf = (stream: Pick<StreamPreimage, "mode">, counted: { packs: number; records: number }): number =>
  stream.mode === MODE.sealed ? counted.packs : counted.records;

/** What a window costs under an offer, and the part of it that goes to whoever delivers. */
export function priceOf(
  offer: Pick<Offer, "unitPrice" | "feePerMille">,
  stream: Pick<StreamPreimage, "mode">,
  counted: Pick<WindowReport, "packs" | "records">,
): { price: bigint; fee: bigint } {
  const price = offer.unitPrice * BigInt(unitsOf(stream, counted));
  return { price, fee: (price * BigInt(offer.feePerMille)) / 1000n };
}
