import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ChainProvider, type Contracts, type Deployment, describeError, Sender } from "@msec/chain";
import {
  holesOf,
  type Deal,
  decodeBundle,
  decodeCose,
  type Delivery,
  encodeBundle,
  fromBase64,
  fromHex,
  type Hex,
  purposeHash,
  toHex,
  type WindowBundle,
  type WindowReport,
} from "@msec/core";
import { erasuresOf, statusOf } from "@msec/market";
import { writeJson } from "@msec/service";
import {
  buyCall,
  certify,
  checkOpen,
  complaintCall,
  deliveryFrom,
  downloadWindow,
  type Fault,
  isClosed,
  type KeptDeal,
  LEAST_JUDGES,
  type Offer,
  openDelivery,
  type Operators,
  packOfFault,
  partiesOf,
  PASSED,
  type Permit,
  permitData,
  permitOf,
  planPurchase,
  refundCall,
  type SignTypedData,
  STATE,
  type Status,
  verifyWindow,
} from "@msec/trade";
import { type EventLog, Wallet } from "ethers";
import { RESEARCH } from "../city/consent.ts";
import { type Account } from "../city/layout.ts";
import { Problem } from "../problem.ts";

/** Everything that a purchase needs from its surroundings. */
export interface Shop {
  contracts: Contracts;
  provider: ChainProvider;
  deployment: Deployment;
  operators: Operators;
  buyer: Account;
  /** Folder where purchases under way are kept. */
  purchases: string;
  /** Folder where subscriptions are kept. */
  subscriptions: string;
  /** Told what was shown, one line a step. */
  progress: (step: string, detail: string) => void;
}

export interface Purchase {
  dealId: Hex;
  deal: Deal;
  bundle: WindowBundle;
  report: WindowReport;
  /** Hash of the one transaction that bought. */
  tx: Hex;
  /** Seconds from the transaction to verified data. */
  seconds: number;
}

interface Draft {
  deal: Record<string, unknown>;
  nodes: { depth: number; firstSlot: number; x: string; v: number }[];
  secret: Hex;
  tx: Hex;
  raw: Hex;
}

const DAY_SECONDS = 86_400;

/**
 * Buys a window: downloads and checks everything but the keys, pays in one transaction, waits for the keys, verifies. A
 * wrong key is proved on chain at once, which pays price and bond back.
 */
export async function buy(
  shop: Shop,
  offer: Offer,
  fromSlot: number,
  toSlot: number,
  purpose: Hex = purposeHash(RESEARCH),
): Promise<Purchase> {
  const { operators, deployment, contracts, progress, buyer } = shop;
  checkOpen(offer);
  if (!(await contracts.ConsentRegistry.authorised(offer.streamId, purpose, buyer.address)))
    throw new Problem(
      `nobody consents to this purpose for ${buyer.address}: it was not granted, has expired, was withdrawn, or the stream is erased; name a purpose that its owner grants with --purpose`,
    );
  const info = await operators.stream(offer.streamId);
  const erasures = await erasuresOf(contracts, offer.streamId);
  const window = { fromSlot, toSlot, holes: holesOf(erasures, fromSlot, toSlot) };
  const bundle = await downloadWindow(operators, deployment, info, window);
  const before = await verifyWindow(bundle, { withoutKeys: true });
  progress(
    "checked before paying",
    `${before.packs} packs complete and in line, ${before.emptySlots} empty slots, ${before.gaps} gaps, ${before.erased} erased; signed by the device, anchored in epoch ${before.epoch.number} by ${before.signers.length} operators`,
  );
  progress("complaints", await complaintsOf(shop, offer));
  const wanted = { bundle, before, erasures, buyer: buyer.address, purpose, sign: signerOf(buyer) };
  const kept = await planPurchase(deployment, offer, wanted);
  const tx = await pay(shop, offer, kept, bundle);
  progress(
    "bought",
    `${before.packs} packs, ${before.records} records for ${kept.deal.price} units, ${kept.nodes.length} key nodes, in one transaction ${tx}`,
  );
  return finish(shop, kept, bundle, tx);
}

/** A wallet whose key is at hand. */
export const signerOf =
  ({ key }: Account): SignTypedData =>
  ({ domain, types, message }) =>
    new Wallet(key).signTypedData(domain, types, message) as Promise<Hex>;

/**
 * Whether anybody could judge a complaint about quality. The panel that counts is one of the time between the deal less its
 * deliverSeconds and the deal, so both ends are asked.
 */
async function complaintsOf({ contracts, provider, buyer }: Shop, offer: Offer): Promise<string> {
  const now = ((await provider.getBlock("latest"))?.timestamp ?? 0) * 1000;
  const parties = partiesOf({ ...offer, buyer: buyer.address });
  const times = [Math.max(0, now - offer.deliverSeconds * 1000), now];
  const judges = await Promise.all(times.map((at) => contracts.Arbitration.judgesFor(parties, at)));
  const least = judges.reduce((a, b) => (a < b ? a : b));
  if (least < LEAST_JUDGES && (judges[1] as bigint) >= LEAST_JUDGES)
    return `about quality from ${offer.deliverSeconds} s after the panel was seated on, not yet; about wrong keys and packs that do not open now`;
  return least < LEAST_JUDGES
    ? "no panel of three organisations outside this deal: only wrong keys and packs that do not open can be complained of"
    : `${least} organisations outside this deal would judge a complaint about quality; it costs a tenth of the price`;
}

/** EIP-2612: lets a contract take an amount of the buyer's tokens, in the transaction that uses it. */
export async function permitFor(
  { contracts, deployment, provider, buyer }: Shop,
  spender: Hex,
  value: bigint,
): Promise<Permit> {
  const { MSecToken } = contracts;
  const owner = buyer.address;
  const balance = await MSecToken.balanceOf(owner);
  if (balance < value) throw new Problem(`the price is ${value} units, the account ${owner} holds ${balance}`);
  const deadline = BigInt(((await provider.getBlock("latest"))?.timestamp ?? 0) + DAY_SECONDS);
  const nonce = await MSecToken.nonces(owner);
  const data = permitData(deployment, { owner, spender, value, nonce, deadline });
  return permitOf(value, deadline, await signerOf(buyer)(data));
}

/** Keeps what is needed to go on after a crash, then sends the one transaction. */
async function pay(shop: Shop, offer: Offer, kept: KeptDeal, bundle: WindowBundle): Promise<Hex> {
  const { contracts, deployment, provider, buyer, purchases } = shop;
  const { dealId: id, deal, nodes, secret } = kept;
  const sender = new Sender(buyer.key, provider, deployment.chainId);
  const permit = await permitFor(shop, deployment.addresses.Marketplace, deal.price);
  const call = buyCall(offer, bundle.stream, kept, permit);
  const data = contracts.Marketplace.interface.encodeFunctionData(call.functionName, call.args);
  const to = deployment.addresses.Marketplace;
  try {
    await provider.call({ from: buyer.address, to, data });
  } catch (error) {
    throw new Problem(`the marketplace refuses the purchase: ${describeError(error)}`);
  }
  const signed = await sender.sign({ to, data }, await sender.nonce());
  const folder = join(purchases, id);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const text = (value: unknown) =>
    JSON.parse(JSON.stringify(value, (_, x: unknown) => (typeof x === "bigint" ? x.toString() : x))) as never;
  writeJson(join(folder, "bundle.json"), JSON.parse(encodeBundle(bundle)));
  writeJson(join(folder, "draft.json"), {
    deal: text(deal),
    nodes: text(nodes),
    secret: toHex(secret),
    tx: signed.hash,
    raw: signed.raw,
  } satisfies Draft);
  await sender.broadcast(signed.raw);
  if ((await sender.wait(signed.hash, signed.raw)).status !== 1)
    throw new Problem(`the purchase was reverted: transaction ${signed.hash}`);
  return signed.hash;
}

/** Purchases whose data has not been verified yet, such as after a crash between paying and delivery. */
export function unfinishedPurchases(purchases: string): Hex[] {
  if (!existsSync(purchases)) return [];
  return readdirSync(purchases).filter(
    (id) => existsSync(join(purchases, id, "draft.json")) && !existsSync(join(purchases, id, "proof.json")),
  ) as Hex[];
}

/** Goes on with a purchase that was paid, or perhaps paid: the same transaction is sent again. */
export async function resume(shop: Shop, id: Hex): Promise<Purchase> {
  const folder = join(shop.purchases, id);
  const draft = JSON.parse(readFileSync(join(folder, "draft.json"), "utf8")) as Draft;
  const bundle = decodeBundle(readFileSync(join(folder, "bundle.json"), "utf8")) as WindowBundle;
  const given = draft.deal as Record<string, string>;
  const deal = {
    ...given,
    price: BigInt(given.price as string),
    fee: BigInt(given.fee as string),
    bond: BigInt(given.bond as string),
  } as unknown as Deal;
  const nodes = draft.nodes.map((node) => ({ ...node, x: BigInt(node.x) }));
  if (!(await statusOf(shop.contracts, id))) {
    const sender = new Sender(shop.buyer.key, shop.provider, shop.deployment.chainId);
    await sender.broadcast(draft.raw);
    await sender.wait(draft.tx, draft.raw);
  }
  return finish(shop, { dealId: id, deal, nodes, secret: fromHex(draft.secret) }, bundle, draft.tx);
}

/** Waits for the keys, verifies, and complains with proof where a key is wrong. */
async function finish(shop: Shop, kept: KeptDeal, draft: WindowBundle, tx: Hex): Promise<Purchase> {
  const { deployment, provider, progress, purchases } = shop;
  const { dealId: id, deal } = kept;
  const started = Date.now();
  const delivery = await awaitDelivery(shop, id, deal);
  const opened = await openDelivery(deployment, kept, draft, delivery);
  if (opened.fault) {
    await complain(shop, kept, delivery, draft, opened.fault);
    const what = opened.fault.key ? "a pack does not open under its own key" : "a key was wrong";
    throw new Problem(`${what}: the escrow has found so itself and paid price and bond to ${deal.buyer}`);
  }
  const { bundle } = opened;
  progress("keys delivered", `${bundle.nodes.length} key nodes, every one opens what the device committed to`);
  const report = await verifyWindow(bundle);
  await addCertificate(shop, bundle, report);
  writeJson(join(purchases, id, "proof.json"), JSON.parse(encodeBundle(bundle)));
  const block = await provider.getTransactionReceipt(tx).then((r) => r && provider.getBlock(r.blockNumber));
  return {
    dealId: id,
    deal,
    bundle,
    report,
    tx,
    seconds: block ? Math.max(0, Date.now() / 1000 - block.timestamp) : (Date.now() - started) / 1000,
  };
}

/** Adds the chain's own certificate, if there is one. */
async function addCertificate(
  { operators, progress }: Shop,
  bundle: WindowBundle,
  report: WindowReport,
): Promise<void> {
  try {
    const found = await certify(operators, bundle, report.claims);
    if (!found) return;
    report.certified = found.certified;
    bundle.certificate = found.certificate;
    const { seals, validators } = found.certified;
    progress(
      "certified by the chain",
      `${seals} of ${validators.length} validators have sealed the state that holds the epoch: no endpoint is needed to verify`,
    );
  } catch (error) {
    progress("not certified by the chain", `${(error as Error).message}: to verify, ask the chain`);
  }
}

async function awaitDelivery(shop: Shop, id: Hex, deal: Deal): Promise<Delivery> {
  const { contracts, provider, progress, deployment, buyer } = shop;
  const { Escrow } = contracts;
  for (;;) {
    const status = await statusOf(contracts, id);
    const state = (status?.state ?? 0) & ~PASSED;
    if (state === STATE.delivered || state === STATE.released) {
      const events = (await Escrow.queryFilter(Escrow.filters.Delivered(id), 0)) as unknown as EventLog[];
      const args = events[events.length - 1]?.args;
      if (args) return deliveryFrom(args);
    }
    if (state === STATE.refunded)
      throw new Problem(`the deal was refunded to ${deal.buyer}: ${status?.refund ?? "no reason is known"}`);
    const newest = await provider.getBlock("latest");
    if (status && newest && state === STATE.funded && isClosed(status, deal.deliverSeconds, newest)) {
      try {
        const { functionName, args } = refundCall(deal, status);
        const data = Escrow.interface.encodeFunctionData(functionName, args);
        await new Sender(buyer.key, provider, deployment.chainId).transact({ to: deployment.addresses.Escrow, data });
        progress("refunded", "no deliverer delivered in time: the price is back");
        throw new Problem("no deliverer delivered in time: the price was refunded");
      } catch (error) {
        if (error instanceof Problem) throw error;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** What shows the escrow the fault of a delivery: calldata of `proveWrongKey` or `proveUnopenable`. */
export async function complaint(
  { contracts, operators }: Pick<Shop, "contracts" | "operators">,
  kept: KeptDeal,
  delivery: Delivery,
  stream: WindowBundle["stream"],
  fault: Fault,
): Promise<string> {
  const pack = await packOfFault(operators, stream, fault);
  const status = (await statusOf(contracts, kept.dealId)) as Status;
  const { functionName, args } = complaintCall(kept, status, delivery, fault, pack);
  return contracts.Escrow.interface.encodeFunctionData(functionName as never, args as never);
}

/** Shows the escrow the fault; it pays price and bond to the buyer. */
async function complain(
  shop: Shop,
  kept: KeptDeal,
  delivery: Delivery,
  bundle: WindowBundle,
  fault: Fault,
): Promise<void> {
  const { deployment, provider, buyer, progress } = shop;
  const data = await complaint(shop, kept, delivery, bundle.stream, fault);
  await new Sender(buyer.key, provider, deployment.chainId).transact({ to: deployment.addresses.Escrow, data });
  const { seq } = decodeCose(fromBase64(fault.cose)).header;
  if (fault.key) progress("pack proved not to open", `seq ${seq}: price and bond are the buyer's`);
  else progress("wrong key proved", `node ${fault.index} does not open seq ${seq}: price and bond are the buyer's`);
}
