import {
  batchContext,
  batchId,
  batchNode,
  batchSlots,
  batchStartMs,
  decodeCose,
  encodeHeader,
  fromBase64,
  type Hex,
  MODE,
  proveSharedPoint,
  type SharedPoint,
  slotsOfBits,
  streamId,
  SUBSCRIPTION_KEYS,
  SUBSCRIPTION_TERMS,
  subscriptionDomain,
  subscriptionId,
  subscriptionKey,
  type SubscriptionOffer,
  type SubscriptionTerms,
  demand,
  toHex,
  type TreeNode,
  unmask,
  type WindowBundle,
  type WindowReport,
} from "@msec/core";
import { abiStruct, type AbiStruct, type Call } from "./abi.ts";
import { abiEpoch, type AbiEpoch, abiPack, type AbiPack, anchoredPack } from "./complaint.ts";
import { faultOf, withKeys } from "./delivery.ts";
import { type Deployed } from "./deployed.ts";
import { TradeError } from "./errors.ts";
import { type Operators, type PackFull, type StreamInfo } from "./operators.ts";
import { type Progress } from "./pace.ts";
import { type Permit } from "./permit.ts";
import { freshNonce, secretOf } from "./secret.ts";
import { type Batch } from "./subscription-state.ts";
import { type SignTypedData, typedData } from "./typed-data.ts";
import { verifyWindow } from "./verify.ts";
import { downloadWindow } from "./window.ts";

/** A subscription with what opens its batches. The secret must be kept before it is paid. */
export interface KeptSubscription {
  id: Hex;
  terms: SubscriptionTerms;
  secret: Uint8Array;
}

/** Milliseconds that a transaction may take into a block. */
const INCLUSION_MS = 3000;

/** Refuses recorded data: its slots are of a time that is past, so no batch of it would ever be delivered. */
function checkLive(info: StreamInfo, offer: SubscriptionOffer, nowMs: number): void {
  if (info.preimage.mode === MODE.dataset)
    throw new TradeError("wrong-mode", "a data set is bought, not subscribed to: msec buy");
  if (info.lastSlot === null) return;
  const newest = (info.lastSlot + 1) * offer.slotSeconds * 1000;
  if (nowMs - newest > offer.silenceSeconds * 1000)
    throw new TradeError(
      "not-yet",
      `the stream's newest slot is of ${new Date(newest).toISOString()}: it is recorded or silent, and a subscription is for what is measured from now on; buy its past with msec buy`,
    );
}

/** A subscription up to its transaction; its first batch is the next one that begins after the chain's time `nowMs`. */
export async function planSubscription(
  { chainId, addresses }: Deployed,
  offer: SubscriptionOffer,
  info: StreamInfo,
  subscriber: { buyer: Hex; purpose: Hex; erasures: number; nowMs: number; sign: SignTypedData },
): Promise<KeptSubscription> {
  const { buyer, purpose, erasures, nowMs, sign } = subscriber;
  const id = streamId(info.preimage);
  demand(id === offer.streamId, "deal", "the offer is of another stream", offer.streamId);
  const fromBatch = Math.ceil((nowMs + INCLUSION_MS) / batchStartMs(offer, 1));
  checkLive(info, offer, nowMs);
  const subscription = addresses.Subscription;
  const nonce = freshNonce();
  const domain = subscriptionDomain(chainId, subscription);
  const secret = await secretOf(sign, typedData(domain, SUBSCRIPTION_KEYS, { subscription, streamId: id, nonce }));
  const key = subscriptionKey(secret);
  const own = { anchor: addresses.DataAnchor, buyer, keyX: key.x, keyV: key.v, fromBatch, purpose, erasures, nonce };
  const terms: SubscriptionTerms = { ...offer, ...own };
  return { id: subscriptionId(terms), terms, secret };
}

type AbiTerms = AbiStruct<typeof SUBSCRIPTION_TERMS.fields>;
const abiTerms = (terms: SubscriptionTerms): AbiTerms => abiStruct(SUBSCRIPTION_TERMS, terms);

/** `Subscription.subscribe`: the one transaction of a subscription. The permit is of the buyer, for the contract. */
export const subscribeCall = (
  terms: SubscriptionTerms,
  deposit: bigint,
  permit: Permit,
): Call<"subscribe", [AbiTerms, bigint, Permit]> => ({
  functionName: "subscribe",
  args: [abiTerms(terms), deposit, permit],
});

export const topUpCall = (
  terms: SubscriptionTerms,
  amount: bigint,
  permit: Permit,
): Call<"topUp", [AbiTerms, bigint, Permit]> => ({ functionName: "topUp", args: [abiTerms(terms), amount, permit] });

export const changeCall = <N extends "hold" | "resume" | "end">(
  functionName: N,
  terms: SubscriptionTerms,
): Call<N, [AbiTerms]> => ({ functionName, args: [abiTerms(terms)] });

/** The keys of a delivered batch, right or wrong. */
export function keysOfBatch({ chainId, addresses }: Deployed, kept: KeptSubscription, batch: Batch): TreeNode[] {
  const { id, terms, secret } = kept;
  const context = batchContext(chainId, addresses.Subscription, id, batch.number);
  const delivery = { E: { x: batch.Ex, v: batch.vE }, masked: [batch.masked] };
  return unmask(context, secret, [batchNode(terms, batch.number)], delivery);
}

export interface AbiBatch extends Omit<Batch, "at" | "atBlock" | "asOfEpoch"> {
  at: bigint;
  atBlock: bigint;
  asOfEpoch: bigint;
}
export interface AbiAnchoredPack {
  pack: AbiPack;
  proof: Hex[];
  epoch: AbiEpoch;
}
export interface AbiEmptySlot {
  slot: number;
  previous: AbiAnchoredPack;
  next: AbiAnchoredPack;
  header: Hex;
  spki: Hex;
}

const abiBatch = (batch: Batch): AbiBatch => ({
  ...batch,
  at: BigInt(batch.at),
  atBlock: BigInt(batch.atBlock),
  asOfEpoch: BigInt(batch.asOfEpoch),
});

/** What is wrong with a batch, and the call that proves it to the contract. */
export interface BatchFault {
  fault: string;
  call:
    | Call<"proveUnopenable", [AbiTerms, AbiBatch, Hex, Hex, AbiAnchoredPack]>
    | Call<"proveWrongKey", [AbiTerms, AbiBatch, SharedPoint, AbiAnchoredPack]>
    | Call<"proveEmpty", [AbiTerms, AbiBatch, AbiEmptySlot]>;
}

/** What is wrong with a batch: a wrong key, a pack that does not open, a slot that is paid and empty. Undefined: nothing. */
export async function faultOfBatch(
  operators: Operators,
  { id, terms, secret }: KeptSubscription,
  batch: Batch,
  info: StreamInfo,
  keys: readonly TreeNode[],
): Promise<BatchFault | undefined> {
  const stream = info.preimage;
  const [from, to] = batchSlots(terms, batch.number);
  const page = await operators.window(terms.streamId as Hex, from, to);
  const full = await operators.packs(page.packs.map((p) => p.headerDigest));
  const shown = (found: PackFull): AbiAnchoredPack => {
    const { pack, proof, epoch } = anchoredPack(stream, found);
    return { pack: abiPack(pack), proof, epoch: abiEpoch(epoch) };
  };
  const judged = full.filter((_, i) => (page.packs[i]?.epoch ?? Infinity) <= batch.asOfEpoch);
  const bad = faultOf({ stream, packs: judged }, keys);
  if (bad) {
    const pack = shown(judged.find((p) => p.cose === bad.cose) as PackFull);
    if (bad.key && bad.content)
      return {
        fault: "a pack does not open under its own key",
        call: {
          functionName: "proveUnopenable",
          args: [abiTerms(terms), abiBatch(batch), toHex(bad.key), toHex(bad.content), pack],
        },
      };
    const point = proveSharedPoint(secret, { x: batch.Ex, v: batch.vE }, batchId(id, batch.number));
    return {
      fault: "the key is wrong",
      call: { functionName: "proveWrongKey", args: [abiTerms(terms), abiBatch(batch), point, pack] },
    };
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
  if (!spki)
    throw new TradeError("unanswered", `no operator knows the device's key of epoch ${header.keyEpoch}: try again`);
  const claim = {
    slot: empty,
    previous: shown((previous || next) as PackFull),
    next: shown(next as PackFull),
    header: toHex(encodeHeader(header)),
    spki: toHex(fromBase64(spki)),
  };
  return {
    fault: `slot ${empty} is paid and holds nothing`,
    call: { functionName: "proveEmpty", args: [abiTerms(terms), abiBatch(batch), claim] },
  };
}

/** Slots of a batch that are paid, and what they cost. */
export function costOfBatch(terms: SubscriptionTerms, batch: Pick<Batch, "number" | "slots">) {
  const slots = slotsOfBits(terms, batch.number, batch.slots).length;
  return { slots, price: BigInt(slots) * terms.slotPrice };
}

/**
 * A batch as a window, verified. A {@link TradeError} where its completeness can't be shown yet, because the stream has not
 * gone on past it.
 */
export async function openBatch(
  operators: Operators,
  deployed: Deployed,
  { terms }: KeptSubscription,
  batch: Pick<Batch, "number">,
  info: StreamInfo,
  keys: readonly TreeNode[],
  progress?: Progress,
): Promise<{ bundle: WindowBundle; report: WindowReport }> {
  const [fromSlot, toSlot] = batchSlots(terms, batch.number);
  const draft = await downloadWindow(operators, deployed, info, { fromSlot, toSlot, holes: [] }, progress);
  const bundle = withKeys(draft, keys);
  return { bundle, report: await verifyWindow(bundle) };
}
