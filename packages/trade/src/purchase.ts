import {
  holesOf,
  buyerNodes,
  cover,
  DEAL,
  DEAL_KEYS,
  type Deal,
  dealId,
  demand,
  escrowDomain,
  type Hex,
  holesHash,
  type KeyNode,
  keysTree,
  MODE,
  slotTimes,
  type SlotRange,
  STREAM,
  streamId,
  streamOf,
  type StreamPreimage,
  toHex,
  type WindowBundle,
  type WindowReport,
} from "@msec/core";
import { abiStruct, type AbiStruct, type Call } from "./abi.ts";
import { type Status } from "./deal-status.ts";
import { type Deployed } from "./deployed.ts";
import { checkOpen, type Offer, priceOf, termsOf } from "./offer.ts";
import { type Permit } from "./permit.ts";
import { TradeError } from "./errors.ts";
import { freshNonce, secretOf } from "./secret.ts";
import { type SignTypedData, typedData } from "./typed-data.ts";

/** A deal with what opens its delivery. The secret must be kept before it is paid. */
export interface KeptDeal {
  dealId: Hex;
  deal: Deal;
  nodes: KeyNode[];
  secret: Uint8Array;
}

/** A window as it was checked before paying, and the buyer who wants it. */
export interface Wanted {
  /** Without keys. */
  bundle: WindowBundle;
  /** What `verifyWindow` says of the bundle, `withoutKeys`. */
  before: WindowReport;
  /** Every erasure of the stream that the chain counts, in its order. */
  erasures: readonly SlotRange[];
  buyer: Hex;
  purpose: Hex;
  sign: SignTypedData;
}

type Pinned = Pick<
  Deal,
  | "anchor"
  | "streamId"
  | "asOfEpoch"
  | "packs"
  | "readings"
  | "fromSlot"
  | "toSlot"
  | "holesHash"
  | "nodes"
  | "keysRoot"
  | "erasures"
  | "nonce"
>;

/** What a wallet signs so that the buyer's keys of a window are made of it. */
const keysData = (
  { chainId, addresses }: Deployed,
  window: Pick<Deal, "streamId" | "fromSlot" | "toSlot" | "holesHash" | "asOfEpoch" | "nonce">,
) => {
  const { streamId: id, fromSlot, toSlot, holesHash: hash, asOfEpoch, nonce } = window;
  const message = { escrow: addresses.Escrow, streamId: id, fromSlot, toSlot, holesHash: hash, asOfEpoch, nonce };
  return typedData(escrowDomain(chainId, addresses.Escrow), DEAL_KEYS, message);
};

/**
 * The secret of a deal, made again by the wallet that bought it; where the browser that did is lost. A {@link TradeError}
 * where it makes another: the account is another, or the wallet does not sign alike twice.
 */
export async function recoverSecret(
  deployed: Deployed,
  deal: Deal,
  nodes: readonly KeyNode[],
  sign: SignTypedData,
): Promise<Uint8Array> {
  const secret = await secretOf(sign, keysData(deployed, deal));
  if (toHex(keysTree(buyerNodes(secret, nodes)).root) !== deal.keysRoot)
    throw new TradeError(
      "no-match",
      "this wallet does not make the secret of this deal again: it did not buy it, or it signs otherwise each time; then only what was kept at the purchase opens it",
    );
  return secret;
}

/** The keys that a buyer wants a window masked for, and what a deal or a request pins of them and of the window. */
export async function windowKeys(
  deployed: Deployed,
  { bundle, before, erasures, sign }: Wanted,
  nonce: Hex,
): Promise<{ secret: Uint8Array; nodes: KeyNode[]; pinned: Pinned }> {
  const { fromSlot, toSlot, asOfEpoch } = bundle.window;
  const id = streamId(bundle.stream);
  demand(
    before.streamId === id && before.fromSlot === fromSlot && before.toSlot === toSlot,
    "deal",
    "the report is of another window than the bundle",
  );
  const holes = holesOf(erasures, fromSlot, toSlot);
  const hash = holesHash(holes);
  demand(hash === holesHash(bundle.window.holes), "deal", "the bundle's holes are not the erased ranges of its window");
  const asked = { streamId: id, fromSlot, toSlot, holesHash: hash, asOfEpoch, nonce };
  const secret = await secretOf(sign, keysData(deployed, asked));
  const nodes = buyerNodes(secret, cover(fromSlot, toSlot, holes));
  const pinned = {
    anchor: deployed.addresses.DataAnchor,
    streamId: id,
    asOfEpoch,
    packs: before.packs,
    readings: before.records,
    fromSlot,
    toSlot,
    holesHash: hash,
    nodes: nodes.length,
    keysRoot: toHex(keysTree(nodes).root),
    erasures: erasures.length,
    nonce,
  };
  return { secret, nodes, pinned };
}

/** The last millisecond of a deal's window; a data set has none. */
export const endOf = ({ mode, slotSeconds }: StreamPreimage, toSlot: number): number =>
  mode === MODE.dataset ? 0 : slotTimes(toSlot, slotSeconds).toMs;

/** A purchase up to its transaction. The wallet is asked twice for one signature, out of which the buyer's keys are made. */
export async function planPurchase(deployed: Deployed, offer: Offer, wanted: Wanted): Promise<KeptDeal> {
  checkOpen(offer);
  const { bundle, before, buyer, purpose } = wanted;
  const { stream } = bundle;
  demand(streamId(stream) === offer.streamId, "deal", "the offer is of another stream", offer.streamId);
  const { secret, nodes, pinned } = await windowKeys(deployed, wanted, freshNonce());
  const deal: Deal = {
    ...pinned,
    ...priceOf(offer, stream, before),
    buyer,
    seller: offer.seller,
    deliverer: offer.deliverer,
    fallbackDeliverer: offer.fallbackDeliverer,
    token: offer.token,
    bond: offer.bond,
    endMs: endOf(stream, bundle.window.toSlot),
    purpose,
    deliverSeconds: offer.deliverSeconds,
    complainSeconds: offer.complainSeconds,
  };
  return { dealId: dealId(deal), deal, nodes, secret };
}

export type AbiStream = AbiStruct<typeof STREAM.fields>;
export type AbiDeal = AbiStruct<typeof DEAL.fields>;
export interface AbiStatus {
  state: number;
  at: bigint;
  atBlock: bigint;
  deliveryHash: Hex;
}

export const abiStream = (stream: StreamPreimage): AbiStream => abiStruct(STREAM, streamOf(stream));
export const abiDeal = (deal: Deal): AbiDeal => abiStruct(DEAL, deal);
export const abiStatus = ({ state, at, atBlock, deliveryHash }: Status): AbiStatus => ({
  state,
  at: BigInt(at),
  atBlock: BigInt(atBlock),
  deliveryHash,
});

/** `Marketplace.buy`: the one transaction of a purchase. The permit is of the buyer, for the marketplace. */
export const buyCall = (
  offer: Offer,
  stream: StreamPreimage,
  { deal, nodes }: Pick<KeptDeal, "deal" | "nodes">,
  permit: Permit,
): Call<"buy", [ReturnType<typeof termsOf>, AbiStream, AbiDeal, KeyNode[], Permit]> => ({
  functionName: "buy",
  args: [termsOf(offer), abiStream(stream), abiDeal(deal), nodes, permit],
});

/** `Escrow.refund`: the price back, once nobody has delivered in time. By anyone. */
export const refundCall = (deal: Deal, status: Status): Call<"refund", [AbiDeal, AbiStatus]> => ({
  functionName: "refund",
  args: [abiDeal(deal), abiStatus(status)],
});

/** `Escrow.release`: pays seller and deliverer, once nobody has complained in time. By anyone. */
export const releaseCall = (deal: Deal, status: Status): Call<"release", [AbiDeal, AbiStatus]> => ({
  functionName: "release",
  args: [abiDeal(deal), abiStatus(status)],
});
