import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cover, derive, type Hex, LAST_SLOT, leafNode, ProtocolError, puncture, rootNode } from "@msec/core";
import type pg from "pg";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type EmbeddedPostgres, startPostgres } from "./embedded.ts";
import { ErasureKeys } from "./erasure-keys.ts";
import { Frontiers } from "./frontiers.ts";
import { connect, transaction } from "./pool.ts";
import { FileRoot } from "./root.ts";

const STREAM: Hex = `0x${"5a".repeat(32)}`;
const OTHER: Hex = `0x${"0b".repeat(32)}`;
const SEED = new Uint8Array(32).fill(7);

let folder: string;
let server: EmbeddedPostgres;
let db: pg.Pool;
let keys: ErasureKeys;
let files: string;
let run = 0;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "msec-frontiers-"));
  server = await startPostgres(join(folder, "postgres"));
  db = connect(await server.database("frontiers"));
});
afterAll(async () => {
  await db?.end();
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  await db.query("drop table if exists frontiers");
  files = join(folder, `run-${run++}`);
  mkdirSync(files);
  keys = await openKeys(files);
});

const openKeys = (at: string) => ErasureKeys.open(join(at, "erasure.keys"), new FileRoot(join(at, "erasure.root")));
const whole = () => [rootNode(SEED)];
const places = (nodes: readonly { depth: number; firstSlot: number }[] | undefined) =>
  nodes?.map(({ depth, firstSlot }) => ({ depth, firstSlot }));

/** A pool whose update of a frontier is committed or not, and whose answer is then lost. */
function losingAnswers(commit: boolean): pg.Pool {
  return {
    query: async (text: string, values?: unknown[]) => {
      if (!text.startsWith("update")) return db.query(text, values);
      if (commit) await db.query(text, values);
      throw new Error("the connection ended");
    },
  } as unknown as pg.Pool;
}

test("a frontier is kept once and never replaced", async () => {
  const frontiers = await Frontiers.open(db, keys);
  expect(await frontiers.get(STREAM)).toBeUndefined();
  expect(await frontiers.keep(STREAM, whole())).toBe(true);
  expect(await frontiers.keep(STREAM, [rootNode(new Uint8Array(32))])).toBe(false);
  expect(await frontiers.get(STREAM)).toEqual(whole());
  const again = await Frontiers.open(db, await openKeys(files));
  expect(await again.keep(STREAM, [rootNode(new Uint8Array(32))])).toBe(false);
  expect(await again.get(STREAM)).toEqual(whole());
});

test("nothing in the table is a key in the clear", async () => {
  const frontiers = await Frontiers.open(db, keys);
  await frontiers.keep(STREAM, whole());
  const { rows } = await db.query("select wrapped from frontiers");
  expect((rows[0] as { wrapped: Buffer }).wrapped.includes(Buffer.from(SEED))).toBe(false);
});

test("a puncture takes the slots, leaves the others, and lasts over a restart", async () => {
  const frontiers = await Frontiers.open(db, keys);
  await frontiers.keep(STREAM, whole());
  await frontiers.keep(OTHER, whole());
  expect(await frontiers.puncture(STREAM, 10, 12)).toBe(true);
  for (const held of [frontiers, await Frontiers.open(db, await openKeys(files))]) {
    const left = (await held.get(STREAM)) ?? [];
    expect(places(left)).toEqual(cover(0, LAST_SLOT, [[10, 12]]));
    expect(leafNode(left, 9)).toEqual(leafNode(whole(), 9));
    expect(() => leafNode(left, 11)).toThrow(ProtocolError);
    expect(await held.get(OTHER)).toEqual(whole());
  }
});

test("a puncture up to the end of time, and of a stream that is not held", async () => {
  const frontiers = await Frontiers.open(db, keys);
  await frontiers.keep(STREAM, whole());
  expect(await frontiers.puncture(STREAM, 5, 2 ** 40)).toBe(true);
  expect(places(await frontiers.get(STREAM))).toEqual(cover(0, 4));
  expect(await frontiers.puncture(OTHER, 0, 1)).toBe(false);
  expect(keys.get(OTHER)).toBeUndefined();
});

test("a copy of the row made before the puncture does not open afterwards", async () => {
  const frontiers = await Frontiers.open(db, keys);
  await frontiers.keep(STREAM, whole());
  await db.query("create table backup as select * from frontiers");
  try {
    await frontiers.puncture(STREAM, 100, 200);
    await db.query("delete from frontiers");
    await db.query("insert into frontiers select * from backup");
    const restored = await Frontiers.open(db, await openKeys(files));
    await expect(restored.get(STREAM)).rejects.toThrow(/erasure key that is gone: the database is an old copy/);
    // Not even under its number of now: the key itself is another.
    await db.query("update frontiers set generation = 2");
    await expect((await Frontiers.open(db, await openKeys(files))).get(STREAM)).rejects.toThrow();
  } finally {
    await db.query("drop table backup");
  }
});

test("a crash between stage and commit: the old frontier stands, the staged key is forgotten", async () => {
  await (await Frontiers.open(db, keys)).keep(STREAM, whole());
  keys.stage(STREAM);
  const restarted = await openKeys(files);
  const frontiers = await Frontiers.open(db, restarted);
  expect(restarted.staged()).toEqual([]);
  expect(await frontiers.get(STREAM)).toEqual(whole());
});

test("a crash between commit and promote: the punctured frontier stands, the old key is overwritten", async () => {
  await (await Frontiers.open(db, keys)).keep(STREAM, whole());
  const old = keys.get(STREAM)?.key;
  const cut = await Frontiers.open(losingAnswers(true), keys);
  await expect(cut.puncture(STREAM, 7, 7)).rejects.toThrow("the connection ended");
  const restarted = await openKeys(files);
  expect(restarted.staged()).toEqual([{ streamId: STREAM, generation: 2 }]);
  const frontiers = await Frontiers.open(db, restarted);
  expect(places(await frontiers.get(STREAM))).toEqual(cover(0, LAST_SLOT, [[7, 7]]));
  expect(restarted.get(STREAM)).toMatchObject({ generation: 2 });
  expect(restarted.get(STREAM)?.key).not.toEqual(old);
});

test("a commit whose answer was lost, then a second try that is cut off too, loses no key that is not erased", async () => {
  await (await Frontiers.open(db, keys)).keep(STREAM, whole());
  const answers = { commit: true };
  const flaky = {
    query: (text: string, values?: unknown[]) => losingAnswers(answers.commit).query(text, values),
  } as unknown as pg.Pool;
  const cut = await Frontiers.open(flaky, keys);
  await expect(cut.puncture(STREAM, 7, 7)).rejects.toThrow("the connection ended");
  answers.commit = false;
  await expect(cut.puncture(STREAM, 7, 7)).rejects.toThrow("the connection ended");
  const frontiers = await Frontiers.open(db, await openKeys(files));
  expect(await frontiers.puncture(STREAM, 7, 7)).toBe(true);
  const left = (await frontiers.get(STREAM)) ?? [];
  expect(left).toEqual(puncture(whole(), 7, 7));
});

test("a lost answer within one run is settled by the next try", async () => {
  await (await Frontiers.open(db, keys)).keep(STREAM, whole());
  const answers = { lose: true };
  const flaky = {
    query: (text: string, values?: unknown[]) =>
      answers.lose ? losingAnswers(true).query(text, values) : db.query(text, values),
  } as unknown as pg.Pool;
  const frontiers = await Frontiers.open(flaky, keys);
  await expect(frontiers.puncture(STREAM, 7, 7)).rejects.toThrow("the connection ended");
  answers.lose = false;
  expect(await frontiers.puncture(STREAM, 9, 9)).toBe(true);
  expect(await frontiers.get(STREAM)).toEqual(
    derive(
      whole(),
      cover(0, LAST_SLOT, [
        [7, 7],
        [9, 9],
      ]),
    ),
  );
});

test("erasure keys and database are backed up apart: with the keys of another time the frontier does not open", async () => {
  await (await Frontiers.open(db, keys)).keep(STREAM, whole());
  const copy = join(folder, `copy-${run}`);
  cpSync(files, copy, { recursive: true });
  await (await Frontiers.open(db, keys)).puncture(STREAM, 1, 1);
  const frontiers = await Frontiers.open(db, await openKeys(copy));
  await expect(frontiers.get(STREAM)).rejects.toThrow(/erasure key that is gone/);
});

test("a transaction is whole or not at all, and numbers of 64 bits come back exactly", async () => {
  await db.query("create table if not exists numbers (n bigint)");
  await expect(
    transaction(db, async (tx) => {
      await tx.query("insert into numbers values (1)");
      throw new Error("no");
    }),
  ).rejects.toThrow("no");
  await transaction(db, (tx) => tx.query("insert into numbers values (9007199254740993)"));
  expect((await db.query("select n from numbers")).rows).toEqual([{ n: "9007199254740993" }]);
});
