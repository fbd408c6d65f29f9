import {
  holesOf,
  cover,
  DEAL,
  DEAL_KEYS,
  dealId,
  dealSecret,
  deliver,
  derive,
  escrowDomain,
  fromHex,
  hashStruct,
  type Hex,
  signTyped,
  type SlotRange,
  STREAM,
  streamOf,
  toHex,
  verify,
  type WindowBundle,
} from "@msec/core";
import { Interface } from "ethers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { artifact } from "../../chain/src/artifacts.ts";
import { anchorAll, committee, TestStream, windowBundle } from "../../core/test/city.ts";
import { DEPLOYED } from "../test/operator.ts";
import { moody, wallet } from "../test/wallet.ts";
import { structFrom } from "./abi.ts";
import { dealOf, nodesOf } from "./deal-status.ts";
import { openDelivery } from "./delivery.ts";
import { type Offer } from "./offer.ts";
import { NO_PERMIT, permitData, permitOf } from "./permit.ts";
import { buyCall, type KeptDeal, planPurchase, recoverSecret, refundCall, type Wanted } from "./purchase.ts";
import { type SignTypedData } from "./typed-data.ts";
import { verifyWindow } from "./verify.ts";

const SLOT = 29_000_000;
const KEY: Hex = `0x${"4b".repeat(32)}`;
const buyer = wallet(KEY);
const account = (byte: string): Hex => `0x${byte.repeat(20)}`;
const purpose: Hex = `0x${"ff".repeat(32)}`;
const stream = new TestStream().fill(SLOT, 20);
const anchored = anchorAll(stream, committee());

const offer: Offer = {
  offerId: `0x${"0f".repeat(32)}`,
  streamId: stream.id,
  seller: account("5e"),
  stream: streamOf(stream.preimage),
  deliverer: account("d1"),
  fallbackDeliverer: account("d2"),
  token: DEPLOYED.addresses.MSecToken,
  unitPrice: 10n,
  feePerMille: 50,
  bond: 5n,
  deliverSeconds: 60,
  complainSeconds: 600,
  fromSlot: 0,
  toSlot: 0xffffffff,
  terms: `0x${"77".repeat(32)}`,
  open: true,
};

async function wanted(from: number, to: number, erasures: SlotRange[] = []): Promise<Wanted> {
  const full = windowBundle(stream, anchored, from, to, holesOf(erasures, from, to));
  const bundle: WindowBundle = { ...full, nodes: [] };
  const before = await verifyWindow(bundle, { withoutKeys: true });
  return { bundle, before, erasures, buyer: buyer.address, purpose, sign: buyer.sign };
}

/** What an honest deliverer publishes for a deal. */
function delivered({ dealId: id, nodes }: KeptDeal, { bundle }: Wanted) {
  const { fromSlot, toSlot, holes } = bundle.window;
  const context = { chainId: DEPLOYED.chainId, escrow: DEPLOYED.addresses.Escrow, dealId: id };
  return deliver(context, new Uint8Array(32).fill(9), nodes, derive(stream.frontier, cover(fromSlot, toSlot, holes)));
}

describe("a planned purchase", () => {
  test("opens and verifies what is delivered for it, whatever was erased, however the wallet signs", async () => {
    const slot = fc.integer({ min: SLOT - 2, max: SLOT + 20 });
    const range = fc.tuple(slot, fc.nat(3)).map(([from, length]): SlotRange => [from, from + length]);
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(fc.integer({ min: 1, max: 18 }), fc.nat(10)),
        fc.array(range, { maxLength: 3 }),
        fc.boolean(),
        async ([first, length], erasures, alike) => {
          const [from, to] = [SLOT + first, Math.min(SLOT + first + length, SLOT + 18)];
          const [hole] = holesOf(erasures, from, to);
          fc.pre(!(hole && hole[0] === from && hole[1] === to));
          const want = { ...(await wanted(from, to, erasures)), ...(alike ? {} : { sign: moody }) };
          const kept = await planPurchase(DEPLOYED, offer, want);
          const { deal } = kept;
          expect(deal.price).toBe(10n * BigInt(deal.readings));
          expect(deal.fee).toBe((deal.price * 50n) / 1000n);
          expect(deal.erasures).toBe(erasures.length);
          const opened = await openDelivery(DEPLOYED, kept, want.bundle, delivered(kept, want));
          if (opened.fault) throw new Error("no fault was expected");
          const report = await verifyWindow(opened.bundle);
          expect(report).toMatchObject({ packs: deal.packs, records: deal.readings, readings: deal.packs });
          expect(report).toEqual(verify(opened.bundle));
        },
      ),
      { numRuns: 40 },
    );
  });

  test("has a secret that the wallet can make again", async () => {
    const kept = await planPurchase(DEPLOYED, offer, await wanted(SLOT + 2, SLOT + 9));
    const { streamId, fromSlot, toSlot, holesHash, asOfEpoch, nonce } = kept.deal;
    const escrow = DEPLOYED.addresses.Escrow;
    const message = { escrow, streamId: streamId as Hex, fromSlot, toSlot, holesHash, asOfEpoch, nonce };
    const again = signTyped(fromHex(KEY), escrowDomain(DEPLOYED.chainId, escrow), DEAL_KEYS, message);
    expect(kept.secret).toEqual(dealSecret(again));
    expect((await planPurchase(DEPLOYED, offer, await wanted(SLOT + 2, SLOT + 9))).secret).not.toEqual(kept.secret);
  });

  test("is opened by its wallet where what was kept is lost, and by no other", async () => {
    const { deal, nodes, secret } = await planPurchase(DEPLOYED, offer, await wanted(SLOT + 2, SLOT + 9));
    expect(await recoverSecret(DEPLOYED, deal, nodes, buyer.sign)).toEqual(secret);
    const stranger = wallet(`0x${"99".repeat(32)}`);
    for (const sign of [stranger.sign, moody])
      await expect(recoverSecret(DEPLOYED, deal, nodes, sign)).rejects.toThrow("does not make the secret");
  });

  test("has a random one where the wallet signs otherwise each time, or in another form", async () => {
    const long = () => Promise.resolve(`0x${"12".repeat(96)}` as Hex);
    const want = await wanted(SLOT + 2, SLOT + 9);
    const secrets = await Promise.all(
      [moody, moody, long, long].map(async (sign) => (await planPurchase(DEPLOYED, offer, { ...want, sign })).secret),
    );
    expect(new Set(secrets.map(toHex)).size).toBe(4);
    const signatures: Hex[] = [];
    const noting: SignTypedData = async (data) => {
      const signature = await moody(data);
      signatures.push(signature);
      return signature;
    };
    const { secret } = await planPurchase(DEPLOYED, offer, { ...want, sign: noting });
    expect(signatures, "asked twice").toHaveLength(2);
    expect(signatures.map(dealSecret), "nothing of either").not.toContainEqual(secret);
  });

  test("is refused for a closed offer, another stream, another report, or holes that are not the erased ranges", async () => {
    const want = await wanted(SLOT + 2, SLOT + 9);
    const plan = (change: Partial<Wanted>, on: Partial<Offer> = {}) =>
      planPurchase(DEPLOYED, { ...offer, ...on }, { ...want, ...change });
    await expect(plan({}, { open: false })).rejects.toMatchObject({ name: "TradeError", code: "closed" });
    await expect(plan({}, { streamId: purpose })).rejects.toMatchObject({ code: "deal" });
    const { before } = await wanted(SLOT + 2, SLOT + 8);
    await expect(plan({ before })).rejects.toThrow(/report is of another window/);
    await expect(plan({ erasures: [[SLOT + 3, SLOT + 3]] })).rejects.toThrow(/holes are not the erased ranges/);
  });

  test("is bought by the marketplace's own interface", async () => {
    const want = await wanted(SLOT + 2, SLOT + 9);
    const kept = await planPurchase(DEPLOYED, offer, want);
    const abi = new Interface(artifact("contracts/market/Marketplace.sol").abi);
    const { functionName, args } = buyCall(offer, stream.preimage, kept, NO_PERMIT);
    const call = abi.parseTransaction({ data: abi.encodeFunctionData(functionName, args) });
    const [terms, given, deal, nodes] = call?.args as unknown as [Record<string, unknown>, object, object, object[]];
    expect(hashStruct(STREAM, structFrom(STREAM, given))).toBe(stream.id);
    expect(dealId(dealOf(deal))).toBe(kept.dealId);
    expect(hashStruct(DEAL, kept.deal)).toBe(kept.dealId);
    expect(nodesOf(nodes)).toEqual(kept.nodes);
    expect([terms.unitPrice, terms.feePerMille]).toEqual([10n, 50n]);
  });

  test("comes back by the escrow's own interface", async () => {
    const kept = await planPurchase(DEPLOYED, offer, await wanted(SLOT + 2, SLOT + 9));
    const status = { state: 1, at: 1_700_000_000_000, atBlock: 7, deliveryHash: purpose };
    const abi = new Interface(artifact("contracts/market/Escrow.sol").abi);
    const { functionName, args } = refundCall(kept.deal, status);
    const call = abi.parseTransaction({ data: abi.encodeFunctionData(functionName, args) });
    expect(call?.name).toBe("refund");
    expect([...(call?.args[1] as bigint[])]).toEqual([1n, 1_700_000_000_000n, 7n, purpose]);
  });
});

test("a permit is the wallet's signature in three parts, also where it numbers the parity 0 and 1", async () => {
  const deadline = 2_000_000_000n;
  const spender = DEPLOYED.addresses.Marketplace;
  const data = permitData(DEPLOYED, { owner: buyer.address, spender, value: 2n ** 200n, nonce: 3n, deadline });
  const signature = await buyer.sign(data);
  const permit = permitOf(2n ** 200n, deadline, signature);
  expect(`${permit.r}${permit.s.slice(2)}${permit.v.toString(16)}`).toBe(signature);
  const low = `${signature.slice(0, -2)}0${permit.v - 27}` as Hex;
  expect(permitOf(2n ** 200n, deadline, low)).toEqual(permit);
  expect(() => permitOf(1n, deadline, `${signature.slice(0, -2)}1d` as Hex)).toThrow(/27 or 28/);
});
