import { randomBytes } from "node:crypto";
import {
  cover,
  type Deal,
  type DealContext,
  decodeCose,
  deliver,
  type Delivery,
  demand,
  derive,
  fromBase64,
  headerSlot,
  type Hex,
  holesHash,
  type KeyNode,
  liftPoint,
  nodeCovering,
  openPack,
  ProtocolError,
  type SlotRange,
  type TreeNode,
} from "@msec/core";
import { type Custody } from "./custody.ts";

/** Erased ranges of a window, merged and clipped: the holes of a deal that counts so many erasures. */
export function holesOf(erasures: readonly SlotRange[], fromSlot: number, toSlot: number): SlotRange[] {
  const inside = erasures
    .map(([from, to]): [number, number] => [Math.max(from, fromSlot), Math.min(to, toSlot)])
    .filter(([from, to]) => from <= to)
    .sort((a, b) => a[0] - b[0]);
  const holes: [number, number][] = [];
  for (const [from, to] of inside) {
    const last = holes[holes.length - 1];
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else holes.push([from, to]);
  }
  return holes;
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
  let keys: TreeNode[];
  try {
    keys = await custody.keys(streamId, deal.fromSlot, deal.toSlot, holes);
  } catch (error) {
    if (/"code":"(erased|key-tree)"/.test((error as Error).message))
      throw new ProtocolError("erased", "keys of the window are not held any more");
    throw error;
  }
  const contents = await custody.contents(sold.map((p) => p.headerDigest));
  let readings = 0;
  for (const pack of sold) {
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
  demand(
    sold.length === deal.packs && readings === deal.readings,
    "deal",
    `the window holds ${sold.length} packs and ${readings} readings`,
    [deal.packs, deal.readings],
  );
  return deliver(context, new Uint8Array(randomBytes(32)), nodes, keys);
}
