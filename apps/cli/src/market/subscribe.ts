import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Contracts, describeError, Sender } from "@msec/chain";
import {
  batchSlots,
  batchStartMs,
  encodeBundle,
  fromHex,
  type Hex,
  purposeHash,
  SUBSCRIPTION_OFFER,
  SUBSCRIPTION_TERMS,
  type SubscriptionOffer,
  subscriptionOfferId,
  type SubscriptionTerms,
  toHex,
  type TreeNode,
  type WindowReport,
} from "@msec/core";
import { batchesOf, stateOf } from "@msec/market";
import { writeJson } from "@msec/service";
import {
  type Batch,
  changeCall,
  costOfBatch,
  faultOfBatch,
  keysOfBatch,
  type KeptSubscription,
  openBatch,
  PHASE,
  planSubscription,
  type StreamInfo,
  structFrom,
  subscribeCall,
  type SubscriptionState,
  topUpCall,
  TradeError,
} from "@msec/trade";
import { RESEARCH } from "../city/consent.ts";
import { Problem } from "../problem.ts";
import { permitFor, type Shop, signerOf } from "./buy.ts";

/** Offers of subscriptions that may be taken now, newest last. */
export async function listSubscriptionOffers(contracts: Contracts): Promise<SubscriptionOffer[]> {
  const { Subscription } = contracts;
  const events = await Subscription.queryFilter(Subscription.filters.OfferPublished(), 0);
  const offers = new Map<Hex, SubscriptionOffer>();
  for (const { args } of events) {
    const offer = structFrom(SUBSCRIPTION_OFFER, args.offer);
    const id = subscriptionOfferId(offer);
    offers.delete(id);
    if (await Subscription.isOpen(id)) offers.set(id, offer);
  }
  return [...offers.values()];
}

interface File {
  terms: Record<string, unknown>;
  secret: Hex;
}

/** Subscribes and deposits in one transaction; the first batch is the next one that begins. */
export async function subscribe(
  shop: Shop,
  offer: SubscriptionOffer,
  deposit: bigint,
  purpose: Hex = purposeHash(RESEARCH),
): Promise<KeptSubscription> {
  const { contracts, deployment, buyer, provider, operators, progress } = shop;
  const { Subscription, ConsentRegistry } = contracts;
  const streamId = offer.streamId as Hex;
  if (!(await ConsentRegistry.authorised(streamId, purpose, buyer.address)))
    throw new Problem(
      `nobody consents to this purpose for ${buyer.address}: name one that the stream's owner grants with --purpose`,
    );
  const info = await operators.stream(streamId);
  const now = ((await provider.getBlock("latest"))?.timestamp ?? 0) * 1000;
  const kept = await planSubscription(deployment, offer, info, {
    buyer: buyer.address,
    purpose,
    erasures: Number(await ConsentRegistry.erasures(streamId)),
    nowMs: now,
    sign: signerOf(buyer),
  });
  const { terms } = kept;
  const to = deployment.addresses.Subscription;
  const call = subscribeCall(terms, deposit, await permitFor(shop, to, deposit));
  const data = Subscription.interface.encodeFunctionData(call.functionName, call.args);
  try {
    await provider.call({ from: buyer.address, to, data });
  } catch (error) {
    throw new Problem(`the contract refuses the subscription: ${describeError(error)}`);
  }
  keep(shop, kept);
  await transact(shop, data, "the subscription");
  const perBatch = offer.slotPrice * BigInt(batchSlots(offer, 0)[1] + 1);
  progress(
    "subscribed",
    `batches of ${batchSlots(offer, 0)[1] + 1} slots from ${new Date(batchStartMs(terms, terms.fromBatch)).toISOString()} on, at most ${perBatch} units each; ${deposit} units deposited`,
  );
  return kept;
}

/** Keeps a subscription before it is sent: without the secret nothing that is delivered could be opened. */
function keep(shop: Shop, { id, terms, secret }: KeptSubscription): void {
  const folder = join(shop.subscriptions, id);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const text = JSON.parse(
    JSON.stringify(terms, (_, x: unknown) => (typeof x === "bigint" ? x.toString() : x)),
  ) as File["terms"];
  writeJson(join(folder, "subscription.json"), { terms: text, secret: toHex(secret) } satisfies File);
}

/** The buyer's subscription of this id, or the only one where none is named. */
export function keptSubscription(folder: string, id?: string): KeptSubscription {
  const known = keptSubscriptions(folder);
  const found = id === undefined ? known : known.filter((name) => name === id);
  if (found.length !== 1)
    throw new Problem(
      known.length === 0
        ? "nothing is subscribed to: see msec subscribe --help"
        : `name one of your subscriptions: ${known.join(", ")}`,
      2,
    );
  const name = found[0] as Hex;
  const { terms, secret } = JSON.parse(readFileSync(join(folder, name, "subscription.json"), "utf8")) as File;
  const wide = new Set(SUBSCRIPTION_TERMS.fields.filter(([type]) => /^uint(128|256)$/.test(type)).map(([, f]) => f));
  const exact = Object.fromEntries(
    Object.entries(terms).map(([field, value]) => [field, wide.has(field as never) ? BigInt(value as string) : value]),
  ) as unknown as SubscriptionTerms;
  return { id: name, terms: exact, secret: fromHex(secret, 32) };
}

export function keptSubscriptions(folder: string): Hex[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((id) => existsSync(join(folder, id, "subscription.json"))) as Hex[];
}

async function transact({ provider, deployment, buyer }: Shop, data: string, what: string): Promise<void> {
  const sender = new Sender(buyer.key, provider, deployment.chainId);
  await sender.transact({ to: deployment.addresses.Subscription, data }).catch((error: unknown) => {
    throw new Problem(`the contract refuses ${what}: ${describeError(error)}`);
  });
}

/** What a buyer may do with a subscription; returns what it comes to. */
export async function change(
  shop: Shop,
  kept: KeptSubscription,
  action: "hold" | "resume" | "end",
): Promise<SubscriptionState> {
  const { functionName, args } = changeCall(action, kept.terms);
  const data = shop.contracts.Subscription.interface.encodeFunctionData(functionName as "end", args as never);
  await transact(shop, data, `to ${action} it`);
  return stateOf(shop.contracts, kept.id);
}

export async function topUp(shop: Shop, kept: KeptSubscription, amount: bigint): Promise<SubscriptionState> {
  const permit = await permitFor(shop, shop.deployment.addresses.Subscription, amount);
  const call = topUpCall(kept.terms, amount, permit);
  const data = shop.contracts.Subscription.interface.encodeFunctionData(call.functionName, call.args);
  await transact(shop, data, "to be topped up");
  return stateOf(shop.contracts, kept.id);
}

/** Takes out what the contract owes the buyer. Returns how much that was. */
export async function withdraw(shop: Shop, token: Hex): Promise<bigint> {
  const { Subscription } = shop.contracts;
  const owed = await Subscription.creditOf(shop.buyer.address, token);
  if (owed > 0n) await transact(shop, Subscription.interface.encodeFunctionData("withdraw", [token]), "to pay out");
  return owed;
}

export interface FetchedBatch {
  number: number;
  slots: number;
  price: bigint;
  /** Absent as long as the stream has not gone on past the batch, so that its completeness can't be shown yet. */
  report?: WindowReport;
  /** Folder of proof.json, where there is a report. */
  folder?: string;
}

export interface Fetched {
  batches: FetchedBatch[];
  /** Batches that were proved wrong, and what was wrong. */
  refuted: { number: number; fault: string }[];
}

/**
 * Opens and verifies every batch that was delivered and not fetched before. One that is not what was paid for is proved
 * wrong to the contract at once, which pays its price and bond, and the rest of the deposit, to the buyer.
 */
export async function fetchBatches(shop: Shop, kept: KeptSubscription): Promise<Fetched> {
  const { contracts, operators, subscriptions, progress } = shop;
  const info = await operators.stream(kept.terms.streamId as Hex);
  const out: Fetched = { batches: [], refuted: [] };
  for (const batch of await batchesOf(contracts, kept.id)) {
    const folder = join(subscriptions, kept.id, String(batch.number));
    if (existsSync(join(folder, "proof.json"))) continue;
    const standing = BigInt(await contracts.Subscription.batchWord(kept.id, batch.number)) !== 0n;
    const keys = keysOfBatch(shop.deployment, kept, batch);
    const found = await faultOfBatch(operators, kept, batch, info, keys);
    if (found) {
      const { fault, call } = found;
      const data = contracts.Subscription.interface.encodeFunctionData(call.functionName as never, call.args as never);
      if (standing) await transact(shop, data, "the proof");
      progress(
        `batch ${batch.number}: ${fault}`,
        standing ? "proved: price, bond and the rest of the deposit are the buyer's" : "seen too late to be proved",
      );
      out.refuted.push({ number: batch.number, fault });
      continue;
    }
    out.batches.push(await verified(shop, kept, batch, info, keys, folder));
  }
  return out;
}

async function verified(
  { deployment, operators, progress }: Shop,
  kept: KeptSubscription,
  batch: Batch,
  info: StreamInfo,
  keys: TreeNode[],
  folder: string,
): Promise<FetchedBatch> {
  const base = { number: batch.number, ...costOfBatch(kept.terms, batch) };
  let opened;
  try {
    opened = await openBatch(operators, deployment, kept, batch, info, keys);
  } catch (error) {
    if (!(error instanceof TradeError)) throw error;
    progress(`batch ${batch.number}`, `its key is right; its completeness can't be shown yet: ${error.message}`);
    return base;
  }
  const { bundle, report } = opened;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeJson(join(folder, "proof.json"), JSON.parse(encodeBundle(bundle)));
  progress(`batch ${batch.number}`, `${report.packs} packs with ${report.readings} readings, ${base.slots} slots paid`);
  return { ...base, report, folder };
}

const PHASES = ["unknown", "active", "held", "ending", "ended"];

/** How a subscription is, for people and scripts. */
export async function describeSubscription(shop: Pick<Shop, "contracts">, { id, terms }: KeptSubscription) {
  const state = await stateOf(shop.contracts, id);
  const runs = state.phase === PHASE.active || state.phase === PHASE.held;
  return {
    id,
    streamId: terms.streamId,
    phase: PHASES[state.phase],
    balance: state.balance,
    next: state.next,
    paidUntil: runs ? Number(await shop.contracts.Subscription.solventUntil(terms)) : null,
  };
}
