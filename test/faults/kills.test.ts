import { cpSync, existsSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Hex, streamOf } from "@msec/core";
import { Sender } from "@msec/chain";
import { init, parseConfig } from "@msec/device";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buy } from "../../apps/cli/src/market/buy.ts";
import { listOffers } from "../../apps/cli/src/market/offers.ts";
import { type Offer, type StreamInfo } from "@msec/trade";
import { anchoredPacks, anchoredReadings, keysOf } from "../support/anchored.ts";
import { csvFile, openPlan, settled, TestCity, until } from "../support/city.ts";
import { indexedAsOnChain } from "../support/indexed.ts";

// A city under load whose processes are killed at every step of their work, one after the other, while a device replays a
// file. At the end every row of the file stands in exactly one leaf on the chain, and every deal was delivered once.

const ROWS = 6000;
const SLOT_SECONDS = 10;
/** How long the broker is away: an hour in the long profile. */
const AWAY_MS = process.env.MSEC_LONG ? 3_600_000 : 10_000;
let t: TestCity;
let rows: { tMs: number; row: number; value: number }[];
let stream: Hex;
let offer: Offer;

beforeAll(async () => {
  t = await TestCity.up(
    (root) => {
      const made = csvFile(root, "device.csv", ROWS, 1000);
      rows = made.rows;
      return [openPlan("device", made.file, SLOT_SECONDS, 15)];
    },
    // The chain that is killed is the embedded one; validators are killed in test/quorum.
    { silenceMs: 2000, network: "embedded" },
  );
  stream = t.streamOf("device");
  await goesOn("the city");
  offer = (await listOffers(t.city.contracts)).find((o) => o.streamId === stream) as Offer;
});

afterAll(async () => {
  if (process.env.MSEC_LOGS) cpSync(join(t.root, "logs"), process.env.MSEC_LOGS, { recursive: true });
  await t?.stop();
});

const info = (n = 1) => t.get<StreamInfo>(n, `/streams/${stream}`);

/** Waits until two more epochs stand on the chain. */
async function goesOn(after: string): Promise<void> {
  const before = await until("the chain answers", () => t.chainEpoch());
  await until(`epochs go on after ${after}`, async () => (await t.chainEpoch()) >= before + 2);
}

describe("a process killed at a step of its work loses nothing", () => {
  for (const round of [1, 2]) {
    test(`custody, round ${round}: ingest, commit, sign, confirm`, async () => {
      const leader = await t.leader();
      const [a, b, c] = t.city.run.operators.map((o) => o.name).filter((name) => name !== leader) as [
        string,
        string,
        string,
      ];
      const [x, y, z] = round === 1 ? [a, b, c] : [c, a, b];
      // At one time, so that they also come back into a city that lacks others.
      await Promise.all([t.killAt(x, "ingest"), t.killAt(y, "commit"), t.killAt(z, "sign")]);
      await t.killAt(x, "confirm");
      await goesOn("the kills");
    });

    test(`custody, round ${round}: the leader at close, send, sent`, async () => {
      for (const step of ["close", "send", "sent"]) {
        await t.killAt(await until("a leader", () => t.leader()), step);
        await goesOn(`the leader's death at ${step}`);
      }
    });
  }

  test("all operators at once", async () => {
    const before = t.city.run.operators.map(({ name }) => [name, t.pid(name)] as const);
    for (const [name] of before) t.signal(name, "SIGKILL");
    await Promise.all(before.map(([name, pid]) => t.restarted(name, pid)));
    await goesOn("the death of all operators");
  });

  test("the chain without its last seconds, once in the middle of writing its state", async () => {
    await t.kill("chain");
    await goesOn("the chain's death");
    const state = join(t.city.layout.chain, "state.json");
    await until("a copy of the state", () => existsSync(join(t.city.layout.chain, "state.copy.json")));
    const before = t.pid("chain");
    process.kill(before, "SIGKILL");
    truncateSync(state, Math.floor(statSync(state).size / 2));
    await t.restarted("chain", before);
    await goesOn("a death that left half a state");
  });

  test("the database server, of all operators and deliverers at once", async () => {
    await t.kill("postgres");
    await goesOn("the database's death");
  });

  test("the device, the broker, the indexer", async () => {
    await t.kill("device");
    await t.kill("broker");
    await t.kill("indexer");
    const before = (await info()).head?.seq ?? 0;
    await until("the device's packs are anchored again", async () => ((await info()).head?.seq ?? 0) > before + 3);
  });

  test("the deliverer at deliver, delivering, sending, sent: every deal is delivered once", async () => {
    const from = (await info()).firstSlot as number;
    const deals: Hex[] = [];
    const STEPS = ["deliver", "delivering", "sending", "sent"];
    for (const [i, step] of [...STEPS, ...STEPS].entries()) {
      await t.killAt("market-1", step, async () => {
        void buy(t.shop(), offer, from + i, from + i + 3).then(
          ({ dealId, report }) => {
            expect(report.packs).toBe(4);
            deals.push(dealId);
          },
          (error: Error) => deals.push(error.message as Hex),
        );
        await sleep(0);
      });
      await until(`the deal is delivered after a kill at ${step}`, () => deals.length === i + 1);
    }
    for (const id of deals) {
      expect(id).toMatch(/^0x[0-9a-f]{64}$/);
      const { Escrow } = t.city.contracts;
      expect(await Escrow.queryFilter(Escrow.filters.Delivered(id), 0)).toHaveLength(1);
      expect(await Escrow.queryFilter(Escrow.filters.DealOpened(id), 0)).toHaveLength(1);
    }
  });

  test("erasure at puncture and punctured: carried out by every operator", async () => {
    const { city } = t;
    const first = (await info()).firstSlot as number;
    for (const [i, [one, two]] of [
      ["operator-1", "operator-2"],
      ["operator-3", "operator-4"],
    ].entries()) {
      const slot = first + 20 + 3 * i;
      const data = city.contracts.ConsentRegistry.interface.encodeFunctionData("requestErasure", [
        streamOf((await info()).preimage),
        slot,
        slot + 1,
      ]);
      const request = () =>
        new Sender(city.people.city.key, city.provider, city.run.deployment.chainId).transact({
          to: city.run.deployment.addresses.ConsentRegistry,
          data,
        });
      const second = t.killAt(two as string, "punctured");
      await t.killAt(one as string, "puncture", request);
      await second;
      for (const n of [1, 2, 3, 4]) {
        const done = await until(`operator ${n} has erased`, async () => {
          const erasure = (await info(n)).erasures.find((e) => e.number === i + 1);
          return erasure?.doneAt ? erasure : undefined;
        });
        expect([done.fromSlot, done.toSlot]).toEqual([slot, slot + 1]);
        await expect(keysOf(t, n, stream, slot, slot)).rejects.toThrow(/not held any more/);
        expect(await keysOf(t, n, stream, slot + 2, slot + 2)).toHaveLength(1);
      }
      await until(
        "every holder's receipt is on the chain",
        async () => (await city.contracts.ConsentRegistry.completeAt(stream, i + 1)) > 0n,
      );
    }
  });

  test(
    `a broker that is away for ${AWAY_MS / 1000} s`,
    async () => {
      const { processes } = t.city;
      await processes.halt("broker");
      const heard = async () => (await info()).head?.seq;
      const seq = await settled("nothing that had arrived before is anchored any more", heard, 5_000);
      await sleep(AWAY_MS);
      expect(await heard()).toBe(seq);
      processes.resume("broker");
      await goesOn("the broker's return");
    },
    AWAY_MS + 180_000,
  );

  test("afterwards every row is in exactly one leaf, the epochs have no hole and all operators agree", async () => {
    // The rest of the file at full speed, after one more start of the device.
    const { configFile } = t.city.devices[0] as { configFile: string };
    await t.city.processes.halt("device");
    const text = readFileSync(configFile, "utf8").replace('"speed": 15', '"speed": "max"');
    writeFileSync(configFile, text);
    // With a TPM the agent refuses a configuration that init did not take.
    await init(parseConfig(JSON.parse(text), dirname(configFile)));
    t.city.processes.resume("device");
    const last = Math.floor((rows[ROWS - 1] as { tMs: number }).tMs / 1000 / SLOT_SECONDS);
    await until(
      "the file is anchored to its end",
      async () => {
        const all = await Promise.all([1, 2, 3, 4].map((n) => info(n)));
        return all.every((i) => i.lastSlot === last && i.pending === 0);
      },
      90_000,
    );
    const { epochs, packs } = await anchoredPacks(t);
    expect(epochs.length).toBe(await t.chainEpoch());
    await indexedAsOnChain(t);
    const first = Math.floor((rows[0] as { tMs: number }).tMs / 1000 / SLOT_SECONDS);
    const holes = (await info()).erasures.map((e): [number, number] => [e.fromSlot, e.toSlot]);
    const readings = await anchoredReadings(t, stream, packs, await keysOf(t, 2, stream, first, last, holes));
    const inHole = (tMs: number) =>
      holes.some(([a, b]) => Math.floor(tMs / 10_000) >= a && Math.floor(tMs / 10_000) <= b);
    const wanted = rows.filter(({ tMs }) => !inHole(tMs));
    expect(readings.filter((r) => r.n === "row").map((r) => [r.tMs, r.v])).toEqual(wanted.map((r) => [r.tMs, r.row]));
    expect(readings.filter((r) => r.n === "value").map((r) => [r.tMs, r.v])).toEqual(
      wanted.map((r) => [r.tMs, r.value]),
    );
    // What was erased still has its leaves.
    const counted = packs.length;
    expect(counted).toBeGreaterThanOrEqual(ROWS / SLOT_SECONDS);
    const heads = await Promise.all([1, 2, 3, 4].map((n) => info(n)));
    expect(new Set(heads.map((h) => h.head?.headerDigest)).size).toBe(1);
  });
});
