import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { streamId, type StreamPreimage } from "@msec/core";
import { serve } from "@msec/service";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { routesOf } from "./api.ts";
import { Decoder } from "./decode.ts";
import { describeStream } from "./describe.ts";
import { Reader } from "./reader.ts";
import { handlers, NotYet, openapi, type Route } from "./routes.ts";
import { Store } from "./store.ts";
import { account, ADDRESSES, emitted, FakeChain, TestDatabases, word } from "./testbed.ts";

const [SELLER, BUYER, OTHER] = [account(0xa), account(0xb), account(0xc)];
const PARK: StreamPreimage = {
  ...{ deviceId: word(1), ownerEpoch: 1, name: "park/air", slotSeconds: 60, mode: 0, salt: word(9) },
  schema: {
    quantities: [{ name: "no2", unit: "ug/m3", text: "Nitrogen dioxide" }],
    retainDays: 0,
    padCount: 0,
    padBytes: 0,
  },
};
const PARK_ID = streamId(PARK);
const PARK_THING = {
  title: "park/air",
  place: { latitude: 43.4728, longitude: -3.8002, accuracy: 5, name: "Las Llamas" },
};

let databases: TestDatabases;
let close: () => void;
let url: string;
let routes: Route[];
let reader: Reader;
const chain = new FakeChain();

beforeAll(async () => {
  databases = await TestDatabases.start();
  const store = await Store.open(await databases.open("api"), { chainId: 1, addresses: ADDRESSES }, false);
  reader = new Reader(chain.provider, new Decoder(ADDRESSES), store, 0, () => undefined);
  chain.mine(
    emitted("DeviceRegistry", "Enrolled", { deviceId: word(1), owner: SELLER, organisation: word(5), assurance: 2 }),
    emitted("DeviceRegistry", "Enrolled", { deviceId: word(2), owner: OTHER, assurance: 1 }),
  );
  const stream = { deviceId: word(1), mode: 0, slotSeconds: 60 };
  const terms = { unitPrice: 10, token: ADDRESSES.MSecToken };
  chain.mine(
    emitted("Marketplace", "OfferPublished", { offerId: word(11), streamId: PARK_ID, seller: SELLER, stream, terms }),
    emitted("Marketplace", "OfferPublished", {
      ...{ offerId: word(12), streamId: word(102), seller: OTHER },
      ...{ stream: { ...stream, deviceId: word(2), mode: 1 }, terms: { ...terms, unitPrice: 3_000 } },
    }),
  );
  chain.mine(emitted("Marketplace", "OfferClosed", { offerId: word(12) }));
  const deal = { seller: SELLER, streamId: PARK_ID, price: 10n ** 20n, readings: 7 };
  for (const n of [21, 22, 23])
    chain.mine(
      emitted("Escrow", "DealOpened", { dealId: word(n), buyer: n === 23 ? OTHER : BUYER, deliverer: OTHER, deal }),
    );
  chain.mine(
    emitted("Escrow", "Delivered", { dealId: word(21) }),
    emitted("Escrow", "Delivered", { dealId: word(22) }),
  );
  chain.mine(
    emitted("Escrow", "Released", { dealId: word(21), toSeller: 5 }),
    emitted("Escrow", "Refunded", { dealId: word(22), reason: 4 }),
  );
  const [court, id] = [ADDRESSES.Escrow, word(24)];
  chain.mine(
    emitted("Arbitration", "PanelSet", {
      panel: 1,
      members: [account(0x71), account(0x72), account(0x73), account(0x74)],
      organisations: [word(71), word(72), word(73), word(74)],
    }),
    emitted("Arbitration", "PanelSet", { panel: 2, members: [account(0x75)], organisations: [word(75)] }),
  );
  chain.mine(
    emitted("Escrow", "DealOpened", { dealId: id, buyer: OTHER, deliverer: OTHER, deal }),
    emitted("Escrow", "Disputed", { dealId: id, complaint: word(9), complaintBond: 2n ** 65n }),
    emitted("Arbitration", "CaseOpened", { court, id, panel: 1, excluded: 2 }),
    // Anybody may open cases of their own.
    emitted("Arbitration", "CaseOpened", { court: OTHER, id, panel: 2, excluded: 0 }),
    emitted("Arbitration", "Committed", { court: OTHER, id, seat: 3 }),
  );
  for (const seat of [0, 2]) chain.mine(emitted("Arbitration", "Committed", { court, id, seat }));
  chain.mine(emitted("Arbitration", "Revealed", { court, id, seat: 2, perMille: 400 }));
  chain.mine(emitted("ConsentRegistry", "Granted", { streamId: PARK_ID, purpose: word(7), untilMs: 2n ** 63n }));
  chain.mine(emitted("ConsentRegistry", "Granted", { streamId: PARK_ID, purpose: word(8), grantee: BUYER }));
  chain.mine(emitted("ConsentRegistry", "Revoked", { streamId: PARK_ID, purpose: word(8), grantee: BUYER }));
  chain.mine(
    emitted("ConsentRegistry", "ErasureRequested", { streamId: PARK_ID, number: 1, fromSlot: 3, toSlot: 4, at: 1_000 }),
    emitted("DeviceRegistry", "StatusSet", { deviceId: word(2), status: 3 }),
    emitted("DataAnchor", "Anchored", { number: 1, epochHash: word(77), packs: 2, readings: 9 }),
    emitted("Subscription", "Subscribed", { subscriptionId: word(31), buyer: BUYER, deliverer: OTHER, deposit: 5 }),
    emitted("Subscription", "BatchDelivered", { subscriptionId: word(31), number: 1 }),
  );
  await reader.tick();
  await store.describe(PARK_ID, PARK);
  await store.putThing(PARK_ID, 1, PARK_THING);
  await store.reached([{ streamId: PARK_ID, thing: 1, firstSlot: 5, toMs: 900_000, anchoredAt: Date.now() - 60_000 }]);
  await store.putScore(SELLER, word(5), 70);
  routes = routesOf(
    store,
    async () => {
      const said = { healthy: true, problems: [], chainId: 1, chainHead: 9, block: 9, caughtUpAtMs: 1, events: 19 };
      return said;
    },
    async () => {
      throw new NotYet("the chain was not read yet: ask again");
    },
  );
  const server = await serve(handlers(routes), "127.0.0.1", 0, (error) => {
    throw error;
  });
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  close = () => void server.close();
}, 120_000);
afterAll(async () => {
  close();
  await databases.stop();
});

/** The answer, which must have the shape that the API's document promises. */
async function get(path: string) {
  const response = await fetch(url + path);
  const body = (await response.json()) as Record<string, unknown>;
  if (response.ok) {
    const route = routes.find((r) =>
      new RegExp(`^${r.path.replace(/\{\w+\}/g, "[^/]+")}$`).test(path.split("?")[0] ?? ""),
    );
    route?.answer.parse(body);
  }
  return { http: response.status, ...body } as { http: number; items: Record<string, unknown>[] } & Record<
    string,
    unknown
  >;
}
const ids = async (path: string, key: string) => (await get(path)).items.map((item) => item[key]);

describe("questions", () => {
  test("offers, by what they are of, who sells them and for how much", async () => {
    expect(await ids("/offers", "offerId")).toEqual([word(12), word(11)]);
    expect(await ids("/offers?open=true", "offerId")).toEqual([word(11)]);
    expect(await ids(`/offers?seller=${OTHER}`, "offerId")).toEqual([word(12)]);
    expect(await ids("/offers?mode=1&open=false", "offerId")).toEqual([word(12)]);
    expect(await ids("/offers?mostPrice=10", "offerId")).toEqual([word(11)]);
    expect(await ids("/offers?assurance=2", "offerId")).toEqual([word(11)]);
    expect(await ids("/offers?text=NITROGEN", "offerId")).toEqual([word(11)]);
    expect(await ids("/offers?text=%25", "offerId")).toEqual([]);
    const offer = await get(`/offers/${word(11)}`);
    expect(offer).toMatchObject({
      http: 200,
      open: true,
      assurance: 2,
      description: PARK,
      terms: { unitPrice: "10" },
    });
  });

  test("offers, by where they are measured, when, how freshly, and how their seller is rated", async () => {
    expect(await ids("/offers?where=-3.9,43.4,-3.7,43.5", "offerId")).toEqual([word(11)]);
    expect(await ids("/offers?where=-3.9,43.4,-3.81,43.5", "offerId")).toEqual([]);
    expect(await ids("/offers?text=llamas", "offerId")).toEqual([word(11)]);
    expect(await ids("/offers?from=900000", "offerId")).toEqual([word(11)]);
    expect(await ids("/offers?from=900001", "offerId")).toEqual([]);
    expect(await ids("/offers?to=300000", "offerId")).toEqual([word(11)]);
    expect(await ids("/offers?to=299999", "offerId")).toEqual([]);
    expect(await ids("/offers?fresh=3600", "offerId")).toEqual([word(11)]);
    expect(await ids("/offers?fresh=30", "offerId")).toEqual([]);
    expect(await ids("/offers?leastScore=70", "offerId")).toEqual([word(11)]);
    expect(await ids("/offers?leastScore=71", "offerId")).toEqual([]);
    expect(await get(`/offers/${word(11)}`)).toMatchObject({
      thing: PARK_THING,
      measured: { fromMs: 300_000, toMs: 900_000 },
      score: 70,
    });
    expect(await get(`/offers/${word(12)}`)).toMatchObject({
      thing: null,
      measured: { fromMs: null, toMs: null, anchoredAtMs: null },
      score: null,
    });
    expect(await get(`/streams/${PARK_ID}`)).toMatchObject({ http: 200, thing: PARK_THING, description: PARK });
  });

  test("where the streams on offer stand, each once", async () => {
    const place = { streamId: PARK_ID, name: "park/air", place: "Las Llamas", latitude: 43.4728, longitude: -3.8002 };
    expect(await get("/places")).toMatchObject({
      items: [{ ...place, accuracy: 5, offers: 1, leastPrice: "10", mode: 0 }],
      more: false,
      elsewhere: 0,
    });
    chain.mine(emitted("Marketplace", "OfferPublished", { offerId: word(13), streamId: word(103), seller: OTHER }));
    await reader.tick();
    expect(await get("/places")).toMatchObject({ items: [place], elsewhere: 1 });
    expect((await get("/places?mostPrice=9")).items).toEqual([]);
    expect(await ids("/offers?open=true", "offerId")).toEqual([word(13), word(11)]);
    chain.lose(1);
    await reader.tick();
  });

  test("a deal with its state, and all that happened to it", async () => {
    expect(await ids(`/deals?buyer=${BUYER}`, "state")).toEqual(["refunded", "released"]);
    expect(await ids("/deals?state=funded", "dealId")).toEqual([word(23)]);
    const { events, ...deal } = await get(`/deals/${word(22)}`);
    expect(deal).toMatchObject({
      state: "refunded",
      refund: 4,
      deal: { price: "100000000000000000000", readings: "7" },
    });
    expect((events as { name: string }[]).map((e) => e.name)).toEqual(["DealOpened", "Delivered", "Refunded"]);
  });

  test("a complaint before the panel: who judges, who has voted, what was shown; no other court's case", async () => {
    const seat = { mayJudge: true, committed: false, perMille: null };
    const found = await get("/cases?open=true");
    expect(found.items).toMatchObject([
      {
        ...{ dealId: word(24), complaint: word(9), stake: "36893488147419103232", panel: 1, open: true },
        seats: [
          { ...seat, member: account(0x71), organisation: word(71), committed: true },
          { ...seat, member: account(0x72), mayJudge: false },
          { ...seat, member: account(0x73), committed: true, perMille: 400 },
          { ...seat, member: account(0x74) },
        ],
      },
    ]);
    expect(await get(`/cases/${word(24)}`)).toMatchObject({ http: 200, ...found.items[0] });
    expect((await get(`/cases/${word(23)}`)).http).toBe(404);
    expect(await ids("/deals?state=disputed", "dealId")).toEqual([word(24)]);
    chain.mine(emitted("Escrow", "Resolved", { dealId: word(24), ruled: true }));
    await reader.tick();
    expect((await get("/cases?open=true")).items).toEqual([]);
    expect(await ids("/cases", "open")).toEqual([false]);
    chain.lose(1);
    await reader.tick();
  });

  test("devices, consents, erasures, epochs, subscriptions", async () => {
    expect(await ids("/devices?status=3", "deviceId")).toEqual([word(2)]);
    expect(await get(`/devices/${word(1)}`)).toMatchObject({ http: 200, owner: SELLER, assurance: 2, keyEpoch: 1 });
    expect((await get(`/grants?stream=${PARK_ID}`)).items).toMatchObject([
      { purpose: word(8), grantee: BUYER, standing: false },
      { purpose: word(7), grantee: account(0), standing: true, untilMs: "9223372036854775808" },
    ]);
    expect((await get("/erasures")).items).toMatchObject([{ number: 1, fromSlot: 3, toSlot: 4, completeAtMs: null }]);
    expect((await get("/epochs")).items).toMatchObject([{ number: 1, packs: 2, readings: 9, epochHash: word(77) }]);
    expect((await get(`/subscriptions/${word(31)}`)).batches).toBe(1);
  });

  test("a withdrawal of all ends what was granted before it, and nothing after", async () => {
    chain.mine(emitted("ConsentRegistry", "AllRevoked", { streamId: PARK_ID, epoch: 1 }));
    chain.mine(emitted("ConsentRegistry", "Granted", { streamId: PARK_ID, purpose: word(7), untilMs: 5 }));
    await reader.tick();
    expect(await ids(`/grants?stream=${PARK_ID}`, "standing")).toEqual([true, false, false]);
    chain.lose(2);
    await reader.tick();
    expect(await ids(`/grants?stream=${PARK_ID}`, "standing")).toEqual([false, true]);
  });

  test("page by page it is the same as at once", async () => {
    const all = (await get("/events?limit=500")).items;
    const paged: unknown[] = [];
    let before = "";
    for (;;) {
      const { items, next } = await get(`/events?limit=4${before}`);
      paged.push(...items);
      if (next === null) break;
      before = `&before=${next as number}`;
    }
    expect(paged).toEqual(all);
    expect(await ids("/events?contract=Escrow&name=Delivered", "name")).toEqual(["Delivered", "Delivered"]);
  });

  test.each([
    ["/offers?seller=me", /query seller: expected 0x and 40/],
    ["/offers?limit=0", /query limit/],
    ["/offers?limit=501", /query limit/],
    ["/offers?where=NaN,0,1,1", /query where: expected west,south,east,north/],
    ["/offers?where=3,0,1,1", /query where: west lies east of east/],
    ["/places?where=0,0,1", /query where/],
    ["/places?limit=5", /query: Unrecognized key/],
    ["/offers?before=1;drop table events", /query before/],
    ["/offers?colour=red", /query: Unrecognized key: "colour"/],
    ["/deals/0x12", /dealId: expected 0x and 64/],
  ])("%s is refused, with what is wrong", async (path, message) => {
    const { http, code, message: said } = await get(path);
    expect([http, code]).toEqual([400, "malformed"]);
    expect(said).toMatch(message);
  });

  test("an audit that can't be made yet says so", async () => {
    expect(await get("/audit")).toMatchObject({ http: 503, code: "not-yet" });
  });

  test("an epoch by its number", async () => {
    expect(await ids("/epochs?number=1", "number")).toEqual([1]);
    expect(await ids("/epochs?number=2", "number")).toEqual([]);
  });

  test("what is not there is not found", async () => {
    expect(await get(`/deals/${word(404)}`)).toMatchObject({ http: 404, code: "not-found" });
  });
});

test("the document describes every route, its parameters and its answers", () => {
  const document = JSON.parse(JSON.stringify(openapi(routes, "1"))) as {
    openapi: string;
    paths: Record<string, { get: { parameters: { name: string; in: string; schema: object }[]; responses: object } }>;
  };
  expect(document.openapi).toBe("3.1.0");
  expect(Object.keys(document.paths)).toEqual(routes.map(({ path }) => path));
  for (const [path, { get: question }] of Object.entries(document.paths)) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect(question.parameters.filter((p) => p.in === "path").map((p) => p.name)).toEqual(named);
    for (const { schema } of question.parameters) expect(schema).not.toEqual({});
    expect(question.responses).toHaveProperty("200.content.application/json.schema.type", "object");
  }
});

describe("what a stream is called", () => {
  const operator = (answer: unknown, status = 200) =>
    new Promise<{ url: string; close(): void }>((resolve) => {
      const server = createServer((_, response) => response.writeHead(status).end(JSON.stringify(answer)));
      server.listen(0, "127.0.0.1", () =>
        resolve({
          url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
          close: () => void server.close(),
        }),
      );
    });

  test("is taken from the first operator that tells it rightly", async () => {
    const made = await Promise.all([
      operator({ code: "wrong-stream" }, 400),
      operator({ preimage: { ...PARK, name: "park/gold" } }),
      operator("nonsense"),
      operator({ preimage: PARK }),
    ]);
    const urls = ["http://127.0.0.1:1", ...made.map((o) => o.url)];
    expect(await describeStream(PARK_ID, urls)).toEqual(PARK);
    expect(await describeStream(PARK_ID, urls.slice(0, 4))).toBeUndefined();
    for (const o of made) o.close();
  });
});
