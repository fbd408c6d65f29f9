import { type Contracts, type Sender } from "@msec/chain";
import { type Deal, type Hex } from "@msec/core";
import type { TransactionReceipt } from "ethers";

type Reputation = Contracts["Reputation"];

export const FACETS = ["delivery", "quality", "conduct"] as const;
export type FacetName = (typeof FACETS)[number];
/** In place of a value: says nothing of this facet. */
export const NO_OPINION = 255;

/** What the escrow's stored word of a finished deal hashes. */
export interface FinishedStatus {
  state: number;
  at: number;
  atBlock: number;
  deliveryHash: Hex;
}

export interface FacetScore {
  /** Expectation, in [0, 1). */
  mean: number;
  /** What gates should ask: 1.28 standard deviations below it. */
  lower: number;
}

export interface ProviderRanking {
  providerId: Hex;
  facets: Record<FacetName, FacetScore>;
  /** Score of facts, in [0, 1]. */
  objective: number;
  /** Share of all trust, in [0, 1]; 0 for who takes no part in the graph. */
  graph: number;
  /** The least of the lower bounds and the objective score. */
  gate: number;
  ratings: number;
  /** Milliseconds since the last rating. */
  ageMs: number;
}

const share = (q32: bigint) => Number(q32) / 2 ** 32;

/** One provider now: an organisation's id, or a citizen's ({@link providerOf}). Unknown ones stand at the base. */
export async function getRankingOfProvider(reputation: Reputation, providerId: Hex): Promise<ProviderRanking> {
  const [scores, objective, graph] = await Promise.all([
    Promise.all(FACETS.map((_, facet) => reputation.scoreOf(providerId, facet))),
    reputation.objectiveOf(providerId),
    reputation.graphScoreOf(providerId),
  ]);
  const facets = Object.fromEntries(
    FACETS.map((name, i) => [
      name,
      { mean: share(scores[i]?.mean as bigint), lower: share(scores[i]?.lower as bigint) },
    ]),
  ) as Record<FacetName, FacetScore>;
  const facts = share(objective.score);
  return {
    providerId,
    facets,
    objective: facts,
    graph: share(graph.score),
    gate: Math.min(facts, ...FACETS.map((name) => facets[name].lower)),
    ratings: Number(scores[0]?.count),
    ageMs: Number(scores[0]?.ageMs),
  };
}

/** Everybody who was ever rated or reported, or takes part in the graph; the best first, ties by id. */
export async function getRankingAll(reputation: Reputation, fromBlock = 0): Promise<ProviderRanking[]> {
  const [rated, reported, faults, organisations] = await Promise.all([
    reputation.queryFilter(reputation.filters.Rated(), fromBlock),
    reputation.queryFilter(reputation.filters.FactsReported(), fromBlock),
    reputation.queryFilter(reputation.filters.FaultCounted(), fromBlock),
    reputation.organisations(),
  ]);
  const ids = new Set<string>([
    ...organisations,
    ...[...rated, ...reported, ...faults].map((event) => event.args.provider),
  ]);
  const all: ProviderRanking[] = [];
  for (const id of ids) all.push(await getRankingOfProvider(reputation, id as Hex));
  return all.sort((a, b) => b.gate - a.gate || b.graph - a.graph || (a.providerId < b.providerId ? -1 : 1));
}

/** The id under which an account sells and rates: its organisation, or its own where it has none. */
export async function providerOf(reputation: Reputation, account: Hex): Promise<Hex> {
  return (await reputation.providerOf(account)).id as Hex;
}

/**
 * Rates the seller of a finished deal as its buyer: 0 (bad) to 100 (good) for each facet, {@link NO_OPINION} for none.
 * Burns `fee` base units of the token, which the sender has approved. Throws with the contract's own error.
 */
export async function addScoreForTransaction(
  reputation: Reputation,
  sender: Sender,
  deal: Deal,
  status: FinishedStatus,
  values: Record<FacetName, number>,
  fee: bigint,
): Promise<TransactionReceipt> {
  const bytes = FACETS.map((name) => {
    const value = values[name];
    if (!Number.isInteger(value) || value < 0 || (value > 100 && value !== NO_OPINION))
      throw new RangeError(`${name} is ${value}: give 0 to 100, or ${NO_OPINION} for no opinion`);
    return value.toString(16).padStart(2, "0");
  });
  const data = reputation.interface.encodeFunctionData("rate", [deal, status, `0x${bytes.join("")}`, fee]);
  return sender.transact({ to: (await reputation.getAddress()) as Hex, data });
}
