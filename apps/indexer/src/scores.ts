import { type Contracts } from "@msec/chain";
import { type Hex } from "@msec/core";
import { type Store } from "./store.ts";

/** IReputation.Facet. */
const QUALITY = 1;
const ONE = 2 ** 32;

/** Asks the chain how buyers rate the sellers of whom it was not asked lately, or who were rated since. */
export async function followScores(store: Store, { Reputation }: Pick<Contracts, "Reputation">): Promise<void> {
  for (const seller of await store.unscored()) {
    const [provider] = await Reputation.providerOf(seller);
    const { lower, count } = await Reputation.scoreOf(provider, QUALITY);
    await store.putScore(seller, provider as Hex, Number(count) === 0 ? null : (100 * Number(lower)) / ONE);
  }
}
