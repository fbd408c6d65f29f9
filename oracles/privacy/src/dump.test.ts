import { randomBytes } from "node:crypto";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type EmbeddedPostgres, startPostgres } from "@msec/companion-db";
import { afterAll, beforeAll, expect, test } from "vitest";
import { dumpPayloads, loadPayloads } from "./dump.ts";
import { type Envelope, keyOf, senderOf } from "./payload.ts";
import { Store } from "./store.ts";

const folder = mkdtempSync(join(tmpdir(), "msec-privacy-dump-"));
let postgres: EmbeddedPostgres;
let n = 0;

beforeAll(async () => (postgres = await startPostgres(join(folder, "postgres"))));
afterAll(async () => {
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A new database, and what may be done with it. */
async function database() {
  const url = await postgres.database(`dump_${n++}`);
  const pool = connect(url);
  return { url, store: await Store.open(pool), end: () => pool.end() };
}

const envelope = (): Envelope => ({
  ...{ flag: 1, execHash: "", affected: [{ key: "k", proof: "p" }], mandatory: [], participants: [] },
  body: new Uint8Array(randomBytes(100)),
  boxes: ["b", "c"].map((recipient) => ({ recipient, box: new Uint8Array(randomBytes(10)) })),
});

test("a database comes back whole from its dump, in its order, with what waits and what was not sent", async () => {
  const [from, to] = [await database(), await database()];
  const all = Array.from({ length: 450 }, envelope);
  for (const [i, one] of all.entries())
    await from.store.put(keyOf(one.body), senderOf(one.body), one, i % 100 === 0 ? ["beta"] : []);
  const raw = new Uint8Array(randomBytes(80));
  await from.store.putRaw(keyOf(raw), raw, Uint8Array.of(7));
  const file = join(folder, "whole");
  expect(await dumpPayloads(from.url, file)).toBe(451);
  expect(statSync(file).mode & 0o077).toBe(0);
  expect(await loadPayloads(to.url, file)).toBe(451);
  expect((await to.store.page("0", 1000)).map((one) => one.envelope)).toEqual(all);
  expect((await to.store.waiting("beta", 10)).map((one) => one.envelope)).toEqual(
    [0, 100, 200, 300, 400].map((i) => all[i]),
  );
  expect(await to.store.raw(keyOf(raw))).toEqual({ body: raw, box: Uint8Array.of(7) });
  // Again, and beside what has come since: nothing is doubled or lost.
  const later = envelope();
  await to.store.put(keyOf(later.body), "a", later);
  await loadPayloads(to.url, file);
  expect((await to.store.counts()).payloads).toBe(451);
  await Promise.all([from.end(), to.end()]);
});

test("a dump that was cut off or altered adds nothing, and none is written over another", async () => {
  const [from, to] = [await database(), await database()];
  for (const one of [envelope(), envelope()]) await from.store.put(keyOf(one.body), "a", one);
  const file = join(folder, "cut");
  await dumpPayloads(from.url, file);
  await expect(dumpPayloads(from.url, file)).rejects.toThrow("EEXIST");
  truncateSync(file, statSync(file).size - 20);
  await expect(loadPayloads(to.url, file)).rejects.toThrow(/line 2 is cut off/);
  expect((await to.store.counts()).payloads).toBe(0);
  const whole = readFileSync(file, "utf8").split("\n")[0] as string;
  const conflicting = JSON.stringify({ ...JSON.parse(whole), flag: 2 });
  truncateSync(file, 0);
  appendFileSync(file, `${whole}\n${conflicting}\n`);
  await expect(loadPayloads(to.url, file)).rejects.toThrow("another flag");
  expect((await to.store.counts()).payloads).toBe(0);
  await Promise.all([from.end(), to.end()]);
});
