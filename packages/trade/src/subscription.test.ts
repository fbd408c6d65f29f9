import {
  batchContext,
  batchNode,
  batchSlots,
  cover,
  dealSecret,
  decodeCose,
  deliver,
  derive,
  fromHex,
  type Hex,
  signTyped,
  slotBits,
  SUBSCRIPTION_KEYS,
  subscriptionDomain,
  subscriptionId,
  type SubscriptionOffer,
  type TreeNode,
} from "@msec/core";
import { Interface } from "ethers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { artifact } from "../../chain/src/artifacts.ts";
import { anchorAll, committee, TestStream } from "../../core/test/city.ts";
import { answerOf, DEPLOYED, type listen, serveOperator } from "../test/operator.ts";
import { wallet } from "../test/wallet.ts";
import { Operators, type StreamInfo } from "./operators.ts";
import { NO_PERMIT } from "./permit.ts";
import {
  costOfBatch,
  faultOfBatch,
  keysOfBatch,
  type KeptSubscription,
  openBatch,
  planSubscription,
  subscribeCall,
} from "./subscription.ts";
import { type Batch, termsFrom } from "./subscription-state.ts";

const SLOT = 29_000_000;
const KEY: Hex = `0x${"4b".repeat(32)}`;
const buyer = wallet(KEY);
const account = (byte: string): Hex => `0x${byte.repeat(20)}`;
/** The second slot of the batch is empty. */
const stream = new TestStream().fill(SLOT, 10, [1]);
const abi = new Interface(artifact("contracts/market/Subscription.sol").abi);
const NUMBER = SLOT / 4;
const NOW = SLOT * 60_000 - 10_000;

const offer: SubscriptionOffer = {
  streamId: stream.id,
  seller: account("5e"),
  deliverer: account("d1"),
  fallbackDeliverer: account("d2"),
  token: DEPLOYED.addresses.MSecToken,
  slotPrice: 100n,
  feePerMille: 50,
  bond: 5n,
  depth: 30,
  slotSeconds: 60,
  deliverSeconds: 60,
  complainSeconds: 60,
  silenceSeconds: 3600,
  licence: `0x${"77".repeat(32)}`,
};
const subscriber = { buyer: buyer.address, purpose: offer.licence, erasures: 0, nowMs: NOW, sign: buyer.sign };

let served: Awaited<ReturnType<typeof listen>>;
let operators: Operators;
let info: StreamInfo;
let kept: KeptSubscription;

beforeAll(async () => {
  served = await serveOperator(answerOf(stream, anchorAll(stream, committee())));
  operators = new Operators([served.url]);
  info = await operators.stream(stream.id);
  kept = await planSubscription(DEPLOYED, offer, info, subscriber);
});
afterAll(() => served.server.close());

/** The batch as it is delivered with this key, claiming these slots. */
function delivered(slots: number[], change: (key: Uint8Array) => Uint8Array = (key) => key): Batch {
  const node = batchNode(kept.terms, NUMBER);
  const [right] = derive(stream.frontier, cover(...batchSlots(offer, NUMBER))) as [TreeNode];
  const context = batchContext(DEPLOYED.chainId, DEPLOYED.addresses.Subscription, kept.id, NUMBER);
  const key = { ...right, key: change(right.key) };
  const { E, masked } = deliver(context, new Uint8Array(32).fill(9), [node], [key]);
  const bits = slotBits(offer, NUMBER, slots);
  const at = { by: account("d1"), at: NOW, atBlock: 5, asOfEpoch: 1 };
  return { number: NUMBER, ...at, slots: bits, Ex: E.x, vE: E.v, masked: masked[0] as Hex };
}
const fault = (batch: Batch) => faultOfBatch(operators, kept, batch, info, keysOfBatch(DEPLOYED, kept, batch));

describe("a planned subscription", () => {
  test("starts with the next batch, under a secret that the wallet can make again", () => {
    const { terms, id, secret } = kept;
    expect(terms).toMatchObject({ ...offer, fromBatch: NUMBER, buyer: buyer.address });
    expect(id).toBe(subscriptionId(terms));
    const { Subscription: subscription } = DEPLOYED.addresses;
    const message = { subscription, streamId: stream.id, nonce: terms.nonce };
    const domain = subscriptionDomain(DEPLOYED.chainId, subscription);
    expect(secret).toEqual(dealSecret(signTyped(fromHex(KEY), domain, SUBSCRIPTION_KEYS, message)));
  });

  test("leaves time for its transaction to be in a block", async () => {
    const late = { ...subscriber, nowMs: SLOT * 60_000 - 1000 };
    expect((await planSubscription(DEPLOYED, offer, info, late)).terms.fromBatch).toBe(NUMBER + 1);
  });

  test("is refused of recorded data, of a data set, and of another stream", async () => {
    const plan = (change: Partial<StreamInfo>, nowMs = NOW) =>
      planSubscription(DEPLOYED, offer, { ...info, ...change }, { ...subscriber, nowMs });
    await expect(plan({}, NOW + 7_200_000)).rejects.toMatchObject({ name: "TradeError", code: "not-yet" });
    const { preimage } = new TestStream(2);
    await expect(plan({ preimage })).rejects.toThrow(/another stream/);
    const set = new TestStream(2);
    await expect(
      planSubscription(DEPLOYED, { ...offer, streamId: set.id }, { ...info, preimage: set.preimage }, subscriber),
    ).rejects.toMatchObject({ code: "wrong-mode" });
  });

  test("is paid by the contract's own interface", () => {
    const { functionName, args } = subscribeCall(kept.terms, 1000n, NO_PERMIT);
    const call = abi.parseTransaction({ data: abi.encodeFunctionData(functionName, args) });
    expect(termsFrom(call?.args[0] as object)).toEqual(kept.terms);
    expect(call?.args[1]).toBe(1000n);
  });
});

describe("a batch", () => {
  const HELD = [SLOT, SLOT + 2, SLOT + 3];

  test("opens, verifies, and costs what it holds", async () => {
    const batch = delivered(HELD);
    expect(await fault(batch)).toBeUndefined();
    const keys = keysOfBatch(DEPLOYED, kept, batch);
    const { report } = await openBatch(operators, DEPLOYED, kept, batch, info, keys);
    expect(report).toMatchObject({ packs: 3, readings: 3, emptySlots: 1 });
    expect(costOfBatch(kept.terms, batch)).toEqual({ slots: 3, price: 300n });
  });

  test("whose key is wrong is shown by one pack and the shared point", async () => {
    const found = await fault(delivered(HELD, () => new Uint8Array(32)));
    expect(found?.fault).toBe("the key is wrong");
    const { functionName, args } = found?.call as { functionName: "proveWrongKey"; args: never };
    const call = abi.parseTransaction({ data: abi.encodeFunctionData(functionName, args) });
    expect(call?.name).toBe("proveWrongKey");
    expect(call?.args[1].number).toBe(BigInt(NUMBER));
    expect(call?.args[3].pack.slot).toBe(BigInt(SLOT));
  });

  test("that charges for an empty slot is shown by the packs on either side of it", async () => {
    const found = await fault(delivered([SLOT, SLOT + 1, SLOT + 2]));
    expect(found?.fault).toBe(`slot ${SLOT + 1} is paid and holds nothing`);
    const { functionName, args } = found?.call as { functionName: "proveEmpty"; args: never };
    const claim = abi.parseTransaction({ data: abi.encodeFunctionData(functionName, args) })?.args[2];
    expect([claim.slot, claim.previous.pack.slot, claim.next.pack.slot]).toEqual([
      BigInt(SLOT + 1),
      BigInt(SLOT),
      BigInt(SLOT + 2),
    ]);
    const next = stream.packs[1] as (typeof stream.packs)[0];
    expect(fromHex(claim.spki as Hex)).toEqual(stream.key.spki);
    expect(decodeCose(next.cose).header.previous).toBe(claim.previous.pack.headerDigest);
  });
});
