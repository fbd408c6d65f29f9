import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Hex, streamOf, type StreamPreimage, type SubscriptionOffer, toHex } from "@msec/core";
import { type DevicePlan } from "../../apps/cli/src/city/devices.ts";
import { type Account } from "../../apps/cli/src/city/layout.ts";
import { driverOf, type TestCity } from "./city.ts";
import { funded, senderOf } from "./deal.ts";

/** What a deliverer of {@link subscriptionOffer} stakes on each batch. */
export const BATCH_BOND = 5_000n;
export const SLOT_PRICE = 100n;

/**
 * A device that measures now, in slots of a second: one second with four rows, two without, for longer than any test takes. Of any
 * four slots one is empty before the last that is not.
 */
export function livePlan(root: string): DevicePlan {
  const file = join(root, "live.csv");
  const start = Date.UTC(2024, 0, 1);
  const lines: string[] = [];
  for (let i = 0; i < 4 * 3600; i++)
    if (Math.floor(i / 4) % 3 === 0) lines.push(`${start + i * 250},${i},${(i % 97) / 10}`);
  writeFileSync(file, `time,row,value\n${lines.join("\n")}\n`);
  const driver = { ...driverOf(file, 1), recorded: false };
  return {
    name: "live",
    owner: "city",
    unitPrice: 10n,
    streams: [{ name: "live/air", mode: "open", slotSeconds: 1, driver }],
  };
}

/** An account with the bond of one batch. */
export async function staked(t: TestCity): Promise<Account> {
  const account = await funded(t);
  const { MSecToken, Subscription } = t.city.contracts;
  const { MSecToken: token, Subscription: to } = t.city.run.deployment.addresses;
  const sender = senderOf(t, account);
  const approve = MSecToken.interface.encodeFunctionData("approve", [to, BATCH_BOND]);
  await sender.transact({ to: token, data: approve });
  const data = Subscription.interface.encodeFunctionData("depositBond", [token, BATCH_BOND]);
  await sender.transact({ to, data });
  return account;
}

/** Publishes an offer of batches of four seconds, with times that a test can wait for. */
export async function subscriptionOffer(
  t: TestCity,
  preimage: StreamPreimage,
  streamId: Hex,
  deliverer: Hex,
): Promise<SubscriptionOffer> {
  const { contracts, people, run } = t.city;
  const { MSecToken: token, Subscription: to } = run.deployment.addresses;
  const offer: SubscriptionOffer = {
    streamId,
    seller: people.city.address,
    deliverer,
    fallbackDeliverer: `0x${"00".repeat(20)}`,
    token,
    slotPrice: SLOT_PRICE,
    feePerMille: 50,
    bond: BATCH_BOND,
    depth: 30,
    slotSeconds: 1,
    deliverSeconds: 45,
    complainSeconds: 20,
    silenceSeconds: 120,
    licence: toHex(new Uint8Array(randomBytes(32))),
  };
  const data = contracts.Subscription.interface.encodeFunctionData("publish", [streamOf(preimage), offer]);
  await senderOf(t, people.city).transact({ to, data });
  return offer;
}
