import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type EmbeddedPostgres, startPostgres } from "@msec/companion-db";
import { afterAll, beforeAll, expect, test } from "vitest";
import { toBase64 } from "./encoding.ts";
import { type Envelope } from "./payload.ts";
import { Store } from "./store.ts";

const folder = mkdtempSync(join(tmpdir(), "msec-privacy-store-"));
let postgres: EmbeddedPostgres;
let db: ReturnType<typeof connect>;
let store: Store;

beforeAll(async () => {
  postgres = await startPostgres(folder);
  db = connect(await postgres.database("store"));
  store = await Store.open(db);
});
afterAll(async () => {
  await db?.end();
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const random = (n: number) => toBase64(randomBytes(n));
const envelope = (change: Partial<Envelope> = {}): Envelope => ({
  ...{ flag: 1, execHash: "", affected: [], mandatory: [], participants: [] },
  body: new Uint8Array(randomBytes(100)),
  boxes: [{ recipient: "b", box: new Uint8Array(randomBytes(10)) }],
  ...change,
});

test("what was kept comes back; again, with more boxes, it gains those alone", async () => {
  const [key, one] = [random(64), envelope()];
  await store.put(key, "a", one, ["beta"]);
  expect(await store.get(key)).toEqual(one);
  const more = { ...one, boxes: [...one.boxes, { recipient: "c", box: new Uint8Array(3) }] };
  await store.put(key, "a", more, ["beta"]);
  expect(await store.get(key)).toEqual(more);
  expect(await store.waiting("beta", 9)).toHaveLength(1);
});

test("the same payload with other metadata is refused, and nothing of it is kept", async () => {
  const [key, one] = [random(64), envelope()];
  await store.put(key, "a", one);
  const boxes = [{ recipient: "mallory", box: new Uint8Array(3) }];
  await expect(store.put(key, "a", { ...one, flag: 0, boxes }, ["gamma"])).rejects.toMatchObject({ status: 409 });
  expect(await store.get(key)).toEqual(one);
  expect(await store.waiting("gamma", 9)).toEqual([]);
});

test("the order of lists is none of the metadata's", async () => {
  const [key, one] = [random(64), envelope({ flag: 3, execHash: "x", participants: ["a", "b"] })];
  await store.put(key, "a", one);
  await store.put(key, "a", { ...one, participants: ["b", "a"] });
});

test("ten at once keep it once", async () => {
  const [key, one] = [random(64), envelope()];
  await Promise.all(Array.from({ length: 10 }, () => store.put(key, "a", one)));
  expect(await store.get(key)).toEqual(one);
});

test("a stored payload is gone once it is sent", async () => {
  const [key, one] = [random(64), envelope()];
  await store.putRaw(key, one.body, new Uint8Array(5));
  expect(await store.raw(key)).toEqual({ body: one.body, box: new Uint8Array(5) });
  await store.put(key, "a", one);
  expect(await store.raw(key)).toBeUndefined();
});
