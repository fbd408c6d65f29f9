import { randomBytes } from "node:crypto";
import { join } from "node:path";
import {
  batchContext,
  batchNode,
  batchSlots,
  batchStartMs,
  decodeCose,
  deliver,
  fromBase64,
  type Hex,
  packOf,
  slotBits,
  streamOf,
  type StreamPreimage,
  type TreeNode,
} from "@msec/core";
import { batchesOf, deliverArguments, stateOf } from "@msec/market";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Account } from "../../apps/cli/src/city/layout.ts";
import { type Batch, type KeptSubscription, PHASE, type StreamInfo } from "@msec/trade";
import { fetchBatches, subscribe, withdraw } from "../../apps/cli/src/market/subscribe.ts";
import { keysOf } from "../support/anchored.ts";
import { msec, TestCity, until } from "../support/city.ts";
import { senderOf } from "../support/deal.ts";
import { BATCH_BOND, livePlan, SLOT_PRICE, staked, subscriptionOffer } from "../support/subscription.ts";

// A live stream with an empty slot now and then, subscribed to three times: from an honest deliverer's process, and from
// one deliverer who lies about keys and one who lies about slots.

const DEPOSIT = 100_000n;

let t: TestCity;
let stream: Hex;
let preimage: StreamPreimage;
let honest: KeptSubscription;
let wrongKey: KeptSubscription;
let overclaim: KeptSubscription;
let liar: Account;
let greedy: Account;

const to = () => t.city.run.deployment.addresses.Subscription;
const token = () => t.city.run.deployment.addresses.MSecToken;
const credit = (who: Hex) => t.city.contracts.Subscription.creditOf(who, token());
const bond = (who: Hex) => t.city.contracts.Subscription.bondOf(who, token());

beforeAll(async () => {
  t = await TestCity.up((root) => [livePlan(root)]);
  stream = t.streamOf("live");
  preimage = (await until("the stream is known", () => t.get<StreamInfo>(1, `/streams/${stream}`))).preimage;
  [liar, greedy] = [await staked(t), await staked(t)];
  const deliverer = t.city.people.deliverers[0]?.address as Hex;
  honest = await subscribe(t.shop(), await subscriptionOffer(t, preimage, stream, deliverer), DEPOSIT);
  wrongKey = await subscribe(t.shop(), await subscriptionOffer(t, preimage, stream, liar.address), DEPOSIT);
  overclaim = await subscribe(t.shop(), await subscriptionOffer(t, preimage, stream, greedy.address), DEPOSIT);
});

afterAll(async () => {
  await t?.stop();
});

/** Delivers the first batch by hand, once the stream has gone on past it: with this key, claiming these slots. */
async function deliverBy(
  account: Account,
  { id, terms }: KeptSubscription,
  make: (right: TreeNode, held: number[], slots: number[]) => { key: TreeNode; slots: number[] },
): Promise<Batch> {
  const number = terms.fromBatch;
  const [from, last] = batchSlots(terms, number);
  const { operators } = t.shop();
  const page = await until("the stream has gone on past the batch", async () => {
    const seen = await operators.window(stream, from, last);
    return seen.packs.length > 0 && seen.after !== null && seen;
  });
  const newest = page.packs[page.packs.length - 1] as { headerDigest: Hex; slot: number };
  const [pack] = await operators.packs([newest.headerDigest]);
  const anchoring = pack?.anchoring as NonNullable<NonNullable<typeof pack>["anchoring"]>;
  const [right] = await keysOf(t, 1, stream, from, last);
  const all = Array.from({ length: newest.slot - from + 1 }, (_, i) => from + i);
  const { key, slots } = make(
    right as TreeNode,
    page.packs.map((p) => p.slot),
    all,
  );
  const context = batchContext(t.city.run.deployment.chainId, to(), id, number);
  const made = deliver(context, new Uint8Array(randomBytes(32)), [batchNode(terms, number)], [key]);
  const [keys, shown] = deliverArguments({
    number,
    slots: slotBits(terms, number, slots),
    E: made.E,
    masked: made.masked[0] as Hex,
    last: {
      pack: packOf(preimage, decodeCose(fromBase64((pack as { cose: string }).cose))),
      proof: anchoring.path,
      epoch: anchoring.epoch,
    },
  });
  const data = t.city.contracts.Subscription.interface.encodeFunctionData("deliver", [terms, keys, shown] as never);
  await senderOf(t, account).transact({ to: to(), data });
  return (await batchesOf(t.city.contracts, id, number))[0] as Batch;
}

describe("a subscription to a live stream", () => {
  test("a wrong key ends it, by the buyer's proof: price, bond and the rest are the buyer's", async () => {
    const before = await credit(t.city.people.buyer.address);
    await deliverBy(liar, wrongKey, (right, held) => ({
      key: { ...right, key: new Uint8Array(randomBytes(32)) },
      slots: held,
    }));
    expect(await bond(liar.address)).toBe(0n);
    const told: string[] = [];
    const { batches, refuted } = await fetchBatches(t.shop(told), wrongKey);
    expect(batches).toEqual([]);
    expect(refuted).toEqual([{ number: wrongKey.terms.fromBatch, fault: "the key is wrong" }]);
    expect(told.join("\n")).toMatch(/the key is wrong: proved/);
    expect((await stateOf(t.city.contracts, wrongKey.id)).phase).toBe(PHASE.ended);
    expect(await credit(t.city.people.buyer.address)).toBe(before + DEPOSIT + BATCH_BOND);
  });

  test("a slot that holds nothing can't be charged for: shown by the packs on either side of it", async () => {
    const before = await credit(t.city.people.buyer.address);
    let claimed = 0;
    await deliverBy(greedy, overclaim, (right, held, all) => {
      expect(new Set(held).size).toBeLessThan(all.length);
      claimed = all.length;
      return { key: right, slots: all };
    });
    expect((await stateOf(t.city.contracts, overclaim.id)).balance).toBe(DEPOSIT - BigInt(claimed) * SLOT_PRICE);
    const { refuted } = await fetchBatches(t.shop(), overclaim);
    expect(refuted[0]?.fault).toMatch(/^slot \d+ is paid and holds nothing$/);
    expect((await stateOf(t.city.contracts, overclaim.id)).phase).toBe(PHASE.ended);
    expect(await credit(t.city.people.buyer.address)).toBe(before + DEPOSIT + BATCH_BOND);
  });

  test("batches come by themselves, open, are complete, cost what they hold, and are settled unless complained of", async () => {
    const { contracts, people } = t.city;
    const first = await until("two batches are delivered", async () => {
      const all = await batchesOf(contracts, honest.id);
      return all.length >= 2 && all;
    });
    expect(first.map((b) => b.number)).toEqual(first.map((_, i) => honest.terms.fromBatch + i));
    for (const b of first) expect(b.at).toBeGreaterThanOrEqual(batchStartMs(honest.terms, b.number + 1));
    const fetched = await msec(["subscription", "fetch", honest.id, "--dir", t.root, "--json"]);
    expect(fetched.code, fetched.out).toBe(0);
    const { batches, refuted } = JSON.parse(fetched.out) as {
      batches: { number: number; slots: number; packs: number; folder: string }[];
      refuted: unknown[];
    };
    expect(refuted).toEqual([]);
    expect(batches.length).toBeGreaterThanOrEqual(2);
    for (const b of batches) {
      expect(b.slots).toBeGreaterThan(0);
      expect(b.packs).toBeGreaterThanOrEqual(b.slots);
      const proved = await msec(["verify", join(b.folder, "proof.json"), "--offline"]);
      expect(proved.code, proved.out).toBe(0);
    }
    expect(Math.max(...batches.map((b) => b.slots)), "an empty slot costs nothing").toBeLessThan(4);

    const one = batches[0] as { number: number; slots: number };
    await until(
      "the first batch is settled",
      async () => BigInt(await contracts.Subscription.batchWord(honest.id, one.number)) === 0n,
    );
    const price = BigInt(one.slots) * SLOT_PRICE;
    expect(await credit(people.city.address)).toBeGreaterThanOrEqual(price - (price * 50n) / 1000n);

    const ended = await msec(["subscription", "end", honest.id, "--dir", t.root, "--json"]);
    expect(ended.code, ended.out).toBe(0);
    expect((JSON.parse(ended.out) as { phase: string }).phase).toMatch(/^(ending|ended)$/);
    // What was over is delivered or its time runs out; then the deliverer ends it, and all of the rest is the buyer's.
    await until("it has ended", async () => (await stateOf(contracts, honest.id)).phase === PHASE.ended);
    const paid = (await batchesOf(contracts, honest.id)).reduce(
      (sum, b) => sum + BigInt([...b.slots.toString(2)].filter((bit) => bit === "1").length),
      0n,
    );
    const balance = await t.city.contracts.MSecToken.balanceOf(people.buyer.address);
    const out = await withdraw(t.shop(), token());
    expect(await t.city.contracts.MSecToken.balanceOf(people.buyer.address)).toBe(balance + out);
    expect((await stateOf(contracts, honest.id)).balance).toBe(0n);
    const [event] = await contracts.Subscription.queryFilter(contracts.Subscription.filters.Ended(honest.id), 0);
    const [ending] = await contracts.Subscription.queryFilter(contracts.Subscription.filters.Ending(honest.id), 0);
    expect((event?.args.toBuyer ?? 0n) + (ending?.args.toBuyer ?? 0n) + paid * SLOT_PRICE).toBe(DEPOSIT);
  });

  test("consent withdrawn: the deliverer ends it without showing a key, and the deposit is the buyer's", async () => {
    const { contracts, people } = t.city;
    const deliverer = people.deliverers[0]?.address as Hex;
    const kept = await subscribe(t.shop(), await subscriptionOffer(t, preimage, stream, deliverer), DEPOSIT);
    const { ConsentRegistry } = t.city.run.deployment.addresses;
    const data = contracts.ConsentRegistry.interface.encodeFunctionData("revokeAll", [streamOf(preimage)]);
    await senderOf(t, people.city).transact({ to: ConsentRegistry, data });
    await until("it has ended", async () => (await stateOf(contracts, kept.id)).phase === PHASE.ended);
    expect(await batchesOf(contracts, kept.id)).toEqual([]);
    const [event] = await contracts.Subscription.queryFilter(contracts.Subscription.filters.Ended(kept.id), 0);
    expect([Number(event?.args.reason), event?.args.toBuyer]).toEqual([3, DEPOSIT]);
    const tx = await t.city.provider.getTransaction(event?.transactionHash as string);
    expect(contracts.Subscription.interface.parseTransaction(tx as never)?.name).toBe("end");
  });
});
