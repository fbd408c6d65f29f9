import fc from "fast-check";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Decoder } from "./decode.ts";
import { Reader } from "./reader.ts";
import { Store } from "./store.ts";
import { account, ADDRESSES, type Emitted, FakeChain, TestDatabases, word } from "./testbed.ts";

let databases: TestDatabases;
let count = 0;
beforeAll(async () => {
  databases = await TestDatabases.start();
}, 120_000);
afterAll(() => databases.stop());

const CITY = { chainId: 20_260, addresses: ADDRESSES };
const decoder = new Decoder(ADDRESSES);
const anchored = (n: number): Emitted => ["DataAnchor", "Anchored", [n, word(n), 1, 10]];

async function reading(chain: FakeChain, pool?: pg.Pool) {
  const db = pool ?? (await databases.open(`reader_${++count}`));
  const store = await Store.open(db, CITY, false);
  const losses: number[] = [];
  return { db, store, losses, reader: new Reader(chain.provider, decoder, store, 0, (block) => losses.push(block)) };
}
const kept = async (db: pg.Pool) =>
  (await db.query("select block, index, tx, contract, name, args from events order by block, index")).rows.map(
    (row) => ({
      ...row,
      block: Number(row.block),
    }),
  );
const told = (chain: FakeChain) => chain.blocks.flatMap(({ logs }) => logs.map((log) => decoder.decode(log)));

describe("the reader", () => {
  test("keeps every event once, in the order of the chain, over ranges and restarts", async () => {
    const chain = new FakeChain();
    for (let n = 0; n < 4_500; n++) chain.mine(...(n % 900 === 7 ? [anchored(n)] : []));
    const { db, reader } = await reading(chain);
    await reader.tick();
    await reader.tick();
    expect(await kept(db)).toEqual(told(chain));
    chain.mine(anchored(1), anchored(2));
    const again = await reading(chain, db);
    await again.reader.tick();
    expect(await kept(db)).toEqual(told(chain));
    // Of blocks without events only the newest is remembered.
    expect((await again.store.blocks(100)).map((b) => b.number)).toEqual([4_500, 3_607, 2_707, 1_807, 907, 7]);
  });

  test("forgets what the chain has lost and reads what stands there now", async () => {
    const chain = new FakeChain();
    for (let n = 1; n <= 10; n++) chain.mine(anchored(n));
    const { db, reader, losses } = await reading(chain);
    await reader.tick();
    chain.lose(4);
    await reader.tick();
    expect(await kept(db)).toEqual(told(chain));
    for (let n = 20; n <= 30; n++) chain.mine(...(n % 2 ? [] : [anchored(n)]));
    chain.lose(2);
    chain.mine(anchored(99));
    await reader.tick();
    expect(await kept(db)).toEqual(told(chain));
    expect(losses).toEqual([5]);
  });

  test("another chain under the same city is read from the start", async () => {
    const chain = new FakeChain();
    for (let n = 1; n <= 120; n++) chain.mine(anchored(n));
    const { db, reader } = await reading(chain);
    await reader.tick();
    chain.lose(120);
    for (let n = 1; n <= 3; n++) chain.mine(anchored(n));
    await reader.tick();
    expect(await kept(db)).toEqual(told(chain));
  });

  test("whatever the chain mines, loses and fails at, it ends with what the chain says", async () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ mine: fc.array(fc.nat({ max: 2 }), { minLength: 1, maxLength: 6 }) }) },
      { weight: 1, arbitrary: fc.record({ lose: fc.nat({ max: 5 }) }) },
      { weight: 2, arbitrary: fc.record({ fail: fc.nat({ max: 2 }) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const chain = new FakeChain();
        chain.mine();
        const { db, reader } = await reading(chain);
        for (const s of steps) {
          if ("mine" in s) for (const n of s.mine) chain.mine(...Array.from({ length: n }, (_, i) => anchored(i)));
          if ("lose" in s) chain.lose(Math.min(s.lose, chain.blocks.length - 1));
          if ("fail" in s) chain.failures = s.fail;
          await reader.tick().catch((error: Error) => expect(error.message).toBe("the node is away"));
        }
        chain.failures = 0;
        await reader.tick();
        expect(await kept(db)).toEqual(told(chain));
      }),
      { numRuns: 25 },
    );
  }, 180_000);
});

describe("the database", () => {
  test("of another city is refused, and read anew where that is asked for", async () => {
    const chain = new FakeChain();
    chain.mine(anchored(1));
    const { db, reader } = await reading(chain);
    await reader.tick();
    const other = { ...CITY, addresses: { ...ADDRESSES, Escrow: account(7) } };
    await expect(Store.open(db, other, false)).rejects.toThrow(/holds another city, of chain 20260: .*--rebuild/);
    expect(await kept(db)).toHaveLength(1);
    await Store.open(db, other, true);
    expect(await kept(db)).toEqual([]);
  });

  test("of an older version is read anew", async () => {
    const chain = new FakeChain();
    chain.mine(anchored(1));
    const { db, reader } = await reading(chain);
    await reader.tick();
    await db.query("update city set version = 0");
    const again = await reading(chain, db);
    expect(await kept(db)).toEqual([]);
    await again.reader.tick();
    expect(await kept(db)).toEqual(told(chain));
  });

  test("is made once by two that start at the same time", async () => {
    const db = await databases.open(`reader_${++count}`);
    await Promise.all([1, 2, 3].map(() => Store.open(db, CITY, false)));
    expect((await db.query("select * from city")).rows).toHaveLength(1);
  });
});
