import { type Hex, type StreamPreimage } from "@msec/core";
import { batchesOf, stateOf } from "@msec/market";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type KeptSubscription, type StreamInfo } from "@msec/trade";
import { fetchBatches, subscribe } from "../../apps/cli/src/market/subscribe.ts";
import { TestCity, until } from "../support/city.ts";
import { livePlan, SLOT_PRICE, subscriptionOffer } from "../support/subscription.ts";

// A live stream whose deliverer is killed at every step of a batch.

const DEPOSIT = 100_000n;
let t: TestCity;
let kept: KeptSubscription;

beforeAll(async () => {
  t = await TestCity.up((root) => [livePlan(root)]);
  const stream = t.streamOf("live");
  const preimage: StreamPreimage = (
    await until("the stream is known", () => t.get<StreamInfo>(1, `/streams/${stream}`))
  ).preimage;
  const deliverer = t.city.people.deliverers[0]?.address as Hex;
  kept = await subscribe(t.shop(), await subscriptionOffer(t, preimage, stream, deliverer), DEPOSIT);
});

afterAll(async () => {
  await t?.stop();
});

test("the deliverer at each step of a batch: all batches are delivered once, in order, and open", async () => {
  const { contracts } = t.city;
  for (const step of ["batch", "delivering-batch", "sending-batch", "sent-batch"]) {
    const before = (await stateOf(contracts, kept.id)).next;
    await t.killAt("market-1", step);
    await until(
      `a batch is delivered after the death at ${step}`,
      async () => (await stateOf(contracts, kept.id)).next > before,
    );
  }
  const all = await batchesOf(contracts, kept.id);
  const { next, balance } = await stateOf(contracts, kept.id);
  const numbers = all.map((b) => b.number);
  expect(numbers.slice(0, next - kept.terms.fromBatch)).toEqual(
    Array.from({ length: next - kept.terms.fromBatch }, (_, i) => kept.terms.fromBatch + i),
  );
  expect(new Set(numbers).size).toBe(numbers.length);
  const paid = all
    .filter((b) => b.number < next)
    .reduce((sum, b) => sum + BigInt([...b.slots.toString(2)].filter((bit) => bit === "1").length), 0n);
  expect(balance).toBe(DEPOSIT - paid * SLOT_PRICE);
  const { batches, refuted } = await fetchBatches(t.shop(), kept);
  expect(refuted).toEqual([]);
  expect(batches.length).toBeGreaterThanOrEqual(4);
});
