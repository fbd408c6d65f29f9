import { type Contracts } from "@msec/chain";
import { type Hex, type Stream, STREAM } from "@msec/core";
import { type Result } from "ethers";

export interface Offer {
  offerId: Hex;
  streamId: Hex;
  seller: Hex;
  stream: Stream;
  deliverer: Hex;
  fallbackDeliverer: Hex;
  token: Hex;
  unitPrice: bigint;
  feePerMille: bigint;
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

/** Every offer that was published, newest last. */
export async function listOffers(contracts: Contracts): Promise<Offer[]> {
  const { Marketplace } = contracts;
  const events = await Marketplace.queryFilter(Marketplace.filters.OfferPublished(), 0);
  return Promise.all(
    events.map(async ({ args }) => {
      const { terms } = args;
      const given = args.stream as unknown as Result;
      return {
        offerId: args.offerId as Hex,
        streamId: args.streamId as Hex,
        seller: args.seller.toLowerCase() as Hex,
        stream: Object.fromEntries(
          STREAM.fields.map(([type, name]) => [name, type.startsWith("uint") ? Number(given[name]) : given[name]]),
        ) as unknown as Stream,
        deliverer: terms.deliverer.toLowerCase() as Hex,
        fallbackDeliverer: terms.fallbackDeliverer.toLowerCase() as Hex,
        token: terms.token.toLowerCase() as Hex,
        unitPrice: terms.unitPrice,
        feePerMille: terms.feePerMille,
        bond: terms.bond,
        deliverSeconds: Number(terms.deliverSeconds),
        complainSeconds: Number(terms.complainSeconds),
        fromSlot: Number(terms.fromSlot),
        toSlot: Number(terms.toSlot),
        terms: terms.terms as Hex,
        open: (await Marketplace.offer(args.offerId)).state === 1n,
      };
    }),
  );
}
