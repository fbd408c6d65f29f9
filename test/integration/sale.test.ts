import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { operatorCredentials, readTopic, rightsOf } from "@msec/broker";
import { connect, ErasureKeys, FileRoot, Frontiers, startPostgres } from "@msec/companion-db";
import {
  buyerNodes,
  cover,
  decodeBundle,
  decodeCose,
  encodeBundle,
  fromBase64,
  fromHex,
  type Hex,
  holesHash,
  keysTree,
  marketDomain,
  nodeScalar,
  purposeHash,
  OFFER,
  type Offer,
  REQUEST,
  type Request,
  signTyped,
  toHex,
  type StreamPreimage,
  streamOf,
  unmask,
  verify,
  type WindowBundle,
  type WindowReport,
  ZERO32,
  ZERO_ADDRESS,
} from "@msec/core";
import { erasuresOf, statusOf } from "@msec/market";
import { type EventLog } from "ethers";
import mqtt from "mqtt";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RESEARCH } from "../../apps/cli/src/city/consent.ts";
import { type DevicePlan } from "../../apps/cli/src/city/devices.ts";
import { type Account } from "../../apps/cli/src/city/layout.ts";
import { buy, complaint, permitFor, type Purchase, signerOf } from "../../apps/cli/src/market/buy.ts";
import { listOffers } from "../../apps/cli/src/market/offers.ts";
import {
  type BookOrder,
  dealOf,
  downloadWindow,
  listedFrom,
  nodesOf,
  offerData,
  orderToJson,
  planRequest,
  requestData,
  type StreamInfo,
  verifyWindow,
} from "@msec/trade";
import { keysOf } from "../support/anchored.ts";
import { csvFile, driverOf, msec, openPlan, TestCity, until } from "../support/city.ts";
import { ask, indexedAsOnChain } from "../support/indexed.ts";
import { deliverCall, delivery, endCall, funded, offerOf, openDeal, refusal, senderOf } from "../support/deal.ts";

// One real city, sold from: honest and hostile deliverers and buyers, an erasure, what leaves a home, and the proofs.

let t: TestCity;
let stream: Hex;
let preimage: StreamPreimage;
let first: number;
let honest: Purchase;
const messages = new Map<Hex, Uint8Array[]>();
let listener: mqtt.MqttClient;

/** Slots of the home: 0, 1, 2 rows in turn. */
function homeFile(root: string): string {
  const file = join(root, "home.csv");
  const start = Date.UTC(2024, 0, 1);
  const lines: string[] = [];
  for (let slot = 0; slot < 60; slot++)
    for (let i = 0; i < slot % 3; i++) lines.push(`${start + slot * 10_000 + i * 3000},${slot},${1 / (slot + 1)}`);
  writeFileSync(file, `time,row,value\n${lines.join("\n")}\n`);
  return file;
}

beforeAll(async () => {
  const plans = (root: string): DevicePlan[] => [
    openPlan("park", csvFile(root, "park.csv", 1000, 1000).file, 10, 60),
    {
      name: "home",
      owner: "citizen",
      unitPrice: 50n,
      streams: [
        {
          name: "home/room",
          mode: "sealed",
          slotSeconds: 10,
          padCount: 6,
          padBytes: 400,
          holders: [],
          quantities: ["row", "value"].map((name) => ({ name, unit: "", text: name })),
          driver: driverOf(homeFile(root), 20),
        },
      ],
    },
  ];
  // The root of the erasure keys in a file, of which a test keeps a copy.
  t = await TestCity.up(plans, { software: true });
  const { address, key } = t.city.people.operators[0]!;
  listener = await mqtt.connectAsync(t.city.run.broker, {
    clientId: `${address}/listener`,
    ...operatorCredentials(fromHex(key), address, t.city.run.broker),
    protocolVersion: 4,
    reconnectPeriod: 0,
  });
  listener.on("message", (name, payload) => {
    const topic = readTopic(name);
    const id = (topic?.kind === "packs" ? topic.streamId : name) as Hex;
    messages.set(id, [...(messages.get(id) ?? []), new Uint8Array(payload)]);
  });
  await listener.subscribeAsync(rightsOf({ kind: "operator", id: address }).subscribe, { qos: 1 });
  stream = t.streamOf("park");
  const found = await until("forty slots are anchored", async () => {
    const info = await t.get<StreamInfo>(1, `/streams/${stream}`);
    return (info.lastSlot ?? 0) > (info.firstSlot ?? Infinity) + 40 && info;
  });
  preimage = found.preimage;
  first = found.firstSlot as number;
});

afterAll(async () => {
  await listener?.endAsync(true);
  await t?.stop();
});

/** A window of slots with what an operator holds of it. */
async function windowOf(fromSlot: number, toSlot: number) {
  const page = await t.shop().operators.window(stream, fromSlot, toSlot);
  return {
    fromSlot,
    toSlot,
    packs: page.packs.length,
    readings: page.packs.reduce((sum, p) => sum + p.readings, 0),
    asOfEpoch: page.newestEpoch,
  };
}

const escrow = () => t.city.run.deployment.addresses.Escrow;
const credit = (who: Hex) => t.city.contracts.Escrow.creditOf(who, t.city.run.deployment.addresses.MSecToken);
const bond = (who: Hex) => t.city.contracts.Escrow.bondOf(who, t.city.run.deployment.addresses.MSecToken);

/** Runs `act` once the chain shows a deal with a deliverer. */
async function onDeal(deliverer: Hex, act: (deal: never, id: Hex, nodes: never) => Promise<unknown>): Promise<unknown> {
  const { Escrow } = t.city.contracts;
  const event = await until("the deal is on the chain", async () => {
    const events = (await Escrow.queryFilter(
      Escrow.filters.DealOpened(undefined, undefined, deliverer),
      0,
    )) as unknown as EventLog[];
    return events.pop();
  });
  return act(dealOf(event.args.deal) as never, event.args.dealId as Hex, nodesOf(event.args.nodes) as never);
}

describe("a sale nobody has to trust", () => {
  test("an honest sale: bought, delivered, verified; the seller is paid when nobody complains", async () => {
    const before = await credit(t.city.people.city.address);
    const offer = await offerOf(t, preimage, stream, {
      deliverer: t.city.people.deliverers[0]?.address as Hex,
      deliverSeconds: 60,
      complainSeconds: 3,
    });
    honest = await buy(t.shop(), offer, first + 2, first + 12);
    expect(honest.report.packs).toBe(11);
    expect(honest.report.readings).toBe(220);
    // The buyer says nothing: the deliverer's process presses the button after the window.
    const paid = honest.deal.price - honest.deal.fee;
    await until("the seller has the price", async () => (await credit(t.city.people.city.address)) === before + paid);
  });

  test("the indexer tells of it: the offer, the deal with all that happened, who may buy", async () => {
    const buyer = t.city.people.buyer.address;
    const told = await until("the deal is told as paid out", async () => {
      const { items } = await ask<{ items: { dealId: Hex; state: string }[] }>(
        t,
        `/deals?buyer=${buyer}&state=released`,
      );
      return items.find(({ dealId }) => dealId === honest.dealId);
    });
    const { deal, events } = await ask<{ deal: { price: string }; events: { name: string }[] }>(
      t,
      `/deals/${told.dealId}`,
    );
    expect(BigInt(deal.price)).toBe(honest.deal.price);
    expect(events.map(({ name }) => name).filter((name) => name !== "StatusChanged")).toEqual([
      ...["DealOpened", "Bought", "Delivered", "Released"],
    ]);
    const named = await until("the stream's name is known", async () => {
      const { items } = await ask<{ items: { description: { name: string } | null; open: boolean }[] }>(
        t,
        `/offers?stream=${stream}&open=true&text=PARK`,
      );
      return items.length > 0 ? items : undefined;
    });
    expect(named[0]?.description?.name).toBe("park/air");
    const { items: grants } = await ask<{ items: { standing: boolean }[] }>(t, `/grants?stream=${stream}`);
    expect(grants.some(({ standing }) => standing)).toBe(true);
    await indexedAsOnChain(t);
  });

  test("a wrong key costs price and bond, by the buyer's proof, and reveals that node alone", async () => {
    const mallory = await funded(t, 6_000n);
    const offer = await offerOf(t, preimage, stream, {
      deliverer: mallory.address,
      deliverSeconds: 60,
      complainSeconds: 60,
    });
    const before = await credit(t.city.people.buyer.address);
    let altered = -1;
    const told: string[] = [];
    const [bought] = await Promise.allSettled([
      buy(t.shop(told), offer, first + 1, first + 14),
      onDeal(mallory.address, async (deal, id, nodes) => {
        const keys = await keysOf(t, 1, stream, first + 1, first + 14);
        altered = Math.floor(keys.length / 2);
        const node = keys[altered] as { key: Uint8Array };
        node.key = node.key.slice();
        node.key[3] = (node.key[3] as number) ^ 1;
        const data = await deliverCall(t, { id, deal }, delivery(t, { id, nodes }, keys));
        await senderOf(t, mallory).transact({ to: escrow(), data });
      }),
    ]);
    expect(bought.status === "rejected" && (bought.reason as Error).message).toMatch(/a key was wrong.*price and bond/);
    expect(told.join("\n")).toContain(`wrong key proved: node ${altered}`);
    expect(told.join("\n"), "said before paying").toMatch(/complaints: .*quality[^]*bought/);
    const { Escrow } = t.city.contracts;
    const [proved] = (await Escrow.queryFilter(Escrow.filters.WrongKeyProved(), 0)).slice(-1);
    const tx = await t.city.provider.getTransaction(proved?.transactionHash as string);
    const call = Escrow.interface.parseTransaction(tx as never);
    const draft = JSON.parse(
      readFileSync(join(t.city.layout.purchases, proved?.args.dealId as string, "draft.json"), "utf8"),
    ) as { secret: Hex; nodes: unknown[]; deal: { price: string } };
    expect(Number(call?.args[3].index)).toBe(altered);
    expect(draft.nodes.length).toBeGreaterThan(2);
    const revealed = draft.nodes
      .map((_, i) => nodeScalar(fromHex(draft.secret), i))
      .filter((b) => tx?.data.includes(b.toString(16).padStart(64, "0")));
    expect(revealed, "the private key of one node is in the proof, no other").toHaveLength(1);
    expect(await credit(t.city.people.buyer.address)).toBe(before + BigInt(draft.deal.price) + 5_000n);
    expect(await bond(mallory.address)).toBe(1_000n);
  });

  test("too few keys, a stranger, a second delivery, a false claim, an early button: the escrow refuses each", async () => {
    const deliverer = await funded(t, 6_000n);
    const stranger = await funded(t, 6_000n);
    const offer = await offerOf(t, preimage, stream, {
      deliverer: deliverer.address,
      deliverSeconds: 60,
      complainSeconds: 12,
    });
    const window = await windowOf(first + 3, first + 9);
    const open = await openDeal(t, offer, preimage, window);
    const keys = await keysOf(t, 2, stream, window.fromSlot, window.toSlot);
    const right = delivery(t, open, keys);
    const data = await deliverCall(t, open, right);
    expect(await refusal(t, stranger.address, escrow(), data)).toMatch(/Escrow_NotYourTurn/);
    const few = await deliverCall(t, open, { ...right, masked: right.masked.slice(1) });
    expect(await refusal(t, deliverer.address, escrow(), few)).toMatch(/Escrow_WrongMaskedCount/);
    expect(await refusal(t, stranger.address, escrow(), await endCall(t, open, "refund"))).toMatch(/Escrow_WindowOpen/);
    await senderOf(t, deliverer).transact({ to: escrow(), data });
    expect(await refusal(t, deliverer.address, escrow(), data)).toMatch(/Escrow_WrongStatus/);
    expect(await refusal(t, deliverer.address, escrow(), await deliverCall(t, open, right))).toMatch(
      /Escrow_WrongState/,
    );
    expect(await refusal(t, stranger.address, escrow(), await endCall(t, open, "release"))).toMatch(
      /Escrow_WindowOpen/,
    );

    const page = await t.shop().operators.window(stream, window.fromSlot, window.toSlot);
    const [node] = cover(window.fromSlot, window.toSlot);
    const inside = page.packs.find((p) => p.slot === node?.firstSlot) as { cose: string };
    const kept = { ...open, dealId: open.id };
    const claim = await complaint(t.shop(), kept, right, preimage, {
      index: 0,
      cose: inside.cose,
    });
    expect(await refusal(t, t.city.people.buyer.address, escrow(), claim)).toMatch(/Escrow_KeyIsRight/);
    const lie = { ...right, masked: [toHex(new Uint8Array(32).fill(9)), ...right.masked.slice(1)] };
    const forged = await complaint(t.shop(), kept, lie, preimage, {
      index: 0,
      cose: inside.cose,
    });
    expect(await refusal(t, t.city.people.buyer.address, escrow(), forged)).toMatch(/Escrow_WrongDelivery/);
    // A silent buyer: anybody may pay the seller out.
    const before = await credit(t.city.people.city.address);
    const release = await until("the window closes", async () => {
      const call = await endCall(t, open, "release");
      return (await refusal(t, stranger.address, escrow(), call)) === undefined && call;
    });
    await senderOf(t, stranger).transact({ to: escrow(), data: release });
    expect(await credit(t.city.people.city.address)).toBe(before + open.deal.price - open.deal.fee);
    expect(await bond(deliverer.address), "bond and fee").toBe(6_000n + open.deal.fee);
  });

  test("a deliverer declines what its keys do not open: wrong readings, a cover that is not canonical", async () => {
    const deliverer = t.city.people.deliverers[0]?.address as Hex;
    const offer = await offerOf(t, preimage, stream, { deliverer, deliverSeconds: 60, complainSeconds: 30 });
    const window = await windowOf(first + 4, first + 7);
    const before = await bond(deliverer);
    const places = cover(window.fromSlot, window.toSlot);
    const split = cover(window.fromSlot, window.fromSlot).concat(cover(window.fromSlot + 1, window.toSlot));
    expect(split).not.toEqual(places);
    const deals = [
      await openDeal(t, offer, preimage, window, { deal: { readings: window.readings + 1 } }),
      await openDeal(t, offer, preimage, window, { places: split }),
      await openDeal(t, offer, preimage, window, { deal: { packs: window.packs - 1 } }),
    ];
    const { Escrow } = t.city.contracts;
    for (const { id } of deals) {
      await until(
        "the deal is declined",
        async () => (await Escrow.queryFilter(Escrow.filters.Declined(id), 0)).length === 1,
      );
      const [refund] = await Escrow.queryFilter(Escrow.filters.Refunded(id), 0);
      expect(Number(refund?.args.reason)).toBe(1);
      expect(await Escrow.queryFilter(Escrow.filters.Delivered(id), 0)).toHaveLength(0);
    }
    expect(await bond(deliverer)).toBe(before);
  });

  test("orders that were signed apart meet: anyone settles them, once, and the deliverer serves", async () => {
    const { chainId, addresses } = t.city.run.deployment;
    const { city, buyer, deliverers } = t.city.people;
    const { Escrow, Marketplace, MSecToken } = t.city.contracts;
    const stranger = await funded(t);
    const window = await windowOf(first + 2, first + 5);
    const secret = new Uint8Array(randomBytes(32));
    const nodes = buyerNodes(secret, cover(window.fromSlot, window.toSlot));
    const random = () => toHex(new Uint8Array(randomBytes(32)));
    const shared = {
      streamId: stream,
      deliverer: deliverers[0]?.address as Hex,
      fallbackDeliverer: ZERO_ADDRESS,
      token: addresses.MSecToken,
      terms: random(),
      counter: 0,
      deadline: Date.now() + 3_600_000,
    };
    const offer: Offer = {
      ...shared,
      seller: city.address,
      fromSlot: 0,
      toSlot: 0xffffffff,
      unitPrice: 10n,
      feePerMille: 50,
      bond: 5_000n,
      deliverSeconds: 60,
      complainSeconds: 30,
      amount: 10_000,
      salt: random(),
    };
    const request: Request = {
      ...shared,
      ...window,
      buyer: buyer.address,
      anchor: addresses.DataAnchor,
      holesHash: holesHash([]),
      erasures: Number(await t.city.contracts.ConsentRegistry.erasures(stream)),
      nodes: nodes.length,
      keysRoot: toHex(keysTree(nodes).root),
      purpose: purposeHash(RESEARCH),
      maxPrice: 12n * BigInt(window.readings),
      minBond: 5_000n,
      maxDeliverSeconds: 60,
      minComplainSeconds: 30,
      nonce: random(),
    };
    const domain = marketDomain(chainId, addresses.Marketplace);
    const price = 10n * BigInt(window.readings);
    const approve = MSecToken.interface.encodeFunctionData("approve", [addresses.Marketplace, request.maxPrice]);
    await senderOf(t, buyer).transact({ to: addresses.MSecToken, data: approve });
    const data = Marketplace.interface.encodeFunctionData("settle", [
      offer,
      signTyped(fromHex(city.key), domain, OFFER, offer),
      request,
      signTyped(fromHex(buyer.key), domain, REQUEST, request),
      streamOf(preimage),
      nodes,
      { value: 0, deadline: 0, v: 27, r: ZERO32, s: ZERO32 },
    ]);
    const before = await MSecToken.balanceOf(buyer.address);
    await senderOf(t, stranger).transact({ to: addresses.Marketplace, data });
    expect(before - (await MSecToken.balanceOf(buyer.address)), "the offer's price, not the limit").toBe(price);
    expect(await refusal(t, stranger.address, addresses.Marketplace, data)).toMatch(/Marketplace_RequestUsed/);
    const [settled] = await Marketplace.queryFilter(Marketplace.filters.Settled(), 0);
    const id = settled?.args.dealId as Hex;
    const delivered = await until("the keys are delivered", async () => {
      const [event] = await Escrow.queryFilter(Escrow.filters.Delivered(id), 0);
      return event;
    });
    const { Ex, vE, masked } = delivered.args;
    const made = { E: { x: Ex, v: Number(vE) }, masked: [...masked] as Hex[] };
    const keys = unmask({ chainId, escrow: addresses.Escrow, dealId: id }, secret, nodes, made);
    expect(keys).toEqual(await keysOf(t, 2, stream, window.fromSlot, window.toSlot));
  });

  test("orders left with a market are checked, listed, and settled by it as soon as two meet; cancelled ones never", async () => {
    const { deployment } = t.city.run;
    const { city, buyer, deliverers } = t.city.people;
    const { Escrow, Marketplace } = t.city.contracts;
    const shop = t.shop();
    const url = `${t.city.run.markets[0]?.url}/orders`;
    const post = async (order: unknown) => {
      const response = await fetch(url, { method: "POST", body: JSON.stringify(order) });
      return { status: response.status, ...((await response.json()) as { hash?: Hex; message?: string }) };
    };
    const listed = async (query: string) => {
      const { items } = (await (await fetch(`${url}?${query}`)).json()) as { items: unknown[] };
      return items.map(listedFrom);
    };
    const shared = {
      deliverer: deliverers[0]?.address as Hex,
      fallbackDeliverer: ZERO_ADDRESS as Hex,
      token: deployment.addresses.MSecToken,
      terms: toHex(new Uint8Array(randomBytes(32))),
      counter: 0,
      deadline: Date.now() + 3_600_000,
    };
    const erasures = await erasuresOf(t.city.contracts, stream);
    const window = { fromSlot: first + 6, toSlot: first + 8, holes: [] };
    const bundle = await downloadWindow(shop.operators, deployment, await shop.operators.stream(stream), window);
    const before = await verifyWindow(bundle, { withoutKeys: true });
    const limit = 12n * BigInt(before.records);
    const wish = { ...shared, maxPrice: limit, minBond: 5_000n, maxDeliverSeconds: 60, minComplainSeconds: 30 };
    const sign = signerOf(buyer);
    const wanted = { bundle, before, erasures, buyer: buyer.address, purpose: purposeHash(RESEARCH), sign };
    const asked = async (change: Partial<typeof wish>): Promise<BookOrder> => {
      const { request, nodes } = await planRequest(deployment, { ...wish, ...change }, wanted);
      const signature = await sign(requestData(deployment, request));
      const permit = await permitFor(shop, deployment.addresses.Marketplace, request.maxPrice);
      return { kind: "request", stream: preimage, signed: { request, nodes, signature }, permit };
    };
    const offered = async (account: Account, unitPrice: bigint): Promise<BookOrder> => {
      const salt = toHex(new Uint8Array(randomBytes(32)));
      const terms = { fromSlot: 0, toSlot: 0xffffffff, feePerMille: 50, bond: 5_000n, amount: 10_000 };
      const times = { deliverSeconds: 60, complainSeconds: 30 };
      const offer = { ...shared, ...terms, ...times, seller: account.address, streamId: stream, unitPrice, salt };
      const signature = await signerOf(account)(offerData(deployment, offer));
      return { kind: "offer", stream: preimage, signed: { offer, signature } };
    };

    expect(await post("nonsense")).toMatchObject({ status: 400, message: expect.stringMatching(/no object/) });
    const foreign = await offered(buyer, 10n);
    expect(await post(orderToJson(foreign)), "only the owner sells").toMatchObject({ status: 400 });
    const forged = await offered(city, 10n);
    expect(
      await post({ ...orderToJson(forged), signature: (foreign as typeof forged).signed.signature }),
    ).toMatchObject({ status: 400, message: expect.stringMatching(/signed by/) });
    expect(await post(orderToJson(await asked({ deliverer: buyer.address })))).toMatchObject({
      status: 400,
      message: expect.stringMatching(/names? it as deliverer/),
    });

    const cancelled = await asked({});
    const { request } = (cancelled as typeof cancelled & { kind: "request" }).signed;
    expect((await post(orderToJson(cancelled))).status).toBe(201);
    const cancel = Marketplace.interface.encodeFunctionData("cancelRequest", [request.nonce]);
    await senderOf(t, buyer).transact({ to: deployment.addresses.Marketplace, data: cancel });
    await until("the market has seen it", async () => {
      const [found] = await listed(`maker=${buyer.address}&state=any`);
      return found?.state === "cancelled";
    });

    const open = await asked({});
    const { hash } = await post(orderToJson(open));
    expect(await post(orderToJson(open)), "twice is once").toMatchObject({ status: 200, hash });
    expect((await listed(`kind=request&stream=${stream}`)).map((one) => one.hash)).toEqual([hash]);
    expect((await post(orderToJson(await offered(city, 13n)))).status, "too dear: kept, not settled").toBe(201);
    const cheap = await offered(city, 11n);
    expect((await post(orderToJson(cheap))).status).toBe(201);
    const filled = await until("the market settles the two that meet", async () => {
      const [found] = await listed(`kind=request&maker=${buyer.address}&state=any`);
      return found?.dealId ? found : undefined;
    });
    const [opened] = await Escrow.queryFilter(Escrow.filters.DealOpened(filled.dealId ?? ""), 0);
    const deal = dealOf(opened!.args.deal);
    expect(deal).toMatchObject({
      price: 11n * BigInt(before.records),
      nonce: filled.order.kind === "request" && filled.order.signed.request.nonce,
    });
    expect((await listed(`kind=offer&stream=${stream}`)).map(({ filled: sold }) => sold).sort()).toEqual([
      0,
      before.records,
    ]);
    await until("its keys are delivered", async () => {
      return (await Escrow.queryFilter(Escrow.filters.Delivered(filled.dealId ?? ""), 0)).length === 1;
    });
    await senderOf(t, city).transact({
      to: deployment.addresses.Marketplace,
      data: Marketplace.interface.encodeFunctionData("cancelOffer", [
        (cheap as typeof cheap & { kind: "offer" }).signed.offer.salt,
      ]),
    });
    await until(
      "the rest of the offer is off the book",
      async () => (await listed(`kind=offer&stream=${stream}`)).length === 1,
    );
  });

  test("a silent deliverer: the fallback serves after half the time; without one the buyer is refunded", async () => {
    const silent = await funded(t, 6_000n);
    const fallback = t.city.people.deliverers[1]?.address as Hex;
    const helped = await offerOf(t, preimage, stream, {
      deliverer: silent.address,
      fallbackDeliverer: fallback,
      deliverSeconds: 30,
      complainSeconds: 30,
    });
    const alone = await offerOf(t, preimage, stream, {
      deliverer: silent.address,
      deliverSeconds: 5,
      complainSeconds: 30,
    });
    const before = await credit(t.city.people.buyer.address);
    const done = await buy(t.shop(), helped, first + 5, first + 6);
    expect(done.report.packs).toBe(2);
    const { Escrow } = t.city.contracts;
    const [delivered] = await Escrow.queryFilter(Escrow.filters.Delivered(done.dealId), 0);
    expect(delivered?.args.by.toLowerCase()).toBe(fallback);
    await expect(buy(t.shop(), alone, first + 5, first + 6)).rejects.toThrow(/nobody delivered in time|refunded/);
    expect(await credit(t.city.people.buyer.address)).toBe(before + done.deal.price);
  });
});

describe("what a proof says, through the command line", () => {
  let dir: string;
  const file = (name: string) => join(dir, `${name}.json`);
  const changed = (name: string, change: (bundle: WindowBundle) => void) => {
    const bundle = decodeBundle(encodeBundle(honest.bundle)) as WindowBundle;
    change(bundle);
    writeFileSync(file(name), encodeBundle(bundle));
    return file(name);
  };

  beforeAll(() => {
    dir = join(t.root, "proofs");
    mkdirSync(dir);
  });

  test("a right proof is proved offline and against the chain; wrong use is told apart", async () => {
    const right = changed("right", () => undefined);
    const [offline, rpc, both, none] = await Promise.all([
      msec(["verify", right, "--offline"]),
      msec(["verify", right, "--rpc", t.city.run.chain.rpc]),
      msec(["verify", right, "--offline", "--rpc", t.city.run.chain.rpc]),
      msec(["verify", join(dir, "nothing.json"), "--offline"]),
    ]);
    expect(offline.out).toMatch(/proved/);
    expect([offline.code, rpc.code, both.code, none.code]).toEqual([0, 0, 2, 2]);
    expect(rpc.out).toMatch(/as anchored, the device's key as registered/);
  });

  test("of a device in quarantine it stays proved, and says so", async () => {
    const right = changed("marked", () => undefined);
    const city = ["--dir", t.city.layout.root];
    expect((await msec(["device", "quarantine", "park", ...city])).code).toBe(0);
    try {
      const { code, out } = await msec(["verify", right, "--rpc", t.city.run.chain.rpc]);
      expect(code).toBe(0);
      expect(out).toMatch(/the device is quarantined now: this was anchored before, nothing is taken of it since/);
    } finally {
      expect((await msec(["device", "quarantine", "park", "--release", ...city])).code).toBe(0);
    }
  });

  test("packs left out, a digit changed, too few signatures, a stale head: refused with the reason", async () => {
    const last = honest.bundle.packs.length - 1;
    const cases: [string, RegExp][] = [
      [changed("start", (b) => void b.packs.shift()), /a header is missing before|start/],
      [changed("middle", (b) => void b.packs.splice(Math.floor(last / 2), 1)), /a header is missing|successor|missing/],
      [changed("end", (b) => void b.packs.pop()), /a header is missing|successor|missing/],
      [changed("digit", (b) => (b.anchoring.epoch.readings += 1)), /committee|signer|path|inclusion/],
      [changed("two", (b) => void b.anchoring.signatures.pop()), /3 signatures are needed, 2 given/],
      [
        changed("content", (b) => {
          const pack = b.packs[1] as { content: string };
          pack.content = pack.content.replace(/[A-Za-z](?=.{40})/, (c) => (c === "A" ? "B" : "A"));
        }),
        /content/,
      ],
    ];
    const answers = await Promise.all(cases.map(([path]) => msec(["verify", path, "--offline"])));
    for (const [i, { code, out }] of answers.entries()) {
      expect(code, `${cases[i]?.[0]}: ${out}`).toBe(1);
      expect(out).toMatch(/refused/);
      expect(out).toMatch(cases[i]?.[1] as RegExp);
    }
  });

  test("an old head does not end a newer window", async () => {
    const operators = t.shop().operators;
    const bought = honest.bundle;
    const at = bought.packs[bought.packs.length - 1] as { cose: string };
    const digest = decodeCose(fromBase64(at.cose)).headerDigest;
    const [{ anchoring }] = (await operators.packs([digest])) as unknown as [
      { anchoring: { epoch: { number: number } } },
    ];
    const answers = await operators.heads(stream, anchoring.epoch.number);
    const heads = answers.filter((a) => a.head && a.signature);
    expect(heads.length).toBe(4);
    const head = heads[0] as (typeof heads)[0];
    const { recoverTyped, anchorDomain, HEAD } = await import("@msec/core");
    const { chainId, anchor } = bought.chain;
    const signatures = heads
      .map((a) => a.signature as Hex)
      .sort((a, b) =>
        recoverTyped(anchorDomain(chainId, anchor), HEAD, head.head as never, a) <
        recoverTyped(anchorDomain(chainId, anchor), HEAD, head.head as never, b)
          ? -1
          : 1,
      )
      .slice(0, 3);
    const stale = changed("stale", (b) => {
      b.end = {
        kind: "head",
        head: head.head as never,
        epoch: head.asOf?.epoch as never,
        epochSignatures: head.asOf?.signatures as never,
        signatures,
        config: head.asOf?.config as never,
      };
      b.anchoring = anchoring as never;
      delete b.deal;
    });
    const { code, out } = await msec(["verify", stale, "--offline"]);
    expect(code, out).toBe(1);
    expect(out).toMatch(/head/);
  });
});

describe("what leaves a home", () => {
  test("an empty slot, one row and two rows look the same, on the wire and in the epochs", async () => {
    const home = t.streamOf("home");
    const info = await until(
      "the home's file is anchored",
      async () => {
        const now = await t.get<StreamInfo>(3, `/streams/${home}`);
        return now.pending === 0 && (now.lastSlot ?? 0) >= (now.firstSlot ?? 0) + 57 && now;
      },
      90_000,
    );
    const sent = (messages.get(home) ?? []).map((bytes) => {
      const { header } = decodeCose(splitMessage(bytes));
      return {
        bytes: bytes.length,
        header,
        rows: (Math.floor(header.fromMs / 10_000) - Math.floor(Date.UTC(2024, 0, 1) / 10_000)) % 3,
      };
    });
    // A number's own encoding grows with seq and beacon, whatever the rows: alike are those of alike seq and beacon.
    const width = (n: number) => (n < 24 ? 1 : n < 256 ? 2 : 3);
    const groups = new Map<string, { sizes: Set<number>; rows: Set<number> }>();
    for (const { bytes, header, rows } of sent) {
      const id = `${width(header.seq)}/${width(header.beacon.number)}`;
      const group = groups.get(id) ?? { sizes: new Set(), rows: new Set() };
      group.sizes.add(bytes);
      group.rows.add(rows);
      groups.set(id, group);
    }
    for (const { sizes } of groups.values()) expect([...sizes]).toHaveLength(1);
    const widest = [...groups.values()].find((g) => g.rows.size === 3);
    expect(widest, "slots with none, one and two rows were sent").toBeDefined();
    const page = await t.shop().operators.window(home, info.firstSlot as number, info.lastSlot as number);
    expect(page.packs.length).toBeGreaterThanOrEqual(57);
    const full = await t.shop().operators.packs(page.packs.map((p) => p.headerDigest));
    expect(new Set(page.packs.map((p) => p.readings))).toEqual(new Set([6]));
    expect(new Set(full.map((p) => fromBase64(p.content).length))).toEqual(new Set([428]));
    const slots = page.packs.map((p) => p.slot);
    expect(slots).toEqual(slots.map((_, i) => (slots[0] as number) + i));
    const spans = new Set(
      page.packs.map((p) => {
        const { header } = decodeCose(fromBase64(p.cose));
        return `${header.toMs - header.fromMs}/${header.count}/${header.fromMs % 10_000}`;
      }),
    );
    expect([...spans]).toEqual(["9999/6/0"]);
  });
});

function splitMessage(message: Uint8Array): Uint8Array {
  // CBOR[bstr cose, bstr content]: the first string's head has one, two or three bytes.
  const info = (message[1] as number) & 31;
  const [from, length] =
    info === 24 ? [3, message[2] as number] : [4, ((message[2] as number) << 8) | (message[3] as number)];
  return message.slice(from, from + length);
}

describe("what was erased", () => {
  test("a window is sold around its hole; other proofs stand; an old copy of the database opens nothing", async () => {
    const { city } = t;
    const hole: [number, number] = [first + 20, first + 22];
    const folder = city.layout.operator(1);
    const copy = join(t.root, "backup");
    // The whole data directory with its log, and the keys of that day as a control.
    const { default: pg } = await import("pg");
    const url = (JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as { databaseUrl: string }).databaseUrl;
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query("checkpoint");
    await client.end();
    execFileSync("cp", ["-a", city.layout.postgres, copy]);
    for (const name of ["erasure.keys", "erasure.root"]) cpSync(join(folder, name), join(t.root, `old.${name}`));

    const data = city.contracts.ConsentRegistry.interface.encodeFunctionData("requestErasure", [
      streamOf(preimage),
      ...hole,
    ]);
    const stranger = await funded(t);
    expect(await refusal(t, stranger.address, city.run.deployment.addresses.ConsentRegistry, data)).toMatch(
      /ConsentRegistry_NotOwner/,
    );
    await senderOf(t, city.people.city).transact({ to: city.run.deployment.addresses.ConsentRegistry, data });
    for (const n of [1, 2, 3, 4])
      await until(
        `operator ${n} has erased`,
        async () => (await t.get<StreamInfo>(n, `/streams/${stream}`)).erasures[0]?.doneAt,
      );

    // Complete on the chain, by the receipts of all four holders, whoever of them sent the list of holders.
    const { ConsentRegistry } = city.contracts;
    const complete = await until("every holder's receipt is on the chain", () =>
      ConsentRegistry.completeAt(stream, 1).then((at) => (at === 0n ? undefined : Number(at))),
    );
    expect(complete).toBeGreaterThan(Date.now() + 6 * 86_400_000);
    expect((await ConsentRegistry.receiptsOf(stream, 1)).received).toBe(0b1111n);

    const offer = (await listOffers(city.contracts)).find((o) => o.streamId === stream && o.open);
    const around = await buy(t.shop(), offer as never, first + 15, first + 25);
    expect(around.report.erased).toBe(3);
    expect(around.report.packs, "packs outside the hole").toBe(8);
    expect(around.report.readings).toBe(8 * 20);
    expect(new Set(around.report.rows.map((r) => Math.floor(r.tMs / 10_000)))).toEqual(
      new Set([15, 16, 17, 18, 19, 23, 24, 25].map((i) => first + i)),
    );
    // What was sold before stays proved, and so does every other reading of the same epochs.
    expect((verify(honest.bundle) as WindowReport).readings).toBe(220);
    const page = await t.shop().operators.window(stream, ...hole);
    const full = await t.shop().operators.packs(page.packs.map((p) => p.headerDigest));
    for (const pack of full) {
      expect(pack.content).toBeNull();
      expect(pack.anchoring, "the header still has its place in its epoch").not.toBeNull();
    }
    expect(page.packs.every((p) => p.erased)).toBe(true);
    await expect(buy(t.shop(), offer as never, hole[0], hole[1])).rejects.toThrow();
    const { out, code } = await (async () => {
      const path = join(t.root, "around.json");
      writeFileSync(path, encodeBundle(around.bundle));
      return msec(["verify", path, "--rpc", city.run.chain.rpc]);
    })();
    expect(code, out).toBe(0);
    expect(out).toMatch(/erased +3 packs: their headers stand, their keys and contents are destroyed/);
    for (const n of [1, 2, 3, 4])
      await expect(keysOf(t, n, stream, hole[0], hole[0])).rejects.toThrow(/not held any more/);

    // The backup comes up, with all its rows; under the keys of today it opens nothing, under those of its day it did.
    rmSync(join(copy, "data", "postmaster.pid"), { force: true });
    const old = await startPostgres(copy);
    try {
      const db = connect(await old.database("operator_1"));
      try {
        const { rows } = await db.query(
          "select count(*) as n from packs where content is not null and stream_id = $1 and slot between $2 and $3",
          [Buffer.from(fromHex(stream)), ...hole],
        );
        expect(Number((rows[0] as { n: string }).n), "the copy holds the ciphertexts").toBeGreaterThan(0);
        for (const name of ["erasure.keys", "erasure.root"]) cpSync(join(folder, name), join(t.root, `new.${name}`));
        const today = await Frontiers.open(
          db,
          await ErasureKeys.open(join(t.root, "new.erasure.keys"), new FileRoot(join(t.root, "new.erasure.root"))),
        );
        await expect(today.get(stream)).rejects.toThrow(/erasure key that is gone/);
        const { rows: wrapped } = await db.query("select wrapped from frontiers where stream_id = $1", [
          Buffer.from(fromHex(stream)),
        ]);
        expect(wrapped).toHaveLength(1);
        const then = await Frontiers.open(
          db,
          await ErasureKeys.open(join(t.root, "old.erasure.keys"), new FileRoot(join(t.root, "old.erasure.root"))),
        );
        expect((await then.get(stream))?.length, "the control: with the destroyed keys it would open").toBeGreaterThan(
          0,
        );
      } finally {
        await db.end();
      }
    } finally {
      await old.stop();
    }
  });
});

describe("consent", () => {
  test("without consent there is no sale: for another purpose, after a withdrawal; with it again there is", async () => {
    const { city } = t;
    const { ConsentRegistry, Escrow } = city.contracts;
    const to = city.run.deployment.addresses.ConsentRegistry;
    const offer = (await listOffers(city.contracts)).find((o) => o.streamId === stream && o.open) as never;
    const advertising = purposeHash({ text: "Advertising", language: "en", version: 1 });
    await expect(buy(t.shop(), offer, first + 30, first + 31, advertising)).rejects.toThrow(
      /nobody consents to this purpose/,
    );
    const research = purposeHash(RESEARCH);
    const who = city.people.buyer.address;
    const owner = senderOf(t, city.people.city);
    const revoke = ConsentRegistry.interface.encodeFunctionData("revoke", [streamOf(preimage), research, who]);
    // Withdrawn between the purchase and the delivery: the price comes back, and nobody is at fault.
    const late = await funded(t, 6_000n);
    const terms = { deliverer: late.address, deliverSeconds: 100, complainSeconds: 40 };
    const window = await windowOf(first + 30, first + 31);
    const open = await openDeal(t, await offerOf(t, preimage, stream, terms), preimage, window);
    // The city's own deliverer shows no key then: it hears of it after the purchase, before it delivers.
    t.signal("market-1", "SIGSTOP");
    const before = (await Escrow.queryFilter(Escrow.filters.DealOpened(), 0)).length;
    const bought = buy(t.shop(), offer, first + 30, first + 31).catch((error: Error) => error.message);
    await until("the deal is paid", async () => {
      const opened = await Escrow.queryFilter(Escrow.filters.DealOpened(), 0);
      return opened.length > before || undefined;
    });
    await owner.transact({ to, data: revoke });
    t.signal("market-1", "SIGCONT");
    expect(await bought).toMatch(/consent/);
    const [ended] = (await Escrow.queryFilter(Escrow.filters.Refunded(), 0)).slice(-1);
    const call = Escrow.interface.parseTransaction(
      (await city.provider.getTransaction(ended?.transactionHash ?? "")) as never,
    );
    expect(call?.name).toBe("deliver");
    expect(call?.args.masked, "no key is in the calldata").toHaveLength(0);
    const keys = await keysOf(t, 2, stream, window.fromSlot, window.toSlot);
    await senderOf(t, late).transact({ to: escrow(), data: await deliverCall(t, open, delivery(t, open, keys)) });
    expect(await Escrow.queryFilter(Escrow.filters.Delivered(open.id), 0)).toHaveLength(0);
    expect((await statusOf(city.contracts, open.id))?.refund).toMatch(/consent/);
    await expect(buy(t.shop(), offer, first + 30, first + 31)).rejects.toThrow(/nobody consents to this purpose/);
    const grant = [streamOf(preimage), research, who, 0, Date.now() + 86_400_000] as const;
    await owner.transact({ to, data: ConsentRegistry.interface.encodeFunctionData("grant", [...grant]) });
    expect((await buy(t.shop(), offer, first + 30, first + 31)).report.packs).toBe(2);
  });

  test("the person measured takes everything back alone: all keys are destroyed, and it is complete on the chain", async () => {
    const { city } = t;
    const { ConsentRegistry } = city.contracts;
    const home = t.streamOf("home");
    const research = purposeHash(RESEARCH);
    expect(await ConsentRegistry.subjectOf(home).then((s) => s.toLowerCase())).toBe(city.people.resident.address);
    expect(await ConsentRegistry.authorised(home, research, city.people.buyer.address)).toBe(true);
    expect(await ConsentRegistry.authorised(home, research, city.people.citizen.address)).toBe(false);
    const { code, out } = await msec(["erase", "home/room", "--person", "--dir", city.layout.root, "--json"]);
    expect(code, out).toBe(0);
    const result = JSON.parse(out) as { complete: boolean; packs: number; holders: unknown[]; number: number };
    expect(result).toMatchObject({ complete: true, number: 1 });
    expect(result.packs).toBeGreaterThan(50);
    expect(result.holders).toHaveLength(2);
    expect(await ConsentRegistry.authorised(home, research, city.people.buyer.address)).toBe(false);
    for (const n of [1, 2]) await expect(keysOf(t, n, home, 0, 0xffffffff)).rejects.toThrow(/not held any more/);
    const again = await msec(["erase", "home/room", "--all", "--dir", city.layout.root]);
    expect(again.code).not.toBe(0);
    expect(again.out).toMatch(/ConsentRegistry_StreamErased/);
  });
});

const onQuorum = process.env.MSEC_NETWORK === "quorum";
if (onQuorum) console.log("skipped: a chain that stood still, since nobody sets the clock of a Quorum network");

describe("a chain that stood still", () => {
  test.skipIf(onQuorum)(
    "takes nobody's time: its windows close by blocks too",
    async () => {
      const deliverer = await funded(t, 6_000n);
      const offer = await offerOf(t, preimage, stream, {
        deliverer: deliverer.address,
        deliverSeconds: 200,
        complainSeconds: 200,
      });
      const window = await windowOf(first + 3, first + 4);
      const open = await openDeal(t, offer, preimage, window);
      // The clock goes on by five minutes while hardly a block is made, as after a halt.
      await t.city.provider.send("evm_increaseTime", [300]);
      const at = await t.city.provider.getBlockNumber();
      await until("a block after the halt", async () => (await t.city.provider.getBlockNumber()) > at);
      const now = (await t.city.provider.getBlock("latest"))?.timestamp ?? 0;
      expect(now * 1000).toBeGreaterThan(Date.now() + 200_000);
      expect(await refusal(t, t.city.people.buyer.address, escrow(), await endCall(t, open, "refund"))).toMatch(
        /Escrow_WindowOpen/,
      );
      const keys = await keysOf(t, 2, stream, window.fromSlot, window.toSlot);
      await senderOf(t, deliverer).transact({
        to: escrow(),
        data: await deliverCall(t, open, delivery(t, open, keys)),
      });
      const { Escrow } = t.city.contracts;
      expect(await Escrow.queryFilter(Escrow.filters.Delivered(open.id), 0)).toHaveLength(1);
    },
    240_000,
  );
});
