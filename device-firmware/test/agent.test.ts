import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { receiptsTopic } from "@msec/broker";
import { FLAG, headerSlot, type Hex, leafNode, REFUSAL_NUMBERS } from "@msec/core";
import { WrapKey } from "@msec/secure-element";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { KeyFile } from "../src/identity.ts";
import type { ConfigInput } from "../src/index.ts";
import { type Agent, airRows, City, type CityStream, until, wait } from "./city.ts";

// Processes start in seconds on a busy machine.
vi.setConfig({ testTimeout: 240_000 });

let city: City;
beforeEach(async () => {
  city = await City.start();
});
afterEach(async () => {
  if (process.env.MSEC_TEST_LOG) console.log(city.agents.map((agent) => agent.log).join("\n"), city.faultsSeen);
  await city.stop();
});

type Stream = ConfigInput["streams"][number];

async function air(rows: number, stream: Partial<Stream> = {}, driver: object = {}, stepSeconds?: number) {
  const { csv, readings } = airRows(rows, stepSeconds);
  await writeFile(join(city.dir, "air.csv"), csv);
  const config: Stream = {
    name: "air",
    mode: "open",
    slotSeconds: 3600,
    pack: { maxReadings: 8, maxSeconds: 3600 },
    driver: {
      kind: "replay",
      file: "air.csv",
      time: { columns: ["Date", "Time"], format: "dd/mm/yyyy" },
      missing: ["-200"],
      speed: "max",
      end: true,
      ...driver,
    },
    ...stream,
  };
  return { config, readings };
}

/** The rows that are left, at once, to their end. */
async function finish(agent: Agent, config: Stream): Promise<void> {
  const driver = { ...config.driver, speed: "max" } as Stream["driver"];
  await writeFile(agent.configPath, JSON.stringify(city.config([{ ...config, driver }])));
  agent.start("--until-done");
  expect(await agent.exited()).toBe(0);
}

/** One line from seq 1 to a header with `end`, without breaks, nothing signed twice. */
function expectOneLine(stream: CityStream | undefined, readings: string[]): void {
  expect(city.faultsSeen).toEqual([]);
  expect(stream?.equivocations).toEqual([]);
  expect(stream?.line.map((pack) => pack.signed.header.seq)).toEqual(stream?.line.map((_, i) => i + 1));
  expect(stream?.line.map((pack) => pack.signed.header.flags & FLAG.end)).toEqual(
    stream?.line.map((_, i, all) => (i === all.length - 1 ? FLAG.end : 0)),
  );
  expect(stream?.rows).toEqual(readings);
}

test("kill -9 at any moment: every row in exactly one pack of one unbroken line, and no -200", async () => {
  // A minute of rows, so that none of the killed runs comes to their end.
  const { config, readings } = await air(2000, {}, { speed: 20_000 });
  const agent = await city.device(city.config([config]));
  // Each run is killed a few milliseconds after the operators had its first pack: signing, committing and sending are hit.
  const newestRun = () => city.stream(agent)?.line.at(-1)?.signed.header.bootEpoch ?? 0;
  for (const delay of [0, 5, 12, 30]) {
    const before = newestRun();
    agent.start();
    await until("a pack of this run", () => newestRun() > before);
    await wait(delay);
    await agent.kill();
  }
  await finish(agent, config);
  const stream = city.stream(agent);
  expectOneLine(stream, readings);
  expect(stream?.rows.some((row) => row.includes("-200"))).toBe(false);
  expect(stream?.seededBy.size).toBe(4);
  expect((await agent.status())?.packs).toBe(0);
  expect(new Set(stream?.line.map((pack) => pack.signed.header.bootEpoch)).size).toBeGreaterThan(3);
  // What was receipted can't be opened with anything that is left on the device.
  const [id] = agent.streams as [Hex];
  const wrap = await WrapKey.open(join(agent.dataDir, "wrap.key"));
  const { frontier } = await new KeyFile(join(agent.dataDir, "streams", `${id}.keys`), id, wrap).read();
  const last = stream!.line.at(-1)!.signed.header;
  expect(() => leafNode(frontier, headerSlot(stream!.preimage, last))).toThrow(/is not held any more/);
  expect(leafNode(frontier, headerSlot(stream!.preimage, last) + 1)).toEqual(
    leafNode(stream!.frontier, headerSlot(stream!.preimage, last) + 1),
  );
});

test("the broker is away at first and once more in the middle: nothing is lost", async () => {
  const { config, readings } = await air(400);
  await city.brokerDown();
  const agent = await city.device(
    city.config([config], {
      mqtt: { url: `mqtt://127.0.0.1:${city.mqttPort}`, window: 4, resendSeconds: 0.5, maxBackoffSeconds: 0.5 },
    }),
  );
  agent.start("--until-done");
  await until("packs in the outbox", async () => ((await agent.status())?.packs ?? 0) > 20);
  expect(city.stream(agent)?.messages ?? 0).toBe(0);
  await city.brokerUp();
  await until("packs at the operators", () => (city.stream(agent)?.line.length ?? 0) > 5);
  await city.brokerDown();
  await wait(300);
  await city.brokerUp();
  expect(await agent.exited()).toBe(0);
  expectOneLine(city.stream(agent), readings);
});

test("receipts of f organisations, forged ones and those for another header delete nothing", async () => {
  const { config, readings } = await air(30);
  city.receipting = new Set([0]);
  const agent = await city.device(city.config([config]));
  agent.start("--until-done");
  const stream = () => city.stream(agent) as CityStream;
  await until("the whole line", () => stream()?.line.at(-1)?.signed.header.flags === (FLAG.recorded | FLAG.end));
  const last = stream().line.at(-1)!.signed;
  const [, second, third, fourth] = city.keys as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  city.receiptFrom(second, last, { signer: new Uint8Array(32).fill(99) });
  city.receiptFrom(third, last, { headerDigest: `0x${"ee".repeat(32)}` });
  const { deviceId } = stream().preimage;
  city.publish(receiptsTopic(deviceId, agent.streams[0] as Hex, city.members[3] as Hex), "{nonsense");
  await wait(1_200);
  const status = await agent.status();
  expect(status?.packs).toBe(stream().line.length);
  expect(status?.receipted).toBe(0);
  expect(agent.log).toContain("not a member of the configured committee");
  city.receiptFrom(fourth, last);
  expect(await agent.exited()).toBe(0);
  expect((await agent.status())?.packs).toBe(0);
  expectOneLine(stream(), readings);
});

test("a lost outbox: the line goes on with a break 1,000 further, from the anchored head, and no row comes twice", async () => {
  const { config, readings } = await air(600, {}, { speed: 10_000 });
  const agent = await city.device(city.config([config]));
  agent.start();
  await until("some packs", () => (city.stream(agent)?.line.length ?? 0) > 20);
  await agent.kill();
  const stream = city.stream(agent) as CityStream;
  const before = stream.line.at(-1)!.signed;
  for (const suffix of ["", "-wal", "-shm"]) await rm(join(agent.dataDir, `outbox.db${suffix}`), { force: true });
  await finish(agent, config);
  expect(city.faultsSeen).toEqual([]);
  expect(stream.equivocations).toEqual([]);
  const breaks = stream.line.filter((pack) => (pack.signed.header.flags & FLAG.break) !== 0);
  expect(breaks).toHaveLength(1);
  expect(breaks[0]?.signed.header.previous).toBe(before.headerDigest);
  expect(breaks[0]?.signed.header.seq).toBe(before.header.seq + 1000);
  expect(new Set(stream.rows).size).toBe(stream.rows.length);
  expect(stream.rows).toEqual(readings);
});

test("an outbox from a backup: the operators know more, so a break follows and nothing is signed twice", async () => {
  const { config, readings } = await air(600, {}, { speed: 10_000 });
  const agent = await city.device(city.config([config]));
  agent.start();
  await until("some packs", () => (city.stream(agent)?.line.length ?? 0) > 5);
  await agent.kill("SIGTERM");
  await cp(join(agent.dataDir, "outbox.db"), join(city.dir, "backup.db"));
  agent.start();
  await until("more packs", () => (city.stream(agent)?.line.length ?? 0) > 30);
  expect(await agent.kill("SIGTERM")).toBe(0);
  await cp(join(city.dir, "backup.db"), join(agent.dataDir, "outbox.db"));
  await finish(agent, config);
  const stream = city.stream(agent) as CityStream;
  expect(city.faultsSeen).toEqual([]);
  expect(stream.equivocations).toEqual([]);
  expect(stream.line.filter((pack) => (pack.signed.header.flags & FLAG.break) !== 0)).toHaveLength(1);
  expect(stream.rows).toEqual(readings);
});

test("refused by f + 1: what follows is signed again under a break, the refused readings are kept aside", async () => {
  const { config, readings } = await air(120);
  let refusedRows: string[] = [];
  city.refuse = ({ signed, readings: rows }) => {
    if (signed.header.seq !== 5) return undefined;
    refusedRows = rows.map((r) => `${r.tMs} ${r.n} `);
    return REFUSAL_NUMBERS.records;
  };
  const agent = await city.device(city.config([config]));
  agent.start("--until-done");
  expect(await agent.exited()).toBe(0);
  const stream = city.stream(agent) as CityStream;
  expect(stream.equivocations).toEqual([]);
  expect(refusedRows.length).toBeGreaterThan(0);
  expect(stream.rows).toEqual(readings.filter((row) => !refusedRows.some((refused) => row.startsWith(refused))));
  expect(stream.line.filter((pack) => (pack.signed.header.flags & FLAG.break) !== 0)).toHaveLength(1);
  expect((await agent.status())?.refused).toBe(1);
});

test("refused by f organisations only: nothing happens", async () => {
  const { config, readings } = await air(40);
  city.refusing = new Set([2]);
  let once = false;
  city.refuse = ({ signed }) => {
    if (once || signed.header.seq !== 3) return undefined;
    once = true;
    return REFUSAL_NUMBERS.records;
  };
  const agent = await city.device(city.config([config]));
  agent.start("--until-done");
  expect(await agent.exited()).toBe(0);
  expect(once).toBe(true);
  expectOneLine(city.stream(agent), readings);
});

test("a break that is overtaken is repeated, from the head that overtook it", async () => {
  const { config, readings } = await air(120);
  city.refuse = ({ signed }) => (signed.header.seq === 9 ? REFUSAL_NUMBERS.time : undefined);
  city.anchoring = false;
  // Impatient: it breaks from an empty head although eight packs are receipted and may still be anchored.
  const agent = await city.device(city.config([config], { settleSeconds: 0.3 }));
  const anchored: string[] = [];
  city.beforeBreak = (stream) => {
    city.beforeBreak = undefined;
    stream.anchored = 8;
    anchored.push(...stream.line.slice(0, 8).map((pack) => pack.signed.headerDigest));
    city.anchoring = true;
  };
  agent.start("--until-done");
  expect(await agent.exited()).toBe(0);
  const stream = city.stream(agent) as CityStream;
  expect(agent.log).toContain("the break was overtaken");
  expect(anchored).toHaveLength(8);
  expect(stream.line.slice(0, 8).map((pack) => pack.signed.headerDigest)).toEqual(anchored);
  const second = stream.line[8]!.signed.header;
  expect(second.flags & FLAG.break).toBe(FLAG.break);
  expect(second.previous).toBe(anchored[7]);
  expect(second.seq).toBeGreaterThan(2000);
  expect(stream.equivocations).toEqual([]);
  expect(stream.rows).toEqual(readings);
});

test("a full outbox holds the driver back and lets it go on by itself", async () => {
  const { config, readings } = await air(900);
  city.receipting = new Set();
  const agent = await city.device(city.config([config], { outbox: { maxBytes: 200_000 } }));
  agent.start("--until-done");
  await until("the message", () => agent.log.includes("outbox-full"));
  let held: number | undefined;
  await until("a second without a new pack", async () => {
    held = (await agent.status())?.packs;
    await wait(1_000);
    return held !== undefined && (await agent.status())?.packs === held;
  });
  expect(city.stream(agent)?.rows.length ?? 0).toBeLessThan(readings.length);
  expect((await agent.status())?.error?.error).toMatch(/reconnect the broker, or raise outbox.maxBytes/);
  city.receipting = new Set([0, 1, 2, 3]);
  city.receipt(city.stream(agent) as CityStream);
  expect(await agent.exited()).toBe(0);
  expectOneLine(city.stream(agent), readings);
});

const tiny = mkdtempSync(join(tmpdir(), "msec-tiny-"));
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=512k", "tmpfs", tiny]).status === 0;
if (mounted) spawnSync("umount", [tiny]);
if (!mounted) console.warn("the test of a full disk needs the right to mount a tmpfs and is left out here");
rmSync(tiny, { recursive: true });

test.runIf(mounted)("a full disk: the driver waits, and goes on with nothing lost once there is space", async () => {
  const { config, readings } = await air(900);
  const disk = join(city.dir, "disk");
  await mkdir(disk);
  expect(spawnSync("mount", ["-t", "tmpfs", "-o", "size=512k", "tmpfs", disk]).status).toBe(0);
  try {
    city.receipting = new Set();
    const agent = await city.device(city.config([config], { dataDir: "disk/data" }));
    agent.start("--until-done");
    await until("the message", () => agent.log.includes('"disk-full"'));
    expect(agent.log).toContain("free space there; nothing is lost");
    expect(spawnSync("mount", ["-o", "remount,size=16m", disk]).status).toBe(0);
    city.receipting = new Set([0, 1, 2, 3]);
    expect(await agent.exited()).toBe(0);
    expectOneLine(city.stream(agent), readings);
  } finally {
    for (const agent of city.agents) await agent.kill();
    spawnSync("umount", ["-l", disk]);
  }
});

test("a sealed home: no reading, one and two look the same, one pack a slot", async () => {
  const lines = [
    "time,door",
    "2024-03-10T10:00:05Z,1",
    "2024-03-10T10:02:05Z,1",
    "2024-03-10T10:02:35Z,0",
    "2024-03-10T10:06:05Z,1",
  ];
  await writeFile(join(city.dir, "home.csv"), lines.join("\n"));
  const agent = await city.device(
    city.config([
      {
        name: "home",
        mode: "sealed",
        slotSeconds: 60,
        padCount: 3,
        padBytes: 160,
        holders: city.members.slice(0, 2),
        driver: {
          kind: "replay",
          file: "home.csv",
          time: { columns: ["time"], format: "iso" },
          speed: "max",
          end: true,
        },
      },
    ]),
  );
  agent.start("--until-done");
  expect(await agent.exited()).toBe(0);
  const stream = city.stream(agent) as CityStream;
  expect(stream.seededBy).toEqual(new Set(city.members.slice(0, 2)));
  expect(stream.line.map((pack) => pack.readings.length)).toEqual([1, 0, 2, 0, 0, 0, 1]);
  const seqBytes = new Set(stream.line.map((pack) => pack.message.length));
  expect(seqBytes.size).toBe(1);
  expectOneLine(stream, stream.rows);
});

test("sealed rows beyond the padding stop the driver with a sentence, and the earlier slots are there", async () => {
  const lines = [
    "time,door",
    "2024-03-10T10:00:05Z,1",
    "2024-03-10T10:01:05Z,1",
    "2024-03-10T10:01:35Z,0",
    "2024-03-10T10:01:45Z,1",
  ];
  await writeFile(join(city.dir, "home.csv"), lines.join("\n"));
  const agent = await city.device(
    city.config([
      {
        name: "home",
        mode: "sealed",
        slotSeconds: 60,
        padCount: 2,
        padBytes: 160,
        holders: city.members.slice(0, 2),
        driver: { kind: "replay", file: "home.csv", time: { columns: ["time"], format: "iso" }, speed: "max" },
      },
    ]),
  );
  agent.start("--until-done");
  expect(await agent.exited()).toBe(1);
  expect(agent.log).toContain("sealed-overflow");
  expect(agent.log).toContain("larger padCount and padBytes");
  expect(city.stream(agent)?.line.map((pack) => pack.readings.length)).toEqual([1]);
});

test("two agents on one folder: the second says so and leaves", async () => {
  const { config } = await air(30, {}, { speed: 1 });
  const agent = await city.device(city.config([config]));
  agent.start();
  await until("the first agent", () => agent.log.includes("started"));
  await expect(agent.command("run")).rejects.toThrow(/another agent runs/);
  expect(await agent.kill("SIGTERM")).toBe(0);
});

test("a live driver: rows that wait for their pack survive kill -9", async () => {
  const agent = await city.device(
    city.config([
      {
        name: "box",
        mode: "open",
        slotSeconds: 86400,
        pack: { maxSeconds: 600 },
        driver: { kind: "hwmon", intervalSeconds: 0.1 },
      },
    ]),
  );
  agent.start();
  await until("the agent", () => agent.log.includes("started"));
  await wait(1_500);
  await agent.kill();
  const config = JSON.parse(await readFile(agent.configPath, "utf8")) as { streams: { pack: object }[] };
  config.streams[0]!.pack = { maxSeconds: 0.5 };
  await writeFile(agent.configPath, JSON.stringify(config));
  const restarted = Date.now();
  agent.start();
  await until("a pack", () => (city.stream(agent)?.line.length ?? 0) > 0);
  const rows = city.stream(agent)?.line[0]?.readings ?? [];
  expect(rows.filter((row) => row.tMs < restarted).length).toBeGreaterThan(4);
  expect(await agent.kill("SIGTERM")).toBe(0);
});

test("a live sealed home has one pack a slot while it runs, empty ones too", async () => {
  const agent = await city.device(
    city.config([
      {
        name: "home",
        mode: "sealed",
        slotSeconds: 1,
        padCount: 4,
        padBytes: 300,
        holders: city.members.slice(0, 1),
        driver: { kind: "hwmon", intervalSeconds: 2.2 },
      },
    ]),
  );
  agent.start();
  await until("eight slots", () => (city.stream(agent)?.line.length ?? 0) >= 8);
  expect(await agent.kill("SIGTERM")).toBe(0);
  const stream = city.stream(agent) as CityStream;
  const slots = stream.line.map((pack) => pack.signed.header.fromMs / 1000);
  expect(slots).toEqual(slots.map((_, i) => (slots[0] as number) + i));
  expect(stream.line.some((pack) => pack.readings.length === 0)).toBe(true);
  expect(stream.line.some((pack) => pack.readings.length > 0)).toBe(true);
  expect(new Set(stream.line.map((pack) => pack.content.length))).toEqual(new Set([328]));
  expect(city.faultsSeen).toEqual([]);
});
