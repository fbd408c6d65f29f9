import { randomBytes } from "node:crypto";
import {
  holesOf,
  batchNode,
  batchSlots,
  type CompactPoint,
  cover,
  type Deal,
  type DealContext,
  decodeCose,
  deliver,
  type Delivery,
  demand,
  derive,
  type Epoch,
  fromBase64,
  headerSlot,
  type Hex,
  holesHash,
  type KeyNode,
  liftPoint,
  nodeCovering,
  openPack,
  type Pack,
  packOf,
  ProtocolError,
  slotBits,
  type SlotRange,
  type StreamPreimage,
  type SubscriptionTerms,
  type TreeNode,
} from "@msec/core";
import { type Custody, type WindowPack } from "./custody.ts";

async function keysOf(
  custody: Custody,
  streamId: Hex,
  fromSlot: number,
  toSlot: number,
  holes: readonly SlotRange[],
): Promise<TreeNode[]> {
  try {
    return await custody.keys(streamId, fromSlot, toSlot, holes);
  } catch (error) {
    if (/"code":"(erased|key-tree)"/.test((error as Error).message))
      throw new ProtocolError("erased", "keys of the window are not held any more");
    throw error;
  }
}

/** Opens every pack under the keys. Returns how many readings there are. */
async function openAll(
  custody: Custody,
  stream: StreamPreimage,
  packs: readonly WindowPack[],
  keys: readonly TreeNode[],
): Promise<number> {
  const contents = await custody.contents(packs.map((p) => p.headerDigest));
  let readings = 0;
  for (const pack of packs) {
    const content = contents.get(pack.headerDigest);
    demand(content != null, "erased", "a content of the window is gone", pack.headerDigest);
    const { header } = decodeCose(fromBase64(pack.cose));
    const slot = headerSlot(stream, header);
    const node = nodeCovering(keys, slot);
    demand(node !== undefined, "key-tree", "a pack of the window lies outside its cover", slot);
    openPack(
      stream,
      header,
      (derive([node], [{ depth: 32, firstSlot: slot }])[0] as TreeNode).key,
      fromBase64(content),
    );
    readings += header.count;
  }
  return readings;
}

/** A batch of a subscription as it is delivered: what `deliver` takes, numbers exact. */
export interface BatchDelivery {
  number: number;
  slots: bigint;
  E: CompactPoint;
  masked: Hex;
  /** The batch's last pack, which shows that its slot holds data. */
  last: { pack: Pack; proof: Hex[]; epoch: Epoch };
}

/** Why there is nothing to deliver of a batch: it is empty for good, or something may still come. */
export type Nothing = "empty" | "early";

/**
 * Makes the delivery of a batch that is over, after checking what the bond answers for: the node is held whole, and every
 * pack that is anchored in the batch opens under it. Unless the stream has gone on past the batch, or `late` says that it was
 * waited for long enough, what is missing may still come. A {@link ProtocolError} means that this batch can't be delivered.
 */
export async function prepareBatch(
  custody: Custody,
  context: DealContext,
  terms: SubscriptionTerms,
  number: number,
  late: boolean,
): Promise<BatchDelivery | Nothing> {
  const streamId = terms.streamId as Hex;
  const stream = await custody.stream(streamId);
  const [from, to] = batchSlots(terms, number);
  const { packs, after } = await custody.window(streamId, from, to);
  if (packs.length === 0) return after ? "empty" : "early";
  if (!after && !late) return "early";
  const keys = await keysOf(custody, streamId, from, to, []);
  await openAll(custody, stream, packs, keys);
  const signed = packs.map((p) => decodeCose(fromBase64(p.cose)));
  const last = signed.reduce((a, b) => (b.header.seq > a.header.seq ? b : a));
  const anchoring = await custody.anchoring(last.headerDigest);
  if (!anchoring) throw new Error(`the custody oracle does not show where ${last.headerDigest} is anchored`);
  const { E, masked } = deliver(context, new Uint8Array(randomBytes(32)), [batchNode(terms, number)], keys);
  return {
    number,
    slots: slotBits(
      terms,
      number,
      signed.map(({ header }) => headerSlot(stream, header)),
    ),
    E,
    masked: masked[0] as Hex,
    last: { pack: packOf(stream, last), proof: anchoring.path, epoch: anchoring.epoch },
  };
}

/**
 * Makes a delivery, after checking what a deliverer answers for with its bond: the cover is canonical, every point is on
 * the curve, and every pack of the window up to the deal's epoch opens under the keys. A {@link ProtocolError} means that
 * the deal must be declined; any other error, that it must be tried again.
 */
export async function prepareDelivery(
  custody: Custody,
  context: DealContext,
  deal: Deal,
  nodes: readonly KeyNode[],
  erasures: readonly SlotRange[],
): Promise<Delivery> {
  const streamId = deal.streamId as Hex;
  const stream = await custody.stream(streamId);
  const holes = holesOf(erasures, deal.fromSlot, deal.toSlot);
  demand(
    holesHash(holes) === deal.holesHash,
    "deal",
    "the deal's holes are not the erased ranges of its window",
    deal.holesHash,
  );
  const places = cover(deal.fromSlot, deal.toSlot, holes);
  demand(
    places.length === nodes.length &&
      places.every((p, i) => p.depth === nodes[i]?.depth && p.firstSlot === nodes[i]?.firstSlot),
    "deal",
    "the deal's nodes are not the canonical cover of its window",
  );
  for (const node of nodes) liftPoint(node);
  const { packs, newestEpoch } = await custody.window(streamId, deal.fromSlot, deal.toSlot);
  if (newestEpoch < deal.asOfEpoch) throw new Error(`the custody oracle has not confirmed epoch ${deal.asOfEpoch} yet`);
  const sold = packs.filter(
    (p) => p.epoch <= deal.asOfEpoch && !holes.some(([from, to]) => p.slot >= from && p.slot <= to),
  );
  const keys = await keysOf(custody, streamId, deal.fromSlot, deal.toSlot, holes);
  const readings = await openAll(custody, stream, sold, keys);
  demand(
    sold.length === deal.packs && readings === deal.readings,
    "deal",
    `the window holds ${sold.length} packs and ${readings} readings`,
    [deal.packs, deal.readings],
  );
  return deliver(context, new Uint8Array(randomBytes(32)), nodes, keys);
}
