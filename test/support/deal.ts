import { randomBytes } from "node:crypto";
import { describeError, Sender } from "@msec/chain";
import {
  addressOfKey,
  buyerNodes,
  cover,
  type Deal,
  dealId,
  deliver,
  type Delivery,
  type Hex,
  holesHash,
  type KeyNode,
  keysTree,
  type NodePlace,
  purposeHash,
  slotTimes,
  type StreamPreimage,
  streamOf,
  toHex,
  type TreeNode,
  ZERO_ADDRESS,
} from "@msec/core";
import { statusOf } from "@msec/market";
import { type Offer, termsOf } from "@msec/trade";
import { RESEARCH } from "../../apps/cli/src/city/consent.ts";
import { type Account } from "../../apps/cli/src/city/layout.ts";
import { listOffers } from "../../apps/cli/src/market/offers.ts";
import { type TestCity, until } from "./city.ts";

export function newAccount(): Account {
  const key = new Uint8Array(randomBytes(32));
  return { key: toHex(key), address: addressOfKey(key) };
}

export const senderOf = (t: TestCity, account: Account) =>
  new Sender(account.key, t.city.provider, t.city.run.deployment.chainId);

/** Calls a contract as somebody. Resolves to the contract's refusal, or undefined where it would take the call. */
export async function refusal(t: TestCity, from: Hex, to: Hex, data: string): Promise<string | undefined> {
  try {
    await t.city.provider.call({ from, to, data });
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

/** An account with tokens of the buyer's, and a bond where it is to deliver. */
export async function funded(t: TestCity, bond = 0n): Promise<Account> {
  const account = newAccount();
  const { Escrow, MSecToken } = t.city.contracts;
  const { Escrow: escrow, MSecToken: token } = t.city.run.deployment.addresses;
  const give = MSecToken.interface.encodeFunctionData("transfer", [account.address, 1_000_000n]);
  await senderOf(t, t.city.people.buyer).transact({ to: token, data: give });
  if (bond > 0n) {
    const sender = senderOf(t, account);
    await sender.transact({ to: token, data: MSecToken.interface.encodeFunctionData("approve", [escrow, bond]) });
    await sender.transact({ to: escrow, data: Escrow.interface.encodeFunctionData("depositBond", [token, bond]) });
  }
  return account;
}

/** Waits until a deal with so much time to deliver is judged by the city's panel: one from before it could be bought. */
export function panelKnown(t: TestCity, deliverSeconds: number): Promise<unknown> {
  const { contracts, provider } = t.city;
  const nobody: [Hex, Hex, Hex, Hex] = [ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS];
  return until(
    "the panel is old enough",
    async () => {
      const now = ((await provider.getBlock("latest"))?.timestamp ?? 0) * 1000;
      return (await contracts.Arbitration.judgesFor(nobody, now - deliverSeconds * 1000)) > 0n;
    },
    2_000 * deliverSeconds,
  );
}

/** Publishes an offer of a stream with terms of the test's own. */
export async function offerOf(
  t: TestCity,
  preimage: StreamPreimage,
  streamId: Hex,
  terms: { deliverer: Hex; fallbackDeliverer?: Hex; deliverSeconds: number; complainSeconds: number; bond?: bigint },
): Promise<Offer> {
  const { contracts, run, people } = t.city;
  const given = {
    fallbackDeliverer: `0x${"00".repeat(20)}` as Hex,
    bond: 5_000n,
    ...terms,
    token: run.deployment.addresses.MSecToken,
    unitPrice: 10n,
    feePerMille: 50,
    fromSlot: 0,
    toSlot: 0xffffffff,
    terms: toHex(new Uint8Array(randomBytes(32))),
  };
  const data = contracts.Marketplace.interface.encodeFunctionData("publish", [streamOf(preimage), given]);
  await senderOf(t, people.city).transact({ to: run.deployment.addresses.Marketplace, data });
  const id = await contracts.Marketplace.offerIdOf(streamId, given);
  return (await listOffers(contracts)).find((o) => o.offerId === id) as Offer;
}

export interface OpenDeal {
  id: Hex;
  deal: Deal;
  nodes: KeyNode[];
  secret: Uint8Array;
}

/** Pays for a deal, with whatever a test wants to be wrong in it. */
export async function openDeal(
  t: TestCity,
  offer: Offer,
  preimage: StreamPreimage,
  window: { fromSlot: number; toSlot: number; packs: number; readings: number; asOfEpoch: number },
  change: { deal?: Partial<Deal>; places?: NodePlace[] } = {},
): Promise<OpenDeal> {
  const { contracts, run, people } = t.city;
  const { addresses } = run.deployment;
  const { fromSlot, toSlot } = window;
  const secret = new Uint8Array(randomBytes(32));
  const nodes = buyerNodes(secret, change.places ?? cover(fromSlot, toSlot));
  const readings = change.deal?.readings ?? window.readings;
  const price = offer.unitPrice * BigInt(readings);
  const deal: Deal = {
    anchor: addresses.DataAnchor,
    streamId: offer.streamId,
    buyer: people.buyer.address,
    seller: offer.seller,
    deliverer: offer.deliverer,
    fallbackDeliverer: offer.fallbackDeliverer,
    token: offer.token,
    price,
    fee: (price * BigInt(offer.feePerMille)) / 1000n,
    bond: offer.bond,
    ...window,
    endMs: slotTimes(toSlot, preimage.slotSeconds).toMs,
    holesHash: holesHash([]),
    nodes: nodes.length,
    keysRoot: toHex(keysTree(nodes).root),
    purpose: purposeHash(RESEARCH),
    erasures: Number(await contracts.ConsentRegistry.erasures(offer.streamId)),
    deliverSeconds: offer.deliverSeconds,
    complainSeconds: offer.complainSeconds,
    nonce: toHex(new Uint8Array(randomBytes(32))),
    ...change.deal,
  };
  const sender = senderOf(t, people.buyer);
  const approve = contracts.MSecToken.interface.encodeFunctionData("approve", [addresses.Marketplace, price]);
  await sender.transact({ to: addresses.MSecToken, data: approve });
  const data = contracts.Marketplace.interface.encodeFunctionData("buy", [
    termsOf(offer),
    streamOf(preimage),
    deal,
    nodes,
    { value: 0, deadline: 0, v: 27, r: toHex(new Uint8Array(32)), s: toHex(new Uint8Array(32)) },
  ]);
  await sender.transact({ to: addresses.Marketplace, data });
  return { id: dealId(deal), deal, nodes, secret };
}

/** Masks keys for a deal's buyer, right ones or not. */
export function delivery(t: TestCity, open: Pick<OpenDeal, "id" | "nodes">, keys: readonly TreeNode[]): Delivery {
  const { chainId, addresses } = t.city.run.deployment;
  return deliver(
    { chainId, escrow: addresses.Escrow, dealId: open.id },
    new Uint8Array(randomBytes(32)),
    open.nodes,
    keys,
  );
}

export async function deliverCall(
  t: TestCity,
  { id, deal }: Pick<OpenDeal, "id" | "deal">,
  made: Delivery,
): Promise<string> {
  const status = await statusOf(t.city.contracts, id);
  const { E, masked } = made;
  return t.city.contracts.Escrow.interface.encodeFunctionData("deliver", [deal, status as never, E.x, E.v, masked]);
}

/** Calldata of `release` or `refund` at the deal's newest status. */
export async function endCall(t: TestCity, { id, deal }: Pick<OpenDeal, "id" | "deal">, how: "release" | "refund") {
  const status = await statusOf(t.city.contracts, id);
  return t.city.contracts.Escrow.interface.encodeFunctionData(how as "release", [deal, status as never]);
}
