import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ChainProvider, type Contracts, type Deployment, describeError, Sender } from "@msec/chain";
import {
  type BundlePack,
  buyerNodes,
  checkCertificate,
  contentOpens,
  cover,
  type Deal,
  DEAL_KEYS,
  type DealContext,
  dealId as idOfDeal,
  dealSecret,
  type Delivery,
  encodeBundle,
  escrowDomain,
  decodeBundle,
  fromBase64,
  fromHex,
  type Hex,
  holesHash,
  type KeyNode,
  keysTree,
  keyCommitment,
  leafNode,
  decodeCose,
  headerSlot,
  MODE,
  packAad,
  packKey,
  packOf,
  purposeHash,
  signTyped,
  slotTimes,
  type SlotRange,
  streamOf,
  toHex,
  type TreeNode,
  unmask,
  verify,
  type WindowBundle,
  type WindowReport,
  wrongKeyWitness,
  nodeCovering,
} from "@msec/core";
import { holesOf, isClosed, PASSED, STATE, statusOf } from "@msec/market";
import { writeJson } from "@msec/service";
import { Signature, Wallet, type EventLog } from "ethers";
import { RESEARCH } from "../city/consent.ts";
import { type Account } from "../city/layout.ts";
import { Problem } from "../problem.ts";
import { type Offer, termsOf } from "./offers.ts";
import { type Operators } from "./operators.ts";
import { downloadWindow } from "./window.ts";

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
const CERTIFICATE_MS = 15_000;

/** Erased ranges of a stream as the chain has them. */
export async function erasuresOf(contracts: Contracts, streamId: Hex): Promise<SlotRange[]> {
  const { ConsentRegistry } = contracts;
  const count = Number(await ConsentRegistry.erasures(streamId));
  const out: SlotRange[] = [];
  for (let number = 1; number <= count; number++) {
    const erasure = await ConsentRegistry.erasureAt(streamId, number);
    out.push([Number(erasure.fromSlot), Number(erasure.toSlot)]);
  }
  return out;
}

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
  if (!offer.open) throw new Problem(`the offer ${offer.offerId} is closed`);
  if (!(await contracts.ConsentRegistry.authorised(offer.streamId, purpose, buyer.address)))
    throw new Problem(
      `nobody consents to this purpose for ${buyer.address}: it was not granted, has expired, was withdrawn, or the stream is erased; name a purpose that its owner grants with --purpose`,
    );
  const info = await operators.stream(offer.streamId);
  const stream = info.preimage;
  const erasures = await erasuresOf(contracts, offer.streamId);
  const holes = holesOf(erasures, fromSlot, toSlot);
  const bundle = await downloadWindow(operators, deployment, info, offer.streamId, { fromSlot, toSlot, holes });
  const before = verify(bundle, { withoutKeys: true }) as WindowReport;
  progress(
    "checked before paying",
    `${before.packs} packs complete and in line, ${before.emptySlots} empty slots, ${before.gaps} gaps, ${before.erased} erased; signed by the device, anchored in epoch ${before.epoch.number} by ${before.signers.length} operators`,
  );
  progress("complaints", await complaintsOf(shop, offer));
  const secret = await secretOf(shop, offer.streamId, fromSlot, toSlot, holes, bundle.window.asOfEpoch);
  const places = cover(fromSlot, toSlot, holes);
  const nodes = buyerNodes(secret.secret, places);
  const units = stream.mode === MODE.sealed ? before.packs : before.records;
  const price = offer.unitPrice * BigInt(units);
  const deal: Deal = {
    anchor: deployment.addresses.DataAnchor,
    streamId: offer.streamId,
    buyer: buyer.address,
    seller: offer.seller,
    deliverer: offer.deliverer,
    fallbackDeliverer: offer.fallbackDeliverer,
    token: offer.token,
    price,
    fee: (price * offer.feePerMille) / 1000n,
    bond: offer.bond,
    asOfEpoch: bundle.window.asOfEpoch,
    packs: before.packs,
    readings: before.records,
    endMs: stream.mode === MODE.dataset ? 0 : slotTimes(toSlot, stream.slotSeconds).toMs,
    fromSlot,
    toSlot,
    holesHash: holesHash(holes),
    nodes: nodes.length,
    keysRoot: toHex(keysTree(nodes).root),
    purpose,
    erasures: erasures.length,
    deliverSeconds: offer.deliverSeconds,
    complainSeconds: offer.complainSeconds,
    nonce: secret.nonce,
  };
  const id = idOfDeal(deal);
  const tx = await pay(shop, offer, deal, nodes, bundle, secret.secret);
  progress(
    "bought",
    `${before.packs} packs, ${before.records} records for ${price} units, ${nodes.length} key nodes, in one transaction ${tx}`,
  );
  return finish(shop, id, deal, nodes, secret.secret, bundle, tx);
}

/**
 * Whether anybody could judge a complaint about quality. The panel that counts is one of the time between the deal less its
 * deliverSeconds and the deal, so both ends are asked.
 */
async function complaintsOf({ contracts, provider, buyer }: Shop, offer: Offer): Promise<string> {
  const now = ((await provider.getBlock("latest"))?.timestamp ?? 0) * 1000;
  const parties: [Hex, Hex, Hex, Hex] = [buyer.address, offer.seller, offer.deliverer, offer.fallbackDeliverer];
  const times = [Math.max(0, now - offer.deliverSeconds * 1000), now];
  const judges = await Promise.all(times.map((at) => contracts.Arbitration.judgesFor(parties, at)));
  const least = judges.reduce((a, b) => (a < b ? a : b));
  return least < 3n
    ? "no panel of three organisations outside this deal: only wrong keys and packs that do not open can be complained of"
    : `${least} organisations outside this deal would judge a complaint about quality`;
}

/** EIP-2612: lets a contract take an amount of the buyer's tokens, in the transaction that uses it. */
export async function permitFor({ contracts, deployment, provider, buyer }: Shop, spender: Hex, value: bigint) {
  const { MSecToken } = contracts;
  const balance = await MSecToken.balanceOf(buyer.address);
  if (balance < value) throw new Problem(`the price is ${value} units, the account ${buyer.address} holds ${balance}`);
  const deadline = ((await provider.getBlock("latest"))?.timestamp ?? 0) + DAY_SECONDS;
  const permit = await new Wallet(buyer.key).signTypedData(
    { name: "M-Sec", version: "1", chainId: deployment.chainId, verifyingContract: deployment.addresses.MSecToken },
    {
      Permit: [
        { name: "owner", type: "address" },
        { name: "spender", type: "address" },
        { name: "value", type: "uint256" },
        { name: "nonce", type: "uint256" },
        { name: "deadline", type: "uint256" },
      ],
    },
    { owner: buyer.address, spender, value, nonce: await MSecToken.nonces(buyer.address), deadline },
  );
  const { v, r, s } = Signature.from(permit);
  return { value, deadline, v, r, s };
}

/** Keeps what is needed to go on after a crash, then sends the one transaction. */
async function pay(
  shop: Shop,
  offer: Offer,
  deal: Deal,
  nodes: KeyNode[],
  bundle: WindowBundle,
  secret: Uint8Array,
): Promise<Hex> {
  const { contracts, deployment, provider, buyer, purchases } = shop;
  const { Marketplace } = contracts;
  const sender = new Sender(buyer.key, provider, deployment.chainId);
  const data = Marketplace.interface.encodeFunctionData("buy", [
    termsOf(offer),
    streamOf(bundle.stream),
    deal,
    nodes,
    await permitFor(shop, deployment.addresses.Marketplace, deal.price),
  ]);
  const to = deployment.addresses.Marketplace;
  try {
    await provider.call({ from: buyer.address, to, data });
  } catch (error) {
    throw new Problem(`the marketplace refuses the purchase: ${describeError(error)}`);
  }
  const signed = await sender.sign({ to, data }, await sender.nonce());
  const id = idOfDeal(deal);
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
  return finish(shop, id, deal, nodes, fromHex(draft.secret), bundle, draft.tx);
}

async function secretOf(
  shop: Shop,
  streamId: Hex,
  fromSlot: number,
  toSlot: number,
  holes: SlotRange[],
  asOfEpoch: number,
): Promise<{ secret: Uint8Array; nonce: Hex }> {
  const { deployment, buyer } = shop;
  const nonce = toHex(new Uint8Array(randomBytes(32)));
  const escrow = deployment.addresses.Escrow;
  const message = { escrow, streamId, fromSlot, toSlot, holesHash: holesHash(holes), asOfEpoch, nonce };
  const sign = () => signTyped(fromHex(buyer.key), escrowDomain(deployment.chainId, escrow), DEAL_KEYS, message);
  const [first, second] = [sign(), sign()];
  // A wallet that does not sign deterministically could not make the same keys again: then they are random and kept.
  const secret = first === second ? dealSecret(first) : new Uint8Array(randomBytes(32));
  return { secret, nonce };
}

/** Waits for the keys, verifies, and complains with proof where a key is wrong. */
async function finish(
  shop: Shop,
  id: Hex,
  deal: Deal,
  nodes: KeyNode[],
  secret: Uint8Array,
  draft: WindowBundle,
  tx: Hex,
): Promise<Purchase> {
  const { deployment, provider, progress, purchases } = shop;
  const started = Date.now();
  const delivery = await awaitDelivery(shop, id, deal);
  const escrow = deployment.addresses.Escrow;
  const context: DealContext = { chainId: deployment.chainId, escrow, dealId: id };
  const keys = unmask(context, secret, nodes, delivery);
  const fault = faultOf(draft, keys);
  if (fault) {
    await complain(shop, id, deal, nodes, secret, delivery, draft, fault);
    const what = fault.key ? "a pack does not open under its own key" : "a key was wrong";
    throw new Problem(`${what}: the escrow has found so itself and paid price and bond to ${deal.buyer}`);
  }
  progress("keys delivered", `${keys.length} key nodes, every one opens what the device committed to`);
  const bundle: WindowBundle = {
    ...draft,
    nodes: keys.map(({ depth, firstSlot, key }) => ({ depth, firstSlot, key: toHex(key) })),
    deal: { ...deal, escrow },
  };
  const report = verify(bundle) as WindowReport;
  await certify(shop, bundle, report);
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

/**
 * Adds the chain's own certificate of the epoch that proves the window, and of the one that its end is judged by. Operators
 * take it within seconds of the epoch; without it the data is no less proved, and the chain must be asked.
 */
async function certify({ operators, progress }: Shop, bundle: WindowBundle, report: WindowReport): Promise<void> {
  const { end, anchoring } = bundle;
  const { claims } = report;
  const { deviceId, keyEpoch } = claims.deviceKey;
  const epochs = [...new Set([anchoring.epoch.number, ...(end.kind === "head" ? [end.epoch.number] : [])])];
  try {
    for (const until = Date.now() + CERTIFICATE_MS; ; await new Promise((done) => setTimeout(done, 500))) {
      const certificate = await operators.certificate(epochs, { deviceId, keyEpoch });
      if (certificate === null) return;
      const complete = certificate.epochs.length === epochs.length;
      if (!(complete && certificate.device) && Date.now() < until) continue;
      if (!complete) throw new Problem(`no operator has it within ${CERTIFICATE_MS / 1000} s`);
      report.certified = checkCertificate(certificate, claims);
      bundle.certificate = certificate;
      const { seals, validators } = report.certified;
      return progress(
        "certified by the chain",
        `${seals} of ${validators.length} validators have sealed the state that holds the epoch: no endpoint is needed to verify`,
      );
    }
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
      if (args) return { E: { x: BigInt(args.Ex as bigint), v: Number(args.vE) }, masked: [...(args.masked as Hex[])] };
    }
    if (state === STATE.refunded)
      throw new Problem(`the deal was refunded to ${deal.buyer}: ${status?.refund ?? "no reason is known"}`);
    const newest = await provider.getBlock("latest");
    if (status && newest && state === STATE.funded && isClosed(status, deal.deliverSeconds, newest)) {
      try {
        const data = Escrow.interface.encodeFunctionData("refund", [deal, status]);
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

/** A pack that shows a delivery to be bad: by a key that does not fit it, or by a content that its own key does not open. */
export interface Fault {
  /** Of the cover node above it. */
  index: number;
  cose: string;
  /** The pack's own key, where that is right and the content is not. */
  key?: Uint8Array;
  content?: Uint8Array;
}

/** The first pack that the delivered keys do not fit, or do not open. */
export function faultOf(
  bundle: { stream: WindowBundle["stream"]; packs: Pick<BundlePack, "cose" | "content">[] },
  keys: readonly TreeNode[],
): Fault | undefined {
  for (const pack of bundle.packs) {
    if (pack.content === null) continue;
    const { header } = decodeCose(fromBase64(pack.cose));
    const slot = headerSlot(bundle.stream, header);
    const node = nodeCovering(keys, slot) as TreeNode;
    const aad = packAad(header.streamId, header.keyEpoch, header.seq);
    const key = packKey(leafNode([node], slot), aad);
    const fault = { index: keys.indexOf(node), cose: pack.cose };
    if (toHex(keyCommitment(key)) !== header.keyCommitment) return fault;
    const content = fromBase64(pack.content);
    if (!contentOpens(key, aad, content)) return { ...fault, key, content };
  }
  return undefined;
}

/** What shows the escrow the fault of a delivery: calldata of `proveWrongKey` or `proveUnopenable`. */
export async function complaint(
  shop: Pick<Shop, "contracts" | "operators">,
  id: Hex,
  deal: Deal,
  nodes: KeyNode[],
  secret: Uint8Array,
  delivery: Delivery,
  stream: WindowBundle["stream"],
  fault: Fault,
): Promise<string> {
  const { contracts, operators } = shop;
  const signed = decodeCose(fromBase64(fault.cose));
  const [pack] = await operators.packs([signed.headerDigest]);
  if (!pack?.anchoring)
    throw new Problem(
      "a key is wrong or a pack does not open, and no operator shows where the pack is anchored: try again before the complaint window closes",
    );
  const status = (await statusOf(contracts, id)) as never;
  const { index, key, content } = fault;
  const claim = {
    index,
    node: nodes[index] as KeyNode,
    nodeProof: keysTree(nodes).proof(index).map(toHex),
    pack: packOf(stream, signed),
    packProof: pack.anchoring.path,
    epoch: pack.anchoring.epoch,
  };
  const escrow = contracts.Escrow.interface;
  if (key && content)
    return escrow.encodeFunctionData("proveUnopenable", [deal, status, { ...claim, packKey: key, content }]);
  const { b, S } = wrongKeyWitness(secret, index, delivery);
  return escrow.encodeFunctionData("proveWrongKey", [
    deal,
    status,
    { Ex: delivery.E.x, vE: delivery.E.v, masked: delivery.masked },
    { ...claim, b, Sx: S.x, Sy: S.y },
  ]);
}

/** Shows the escrow the fault; it pays price and bond to the buyer. */
async function complain(
  shop: Shop,
  id: Hex,
  deal: Deal,
  nodes: KeyNode[],
  secret: Uint8Array,
  delivery: Delivery,
  bundle: WindowBundle,
  fault: Fault,
): Promise<void> {
  const { deployment, provider, buyer, progress } = shop;
  const data = await complaint(shop, id, deal, nodes, secret, delivery, bundle.stream, fault);
  await new Sender(buyer.key, provider, deployment.chainId).transact({ to: deployment.addresses.Escrow, data });
  const { seq } = decodeCose(fromBase64(fault.cose)).header;
  if (fault.key) progress("pack proved not to open", `seq ${seq}: price and bond are the buyer's`);
  else progress("wrong key proved", `node ${fault.index} does not open seq ${seq}: price and bond are the buyer's`);
}
