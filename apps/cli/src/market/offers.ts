import { type Contracts } from "@msec/chain";
import { type Offer, offerFrom } from "@msec/trade";

/** Every offer that was published, newest last. */
export async function listOffers(contracts: Contracts): Promise<Offer[]> {
  const { Marketplace } = contracts;
  const events = await Marketplace.queryFilter(Marketplace.filters.OfferPublished(), 0);
  return Promise.all(
    events.map(async ({ args }) => offerFrom(args, (await Marketplace.offer(args.offerId)).state === 1n)),
  );
}
