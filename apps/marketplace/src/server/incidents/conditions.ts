import { type CustodyStatus, type MarketStatus } from "../../features/operators/status.ts";
import { type IndexerStatus } from "../../lib/indexer.ts";

export const KINDS = [
  "away",
  "failing",
  "troubled",
  "behind",
  "backlog",
  "disagreement",
  "doubleSignature",
  "missingSigner",
  "stuck",
  "chainOld",
  "indexerBehind",
  "invariant",
] as const;
export type Kind = (typeof KINDS)[number];

/** Something that is not as it should be. Who it is about and what it is make it one incident, however long it lasts. */
export interface Condition {
  kind: Kind;
  subject: string;
  /** In the words or figures of whoever told it. */
  detail: string;
}

/** What a service said, or that it did not. */
export type Answer<T> = { said: T } | { not: "away" | "failing"; detail: string };

/** The city at one time. */
export interface Observed {
  atMs: number;
  operators: { name: string; address: string; answer: Answer<CustodyStatus> }[];
  markets: { name: string; answer: Answer<MarketStatus> }[];
  indexer: Answer<IndexerStatus>;
  chain: Answer<number>;
  blockSeconds: number;
  /** Invariants that do not hold, when they were asked for last. */
  broken: { id: string; reason: string | null }[];
}

/** What has to be remembered between two looks. */
export interface Seen {
  sinceMs: number;
  /** Services that have answered; one that has not may be starting. */
  answered: Set<string>;
  block: number;
  blockAtMs: number;
  epoch: number;
  epochAtMs: number;
  /** Counters that only rise: where they stood at the start of a minute, and until when a rise counts. */
  rises: Map<string, { count: number; atMs: number; untilMs: number }>;
}

export const nothingSeen = (atMs: number): Seen => ({
  ...{ block: -1, blockAtMs: atMs, epoch: -1, epochAtMs: atMs },
  sinceMs: atMs,
  answered: new Set(),
  rises: new Map(),
});

/** How long a city may take to start. */
const START_MS = 60_000;
const BEHIND_EPOCHS = 5;
const BEHIND_BLOCKS = 20;
const BACKLOG = 2_000;
const STUCK_MS = 20_000;
/** A count that rose within so long counts for so long. */
const RISE_MS = 60_000;
/** Proposals refused within that time by an operator: a few are refused whenever two operators see things a moment apart. */
const REFUSALS = 10;
const STILL_BLOCKS = 10;
const STILL_MS = 15_000;

/** What is wrong at one time; `seen` is brought up to date. */
export function conditionsOf(city: Observed, seen: Seen): Condition[] {
  const { atMs } = city;
  const found: Condition[] = [];
  const add = (kind: Kind, subject: string, detail: string) => found.push({ kind, subject, detail });
  const services: { name: string; answer: Answer<{ problems: string[] }> }[] = [
    ...city.operators,
    ...city.markets,
    { name: "indexer", answer: city.indexer },
  ];
  for (const { name, answer } of services) {
    const starting = !seen.answered.has(name) && atMs - seen.sinceMs < START_MS;
    if ("said" in answer) seen.answered.add(name);
    if ("not" in answer) {
      if (!starting) add(answer.not, name, answer.detail);
    } else if (answer.said.problems.length > 0) add("troubled", name, answer.said.problems.join("; "));
  }

  if ("not" in city.chain) add(city.chain.not, "chain", city.chain.detail);
  else if (city.chain.said !== seen.block) {
    seen.block = city.chain.said;
    seen.blockAtMs = atMs;
  } else if (atMs - seen.blockAtMs > Math.max(STILL_MS, STILL_BLOCKS * city.blockSeconds * 1000))
    add("chainOld", "chain", `${seen.block}`);

  if ("said" in city.indexer) {
    const behind = city.indexer.said.chainHead - city.indexer.said.block;
    if (behind > BEHIND_BLOCKS) add("indexerBehind", "indexer", `${behind}`);
  }

  const up = city.operators.flatMap(({ name, address, answer }) =>
    "said" in answer ? [{ name, address, status: answer.said }] : [],
  );
  const newest = Math.max(-1, ...up.map(({ status }) => Math.max(status.epoch, status.chainEpoch)));
  if (newest !== seen.epoch) {
    seen.epoch = newest;
    seen.epochAtMs = atMs;
  }
  const waiting = Math.max(0, ...up.map(({ status }) => status.pending - status.waitingForHolders));
  if (up.length > 0 && waiting > 0 && atMs - seen.epochAtMs > STUCK_MS) add("stuck", "epochs", `${waiting}`);
  const rose = (key: string, count: number, least: number): boolean => {
    const { count: from, atMs: since, untilMs } = seen.rises.get(key) ?? { count, atMs, untilMs: -Infinity };
    const enough = count - from >= least;
    // A process that started anew counts from nothing.
    const anew = enough || count < from || atMs - since > RISE_MS;
    const next = { count: anew ? count : from, atMs: anew ? atMs : since, untilMs: enough ? atMs + RISE_MS : untilMs };
    seen.rises.set(key, next);
    return atMs < next.untilMs;
  };
  const total = (counts: readonly { times: number }[]) => counts.reduce((all, { times }) => all + times, 0);
  for (const { name, status } of up) {
    if (newest - status.epoch > BEHIND_EPOCHS) add("behind", name, `${newest - status.epoch}`);
    if (status.pending > BACKLOG) add("backlog", name, `${status.pending}`);
    const refused = status.refusedProposals.map(({ operator, reason }) => `${operator}: ${reason}`).join("; ");
    if (rose(`${name} proposals`, total(status.refusedProposals), REFUSALS)) add("disagreement", name, refused);
    if (rose(`${name} equivocations`, status.equivocations, 1)) add("doubleSignature", name, `${status.equivocations}`);
  }
  for (const { name, address } of city.operators) {
    const blind = up.filter(({ status }) =>
      status.peers.some((peer) => peer.address.toLowerCase() === address && !peer.up),
    );
    const answers = up.some((one) => one.address === address);
    // One that others can't reach signs nothing, even if it answers here.
    if (answers && blind.length > Math.floor((city.operators.length - 1) / 3))
      add("missingSigner", name, blind.map((one) => one.name).join(", "));
  }
  for (const { id, reason } of city.broken) add("invariant", id, reason ?? "");
  return found;
}
