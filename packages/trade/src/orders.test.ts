import {
  fromHex,
  type Hex,
  marketDomain,
  OFFER,
  REQUEST,
  signTyped,
  type SlotRange,
  streamOf,
  ZERO_ADDRESS,
} from "@msec/core";
import { Interface } from "ethers";
import { beforeAll, describe, expect, test } from "vitest";
import { artifact } from "../../chain/src/artifacts.ts";
import { anchorAll, committee, TestStream, windowBundle } from "../../core/test/city.ts";
import { DEPLOYED } from "../test/operator.ts";
import { wallet } from "../test/wallet.ts";
import { structFrom } from "./abi.ts";
import {
  checkOffer,
  checkRequest,
  matchOrders,
  offerData,
  type OfferOrder,
  offerHash,
  planRequest,
  requestData,
  requestHash,
  type RequestOrder,
  settleCall,
  type SignedRequest,
  type Wish,
} from "./orders.ts";
import { type Wanted } from "./purchase.ts";
import { verifyWindow } from "./verify.ts";

const SLOT = 29_000_000;
const NOW = 1_760_000_000_000;
const [SELLER, BUYER]: [Hex, Hex] = [`0x${"5e".repeat(32)}`, `0x${"4b".repeat(32)}`];
const [seller, buyer] = [wallet(SELLER), wallet(BUYER)];
const account = (byte: string): Hex => `0x${byte.repeat(20)}`;
const word = (byte: string): Hex => `0x${byte.repeat(32)}`;
const stream = new TestStream().fill(SLOT, 20);
const erasures: SlotRange[] = [[SLOT + 4, SLOT + 5]];

const shared = {
  deliverer: account("d1"),
  fallbackDeliverer: ZERO_ADDRESS,
  token: DEPLOYED.addresses.MSecToken,
  terms: word("77"),
  counter: 0,
  deadline: NOW + 3_600_000,
};
const offer: OfferOrder = {
  ...shared,
  seller: seller.address,
  streamId: stream.id,
  fromSlot: SLOT,
  toSlot: SLOT + 100,
  unitPrice: 10n,
  feePerMille: 50,
  bond: 5_000n,
  deliverSeconds: 60,
  complainSeconds: 30,
  amount: 1000,
  salt: word("5a"),
};
const wish: Wish = { ...shared, maxPrice: 500n, minBond: 5_000n, maxDeliverSeconds: 60, minComplainSeconds: 30 };

let want: Wanted;
let signed: SignedRequest;
let offerSignature: Hex;

beforeAll(async () => {
  const bundle = { ...windowBundle(stream, anchorAll(stream, committee()), SLOT + 2, SLOT + 9, erasures), nodes: [] };
  const before = await verifyWindow(bundle, { withoutKeys: true });
  want = { bundle, before, erasures, buyer: buyer.address, purpose: word("ff"), sign: buyer.sign };
  const { request, nodes } = await planRequest(DEPLOYED, wish, want);
  signed = { request, nodes, signature: await buyer.sign(requestData(DEPLOYED, request)) };
  offerSignature = await seller.sign(offerData(DEPLOYED, offer));
});

describe("orders", () => {
  test("are signed as the marketplace's EIP-712 domain and types say", () => {
    const domain = marketDomain(DEPLOYED.chainId, DEPLOYED.addresses.Marketplace);
    expect(offerSignature).toBe(signTyped(fromHex(SELLER), domain, OFFER, offer));
    expect(signed.signature).toBe(signTyped(fromHex(BUYER), domain, REQUEST, signed.request));
    checkOffer(DEPLOYED, { offer, signature: offerSignature });
    checkRequest(DEPLOYED, signed, erasures);
  });

  test("are settled by the marketplace's own interface", () => {
    const abi = new Interface(artifact("contracts/market/Marketplace.sol").abi);
    const { functionName, args } = settleCall({ offer, signature: offerSignature }, signed, stream.preimage);
    const call = abi.parseTransaction({ data: abi.encodeFunctionData(functionName, args) });
    expect(call?.name).toBe("settle");
    const [o, , r] = call?.args as unknown as object[];
    expect(offerHash(structFrom(OFFER, o as object))).toBe(offerHash(offer));
    expect(requestHash(structFrom(REQUEST, r as object))).toBe(requestHash(signed.request));
    expect(call?.args[4].nameHash).toBe(streamOf(stream.preimage).nameHash);
  });

  test("under one nonce are alternatives with secrets of their own", async () => {
    const nonce = word("0e");
    const bundle = windowBundle(stream, anchorAll(stream, committee()), SLOT + 10, SLOT + 12);
    const other = { ...want, bundle: { ...bundle, nodes: [] } };
    other.before = await verifyWindow(other.bundle, { withoutKeys: true });
    const [a, b] = [
      await planRequest(DEPLOYED, wish, want, nonce),
      await planRequest(DEPLOYED, wish, { ...other, erasures: [] }, nonce),
    ];
    expect([a.request.nonce, b.request.nonce]).toEqual([nonce, nonce]);
    expect(a.secret).not.toEqual(b.secret);
    expect((await planRequest(DEPLOYED, wish, want, nonce)).secret, "made again").toEqual(a.secret);
  });
});

describe("an order is refused", () => {
  test("where somebody else has signed it, or something in it was changed", () => {
    const by = { offer, signature: signed.signature };
    expect(() => checkOffer(DEPLOYED, by)).toThrow(/the offer is signed by 0x/);
    expect(() => checkOffer(DEPLOYED, { offer: { ...offer, unitPrice: 1n }, signature: offerSignature })).toThrow();
    const dearer = { ...signed, request: { ...signed.request, maxPrice: 501n } };
    expect(() => checkRequest(DEPLOYED, dearer, erasures)).toThrow(/the request is signed by 0x/);
  });

  test("where it could not be served: other nodes, another network, something erased since", async () => {
    const twisted = { ...signed, nodes: [...signed.nodes].reverse() };
    expect(() => checkRequest(DEPLOYED, twisted, erasures)).toThrow(/canonical cover/);
    const strange = { ...signed, nodes: signed.nodes.map((n, i) => (i ? n : (signed.nodes[1] as typeof n))) };
    expect(() => checkRequest(DEPLOYED, strange, erasures)).toThrow();
    expect(() => checkRequest(DEPLOYED, signed, [...erasures, [0, 1]])).toThrow(/erased since/);
    const elsewhere = { ...signed.request, anchor: account("a2") };
    const signature = await buyer.sign(requestData(DEPLOYED, elsewhere));
    const away = { ...signed, request: elsewhere, signature };
    expect(() => checkRequest(DEPLOYED, away, erasures)).toThrow(/another contract has anchored/);
  });
});

describe("an offer and a request", () => {
  const match = (o: Partial<OfferOrder> = {}, r: Partial<RequestOrder> = {}, at = NOW) =>
    matchOrders({ ...offer, ...o }, { ...signed.request, ...r }, stream.preimage, at);

  test("come to the deal that the marketplace opens, at the offer's price", () => {
    const { deal, units } = match();
    expect(units).toBe(6);
    expect(deal).toMatchObject({ price: 60n, fee: 3n, bond: 5_000n, readings: 6, nodes: signed.nodes.length });
    expect(match().dealId).toBe(match().dealId);
  });

  test.each([
    [{ deadline: NOW - 1 }, {}, /offer has expired/],
    [{}, { deadline: NOW - 1 }, /request has expired/],
    [{}, { streamId: word("12") }, /one stream/],
    [{ deliverer: account("d9") }, {}, /another deliverer/],
    [{ terms: word("78") }, {}, /licence/],
    [{ bond: 4_999n }, {}, /stakes less/],
    [{ deliverSeconds: 61 }, {}, /longer to deliver/],
    [{ complainSeconds: 29 }, {}, /less time to complain/],
    [{ toSlot: SLOT + 8 }, {}, /not within the offer/],
    [{ unitPrice: 84n }, {}, /goes up to 500/],
    [{ amount: 5 }, {}, /takes 6 units, the offer has 5/],
  ] satisfies [Partial<OfferOrder>, Partial<RequestOrder>, RegExp][])("do not meet: %o %o", (o, r, why) => {
    expect(() => match(o, r)).toThrow(why);
    expect(() => match(o, r)).toThrow(expect.objectContaining({ code: "no-match" }) as Error);
  });
});
