import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ReplayConfig } from "../config.ts";
import type { Batch } from "./driver.ts";
import { safeNames } from "./driver.ts";
import { ReplayDriver } from "./replay.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "msec-replay-"));
});
afterEach(() => rm(dir, { recursive: true }));

const config = (extra: Partial<ReplayConfig> = {}): ReplayConfig => ({
  kind: "replay",
  file: join(dir, "a.csv"),
  time: { columns: ["Date", "Time"], format: "dd/mm/yyyy" },
  ignore: [],
  missing: ["-200"],
  speed: "max",
  recorded: true,
  end: true,
  ...extra,
});
const write = (text: string) => writeFile(join(dir, "a.csv"), text);
async function read(driver: ReplayDriver, position: string | null = null, limit = 1e9): Promise<Batch[]> {
  const out: Batch[] = [];
  const quantities = await driver.discover();
  for await (const batch of driver.batches(position, quantities, new AbortController().signal)) {
    out.push(batch);
    if (out.length >= limit) break;
  }
  return out;
}
const shown = (batches: Batch[]) => batches.map((b) => b.readings.map((r) => `${r.name}=${String(r.value)}`).join(" "));

const FILE = `Date,Time,CO(GT),T °C
10/03/2004,18:00:00,2.6,13.60
10/03/2004,19:00:00,-200,-200
10/03/2004,20:00:00,-200.0,0.1000000000000000055511151231257827
10/03/2004,21:00:00,,-200
10/03/2004,22:00:00,1e3,7
10/03/2004,23:00:00,-200,
`;

test("missing values are no readings, numbers come back exactly, headers become safe names", async () => {
  await write(FILE);
  const driver = new ReplayDriver(config());
  expect(await driver.discover()).toEqual([
    { name: "CO_GT_", unit: "", text: "CO(GT)" },
    { name: "T__C", unit: "", text: "T °C" },
  ]);
  const batches = await read(driver);
  expect(shown(batches)).toEqual([
    "CO_GT_=2.6 T__C=13.6",
    "T__C=0.1000000000000000055511151231257827",
    "CO_GT_=1000 T__C=7",
  ]);
  expect(batches.map((b) => b.last)).toEqual([false, false, true]);
  expect(batches[0]?.tMs).toBe(Date.UTC(2004, 2, 10, 18));
});

test("goes on after any position with what follows it, also when the file has grown", async () => {
  await write(FILE);
  const driver = new ReplayDriver(config({ end: false }));
  const all = await read(driver);
  for (let i = 0; i < all.length; i++)
    expect(shown(await read(driver, all[i]!.position))).toEqual(shown(all).slice(i + 1));
  await write(`${FILE}11/03/2004,00:00:00,5,6\n`);
  expect(shown(await read(driver, all.at(-1)!.position))).toEqual(["CO_GT_=5 T__C=6"]);
});

test("another file in its place is refused", async () => {
  await write(FILE);
  const [first] = await read(new ReplayDriver(config()));
  await write(FILE.slice(0, 80));
  await expect(read(new ReplayDriver(config()), first!.position)).rejects.toMatchObject({ code: "source-changed" });
});

test("nonsense is refused with its line", async () => {
  await write("Date,Time,CO\n10/03/2004,18:00:00,1\n10/03/2004,19:00:00,abc\n");
  await expect(read(new ReplayDriver(config()))).rejects.toThrow(/^line 3: "abc" under CO is not a number/);
  await write("Date,Time,CO\n10/03/2004,18:00:00\n");
  await expect(read(new ReplayDriver(config()))).rejects.toThrow(/^line 2: 2 fields, the header has 3/);
  await write("Date,Time,CO\n2004-03-10,18:00:00,1\n");
  await expect(read(new ReplayDriver(config()))).rejects.toThrow(/^line 2: .* is not a time as dd\/mm\/yyyy/);
  await write("When,CO\n");
  await expect(read(new ReplayDriver(config()))).rejects.toThrow(/no column "Date"; it has When, CO/);
  await write("");
  await expect(read(new ReplayDriver(config()))).rejects.toThrow(/is empty/);
  await expect(read(new ReplayDriver(config({ file: join(dir, "none.csv") })))).rejects.toMatchObject({ code: "csv" });
});

test("live replay stamps rows with the moment of reading, at its speed", async () => {
  await write(FILE);
  const before = Date.now();
  const batches = await read(new ReplayDriver(config({ recorded: false, speed: 3600 * 20 })));
  expect(batches[0]!.tMs).toBeGreaterThanOrEqual(before);
  expect(batches[2]!.tMs - batches[0]!.tMs).toBeGreaterThanOrEqual(190);
});

test("names are distinct and start with a letter or digit", () => {
  expect(safeNames(["a b", "a_b", "a(b", "µ", "_x", "1/m"])).toEqual(["a_b", "a_b_2", "a_b_3", "q", "x", "1/m"]);
});
