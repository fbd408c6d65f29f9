import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import {
  addressOfKey,
  type Hex,
  registryDomain,
  signTyped,
  streamId,
  type StreamPreimage,
  THING_DESCRIPTION,
  thingDescription,
  thingText,
} from "@msec/core";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Decoder } from "./decode.ts";
import { Reader } from "./reader.ts";
import { followScores } from "./scores.ts";
import { Store } from "./store.ts";
import { followStreams } from "./streams.ts";
import { account, ADDRESSES, emitted, FakeChain, TestDatabases, word } from "./testbed.ts";

const OWNER = new Uint8Array(32).fill(1);
const BUYER_OF_DEVICE = new Uint8Array(32).fill(2);
const DOMAIN = registryDomain(1, ADDRESSES.DeviceRegistry);
const STREAM: StreamPreimage = {
  ...{ deviceId: word(1), ownerEpoch: 1, name: "park/air", slotSeconds: 60, mode: 0, salt: word(9) },
  schema: { quantities: [{ name: "no2", unit: "ug/m3", text: "NO2" }], retainDays: 0, padCount: 0, padBytes: 0 },
};
const ID = streamId(STREAM);

let databases: TestDatabases;
let store: Store;
let reader: Reader;
const chain = new FakeChain();
let runs = 0;

beforeAll(async () => {
  databases = await TestDatabases.start();
  chain.mine(
    emitted("DeviceRegistry", "Enrolled", { deviceId: word(1), owner: addressOfKey(OWNER), assurance: 2 }),
    emitted("Marketplace", "OfferPublished", { offerId: word(11), streamId: ID, seller: account(0xa) }),
  );
}, 120_000);
afterAll(() => databases.stop());
beforeEach(async () => {
  store = await Store.open(await databases.open(`streams_${runs++}`), { chainId: 1, addresses: ADDRESSES }, false);
  reader = new Reader(chain.provider, new Decoder(ADDRESSES), store, 0, () => undefined);
  await reader.tick();
  await store.describe(ID, STREAM);
});

const listed = (thing: unknown) => ({ streamId: ID, thing, firstSlot: 3, toMs: 400_000, anchoredAt: 500_000 });

function signed(version: number, latitude: number, key = OWNER, document?: string) {
  const text = document ?? thingText(ID, { title: "park", place: { latitude, longitude: -3.8 } });
  const said = thingDescription(ID, { version, document: text });
  return { version, document: text, signature: signTyped(key, DOMAIN, THING_DESCRIPTION, said) };
}

/** Follows operators that tell these lists and descriptions. */
async function follow(...operators: { list: unknown; thing?: unknown }[]): Promise<void> {
  const servers = operators.map(({ list, thing }) =>
    createServer(({ url }, response) => response.end(JSON.stringify(url === "/streams" ? list : { thing }))),
  );
  await Promise.all(servers.map((server) => new Promise<void>((done) => server.listen(0, "127.0.0.1", done))));
  const urls = servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await followStreams(store, ["http://127.0.0.1:1", ...urls], DOMAIN);
  for (const server of servers) server.close();
}
const row = async () =>
  (await store.db.query("select thing, place, from_ms, to_ms, anchored_at_ms from streams")).rows[0] as Record<
    string,
    unknown
  >;

describe("what operators tell of streams", () => {
  test("only what the owner signed is taken, the highest version of all operators", async () => {
    await follow(
      { list: [listed(1)], thing: signed(1, 43.1) },
      { list: [listed(3)], thing: signed(3, 43.3) },
      { list: [listed(2)], thing: signed(2, 43.2) },
      { list: [listed(9)], thing: signed(9, 43.9, BUYER_OF_DEVICE) },
    );
    expect(await row()).toMatchObject({ place: { x: -3.8, y: 43.3 }, thing: { title: "park" } });
  });

  test("a place that is none, nonsense and silence leave the stream listed, and nothing breaks", async () => {
    const nowhere = signed(1, 0, OWNER, thingText(ID, { title: "park", place: { latitude: 1, longitude: 1 } }).replace('"latitude":1', '"latitude":91')); // prettier-ignore
    await follow(
      { list: [listed(1)], thing: nowhere },
      { list: [listed(2)], thing: { version: 2, document: 7 } },
      { list: [listed("x"), null, { streamId: "0x" }, listed(null)] },
      { list: "nonsense" },
      { list: [listed(2)], thing: null },
    );
    expect(await row()).toMatchObject({ thing: null, place: null, to_ms: "400000" });
    await follow({ list: [listed(4)], thing: signed(4, 43.4) });
    expect(await row()).toMatchObject({ place: { x: -3.8, y: 43.4 } });
  });

  test("a place that was taken back is gone", async () => {
    await follow({ list: [listed(1)], thing: signed(1, 43.1) });
    const without = thingText(ID, { title: "park" });
    await follow({ list: [listed(2)], thing: signed(2, 0, OWNER, without) });
    expect(await row()).toMatchObject({ thing: { title: "park" }, place: null });
  });

  test("how far a stream has come is what reaches furthest", async () => {
    await follow(
      { list: [listed(null)] },
      { list: [{ ...listed(null), firstSlot: 4, toMs: 700_000, anchoredAt: null }] },
    );
    expect(await row()).toMatchObject({ from_ms: "180000", to_ms: "700000", anchored_at_ms: "500000" });
  });
});

test("sellers' scores are asked of the chain once, and again when they were rated", async () => {
  let lower = 0;
  let asked = 0;
  const Reputation = {
    providerOf: async () => [word(5), false],
    scoreOf: async () => {
      asked++;
      return { lower: BigInt(lower), count: lower === 0 ? 0n : 1n };
    },
  } as never;
  const score = async () => ((await store.db.query("select score from scores")).rows[0] as { score: number }).score;
  await followScores(store, { Reputation });
  await followScores(store, { Reputation });
  expect([asked, await score()]).toEqual([1, null]);
  chain.mine(emitted("Reputation", "Rated", { provider: word(5) as Hex }));
  await reader.tick();
  lower = 2 ** 31;
  await followScores(store, { Reputation });
  await followScores(store, { Reputation });
  expect([asked, await score()]).toEqual([2, 50]);
  chain.lose(1);
});
