import { cover, DEAL_KEYS, deliver, derive, fromHex, type Hex, rootNode, signTyped } from "@msec/core";
import {
  type Deployed,
  downloadWindow,
  exportWindow,
  type Offer,
  openDelivery,
  Operators,
  planPurchase,
  type SignTypedData,
  verifyWindow,
} from "@msec/trade";

const key = new Uint8Array(32).fill(7);
const sign: SignTypedData = ({ domain, message }) =>
  Promise.resolve(signTyped(key, domain, DEAL_KEYS, message as never));

/** A purchase in a browser, from download to file; who delivers is here too. */
export async function purchase(
  base: string,
  deployed: Deployed,
  offer: Offer,
  fromSlot: number,
  toSlot: number,
  seed: Hex,
) {
  const told: string[] = [];
  const tell = (step: string) => (done: number, of: number) => void told.push(`${step} ${done}/${of}`);
  const operators = new Operators([base]);
  const info = await operators.stream(offer.streamId);
  const bundle = await downloadWindow(operators, deployed, info, { fromSlot, toSlot, holes: [] }, tell("loaded"));
  const before = await verifyWindow(bundle, { withoutKeys: true }, tell("checked"));
  const buyer: Hex = `0x${"b1".repeat(20)}`;
  const purpose: Hex = `0x${"00".repeat(32)}`;
  const kept = await planPurchase(deployed, offer, { bundle, before, erasures: [], buyer, purpose, sign });
  const keys = derive([rootNode(fromHex(seed))], cover(fromSlot, toSlot));
  const context = { chainId: deployed.chainId, escrow: deployed.addresses.Escrow, dealId: kept.dealId };
  const delivery = deliver(context, new Uint8Array(32).fill(9), kept.nodes, keys);
  const opened = await openDelivery(deployed, kept, bundle, delivery, tell("opened"));
  if (opened.fault) throw new Error("no fault was expected");
  const report = await verifyWindow(opened.bundle, {}, tell("verified"));
  const csv = [...exportWindow("csv", bundle.stream, report)].join("");
  return { packs: report.packs, readings: report.readings, price: String(kept.deal.price), csv, told };
}
