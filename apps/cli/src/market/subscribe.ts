import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Contracts, describeError, Sender } from "@msec/chain";
import {
  batchContext,
  batchId,
  batchNode,
  batchSlots,
  batchStartMs,
  decodeCose,
  encodeBundle,
  encodeHeader,
  fromBase64,
  fromHex,
  type Hex,
  MODE,
  packOf,
  proveSharedPoint,
  purposeHash,
  dealSecret,
  signTyped,
  slotsOfBits,
  SUBSCRIPTION_KEYS,
  SUBSCRIPTION_OFFER,
  SUBSCRIPTION_TERMS,
  subscriptionDomain,
  subscriptionId,
  subscriptionKey,
  type SubscriptionOffer,
  subscriptionOfferId,
  type SubscriptionTerms,
  toHex,
  type TreeNode,
  unmask,
  verify,
  type WindowReport,
} from "@msec/core";
import { type Batch, batchesOf, PHASE, stateOf, structFrom, type SubscriptionState } from "@msec/market";
import { writeJson } from "@msec/service";
import { type Result } from "ethers";
import { RESEARCH } from "../city/consent.ts";
import { Problem } from "../problem.ts";
import { faultOf, permitFor, type Shop } from "./buy.ts";
import { type PackFull, type StreamInfo } from "./operators.ts";
import { downloadWindow } from "./window.ts";

/** Offers of subscriptions that may be taken now, newest last. */
export async function listSubscriptionOffers(contracts: Contracts): Promise<SubscriptionOffer[]> {
  const { Subscription } = contracts;
  const events = await Subscription.queryFilter(Subscription.filters.OfferPublished(), 0);
  const offers = new Map<Hex, SubscriptionOffer>();
  for (const { args } of events) {
    const offer = structFrom(SUBSCRIPTION_OFFER, args.offer as unknown as Result);
    const id = subscriptionOfferId(offer);
    offers.delete(id);
    if (await Subscription.isOpen(id)) offers.set(id, offer);
  }
  return [...offers.values()];
}

/** A subscription of this buyer's, as it is kept before it is sent. */
export interface Kept {
  id: Hex;
  terms: SubscriptionTerms;
  secret: Uint8Array;
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
): Promise<Kept> {
  const { contracts, deployment, buyer, provider, operators, progress } = shop;
  const { Subscription, ConsentRegistry } = contracts;
  const streamId = offer.streamId as Hex;
  if (!(await ConsentRegistry.authorised(streamId, purpose, buyer.address)))
    throw new Problem(
      `nobody consents to this purpose for ${buyer.address}: name one that the stream's owner grants with --purpose`,
    );
  const info = await operators.stream(streamId);
  const now = ((await provider.getBlock("latest"))?.timestamp ?? 0) * 1000;
  // A second or two until the transaction is in a block.
  const fromBatch = nextBatch(offer, now + 3000);
  checkLive(info, offer, now);
  const { secret, nonce } = secretOf(shop, streamId);
  const key = subscriptionKey(secret);
  const terms: SubscriptionTerms = {
    ...offer,
    anchor: deployment.addresses.DataAnchor,
    buyer: buyer.address,
    keyX: key.x,
    keyV: key.v,
    fromBatch,
    purpose,
    erasures: Number(await ConsentRegistry.erasures(streamId)),
    nonce,
  };
  const id = subscriptionId(terms);
  const kept = { id, terms, secret };
  const to = deployment.addresses.Subscription;
  const permit = await permitFor(shop, to, deposit);
  const data = Subscription.interface.encodeFunctionData("subscribe", [terms, deposit, permit]);
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
    `batches of ${batchSlots(offer, 0)[1] + 1} slots from ${new Date(batchStartMs(terms, fromBatch)).toISOString()} on, at most ${perBatch} units each; ${deposit} units deposited`,
  );
  return kept;
}

function nextBatch(offer: SubscriptionOffer, nowMs: number): number {
  return Math.ceil(nowMs / batchStartMs(offer, 1));
}

/** Recorded data has slots of a time that is past: no batch of it would ever be delivered. */
function checkLive(info: StreamInfo, offer: SubscriptionOffer, nowMs: number): void {
  if (info.preimage.mode === MODE.dataset) throw new Problem("a data set is bought, not subscribed to: msec buy", 2);
  if (info.lastSlot === null) return;
  const newest = (info.lastSlot + 1) * offer.slotSeconds * 1000;
  if (nowMs - newest > offer.silenceSeconds * 1000)
    throw new Problem(
      `the stream's newest slot is of ${new Date(newest).toISOString()}: it is recorded or silent, and a subscription is for what is measured from now on; buy its past with msec buy`,
    );
}

/** Keeps a subscription before it is sent: without the secret nothing that is delivered could be opened. */
function keep(shop: Shop, { id, terms, secret }: Kept): void {
  const folder = join(shop.subscriptions, id);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const text = JSON.parse(
    JSON.stringify(terms, (_, x: unknown) => (typeof x === "bigint" ? x.toString() : x)),
  ) as File["terms"];
  writeJson(join(folder, "subscription.json"), { terms: text, secret: toHex(secret) } satisfies File);
}

/** The buyer's subscription of this id, or the only one where none is named. */
export function keptSubscription(folder: string, id?: string): Kept {
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

/** A secret from two equal signatures of the wallet, else a random one: as for a deal. */
function secretOf({ deployment, buyer }: Shop, streamId: Hex): { secret: Uint8Array; nonce: Hex } {
  const nonce = toHex(new Uint8Array(randomBytes(32)));
  const subscription = deployment.addresses.Subscription;
  const domain = subscriptionDomain(deployment.chainId, subscription);
  const sign = () => signTyped(fromHex(buyer.key), domain, SUBSCRIPTION_KEYS, { subscription, streamId, nonce });
  const [first, second] = [sign(), sign()];
  return { secret: first === second ? dealSecret(first) : new Uint8Array(randomBytes(32)), nonce };
}

async function transact({ provider, deployment, buyer }: Shop, data: string, what: string): Promise<void> {
  const sender = new Sender(buyer.key, provider, deployment.chainId);
  await sender.transact({ to: deployment.addresses.Subscription, data }).catch((error: unknown) => {
    throw new Problem(`the contract refuses ${what}: ${describeError(error)}`);
  });
}

/** What a buyer may do with a subscription; returns what it comes to. */
export async function change(shop: Shop, kept: Kept, action: "hold" | "resume" | "end"): Promise<SubscriptionState> {
  const { Subscription } = shop.contracts;
  await transact(shop, Subscription.interface.encodeFunctionData(action as "end", [kept.terms]), `to ${action} it`);
  return stateOf(shop.contracts, kept.id);
}

export async function topUp(shop: Shop, kept: Kept, amount: bigint): Promise<SubscriptionState> {
  const permit = await permitFor(shop, shop.deployment.addresses.Subscription, amount);
  const data = shop.contracts.Subscription.interface.encodeFunctionData("topUp", [kept.terms, amount, permit]);
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
export async function fetchBatches(shop: Shop, kept: Kept): Promise<Fetched> {
  const { contracts, operators, subscriptions, progress } = shop;
  const info = await operators.stream(kept.terms.streamId as Hex);
  const out: Fetched = { batches: [], refuted: [] };
  for (const batch of await batchesOf(contracts, kept.id)) {
    const folder = join(subscriptions, kept.id, String(batch.number));
    if (existsSync(join(folder, "proof.json"))) continue;
    const standing = BigInt(await contracts.Subscription.batchWord(kept.id, batch.number)) !== 0n;
    const keys = keysOf(shop, kept, batch);
    const found = await faultIn(shop, kept, batch, info, keys);
    if (found) {
      const { fault, data } = found;
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

function keysOf({ deployment }: Shop, { id, terms, secret }: Kept, batch: Batch): TreeNode[] {
  const context = batchContext(deployment.chainId, deployment.addresses.Subscription, id, batch.number);
  const delivery = { E: { x: batch.Ex, v: batch.vE }, masked: [batch.masked] };
  return unmask(context, secret, [batchNode(terms, batch.number)], delivery);
}

/** What is wrong with a batch, and the calldata that proves it; undefined where nothing is. */
async function faultIn(
  { contracts, operators }: Shop,
  { id, terms, secret }: Kept,
  batch: Batch,
  info: StreamInfo,
  keys: TreeNode[],
): Promise<{ fault: string; data: string } | undefined> {
  const { interface: abi } = contracts.Subscription;
  const stream = info.preimage;
  const [from, to] = batchSlots(terms, batch.number);
  const page = await operators.window(terms.streamId as Hex, from, to);
  const full = await operators.packs(page.packs.map((p) => p.headerDigest));
  const shown = (pack: PackFull) => {
    if (!pack.anchoring) throw new Problem(`no operator shows where ${pack.headerDigest} is anchored: try again`);
    const { path: proof, epoch } = pack.anchoring;
    return { pack: packOf(stream, decodeCose(fromBase64(pack.cose))), proof, epoch };
  };
  const judged = full.filter((_, i) => (page.packs[i]?.epoch ?? Infinity) <= batch.asOfEpoch);
  const bad = faultOf({ stream, packs: judged }, keys);
  if (bad) {
    const pack = shown(judged.find((p) => p.cose === bad.cose) as PackFull);
    if (bad.key && bad.content) {
      const data = abi.encodeFunctionData("proveUnopenable", [
        terms,
        batch,
        toHex(bad.key),
        bad.content,
        pack,
      ] as never);
      return { fault: "a pack does not open under its own key", data };
    }
    const point = proveSharedPoint(secret, { x: batch.Ex, v: batch.vE }, batchId(id, batch.number));
    const data = abi.encodeFunctionData("proveWrongKey", [terms, batch, point, pack] as never);
    return { fault: "the key is wrong", data };
  }
  const held = new Set(page.packs.map((p) => p.slot));
  const empty = slotsOfBits(terms, batch.number, batch.slots).find((slot) => !held.has(slot));
  if (empty === undefined) return undefined;
  const line = [page.before, ...page.packs, page.after].filter((p) => p !== null);
  const after = line.findIndex((p) => p.slot > empty);
  const [next] = await operators.packs([(line[after] as (typeof line)[0]).headerDigest]);
  const previous = after > 0 && (await operators.packs([(line[after - 1] as (typeof line)[0]).headerDigest]))[0];
  const { header } = decodeCose(fromBase64((next as PackFull).cose));
  const spki = info.keys.find((key) => key.keyEpoch === header.keyEpoch)?.spki;
  if (!spki) throw new Problem(`no operator knows the device's key of epoch ${header.keyEpoch}: try again`);
  const claim = {
    slot: empty,
    previous: shown((previous || next) as PackFull),
    next: shown(next as PackFull),
    header: encodeHeader(header),
    spki: fromBase64(spki),
  };
  return {
    fault: `slot ${empty} is paid and holds nothing`,
    data: abi.encodeFunctionData("proveEmpty", [terms, batch, claim] as never),
  };
}

async function verified(
  { deployment, operators, progress }: Shop,
  { terms }: Kept,
  batch: Batch,
  info: StreamInfo,
  keys: TreeNode[],
  folder: string,
): Promise<FetchedBatch> {
  const [fromSlot, toSlot] = batchSlots(terms, batch.number);
  const slots = slotsOfBits(terms, batch.number, batch.slots).length;
  const base = { number: batch.number, slots, price: BigInt(slots) * terms.slotPrice };
  let draft;
  try {
    draft = await downloadWindow(operators, deployment, info, terms.streamId as Hex, { fromSlot, toSlot, holes: [] });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    progress(`batch ${batch.number}`, `its key is right; its completeness can't be shown yet: ${error.message}`);
    return base;
  }
  const nodes = keys.map(({ depth, firstSlot, key }) => ({ depth, firstSlot, key: toHex(key) }));
  const bundle = { ...draft, nodes };
  const report = verify(bundle) as WindowReport;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeJson(join(folder, "proof.json"), JSON.parse(encodeBundle(bundle)));
  progress(`batch ${batch.number}`, `${report.packs} packs with ${report.readings} readings, ${slots} slots paid`);
  return { ...base, report, folder };
}

const PHASES = ["unknown", "active", "held", "ending", "ended"];

/** How a subscription is, for people and scripts. */
export async function describeSubscription(shop: Pick<Shop, "contracts">, { id, terms }: Kept) {
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
