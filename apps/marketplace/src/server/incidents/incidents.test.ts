import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type CustodyStatus } from "../../features/operators/status.ts";
import { conditionsOf, nothingSeen, type Observed } from "./conditions.ts";
import { Incidents } from "./incidents.ts";

let folder: string;
let file: string;
let now = 1_000;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "msec-incidents-"));
  file = join(folder, "incidents.jsonl");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const AWAY = { kind: "away", subject: "operator-3", detail: "" } as const;
const BY = `0x${"ab".repeat(20)}` as const;
const ORGANISATION = `0x${"cd".repeat(32)}` as const;
const look = (incidents: Incidents, ...found: Parameters<Incidents["look"]>[0]) => {
  now += 1_000;
  incidents.look(found);
};

test("an incident begins when it was seen twice, and is over when it was not seen three times", () => {
  const incidents = new Incidents(file, () => now);
  look(incidents, AWAY);
  expect(incidents.list()).toEqual([]);
  look(incidents, AWAY);
  expect(incidents.list()).toMatchObject([{ ...AWAY, startedAtMs: now - 1_000, endedAtMs: null }]);
  look(incidents);
  look(incidents);
  look(incidents, { ...AWAY, detail: "5 s" });
  expect(incidents.list()).toMatchObject([{ detail: "5 s", endedAtMs: null }]);
  for (let i = 0; i < 3; i++) look(incidents);
  expect(incidents.list()).toMatchObject([{ endedAtMs: now }]);
  look(incidents, AWAY);
  look(incidents, AWAY);
  expect(incidents.list().map(({ id }) => id)).toEqual([2, 1]);
});

test("one that flickers by once is none", () => {
  const incidents = new Incidents(file, () => now);
  for (let i = 0; i < 5; i++) {
    look(incidents, AWAY);
    look(incidents);
  }
  expect(incidents.list()).toEqual([]);
});

test("it is taken on once, while it lasts", () => {
  const incidents = new Incidents(file, () => now);
  look(incidents, AWAY);
  look(incidents, AWAY);
  expect(() => incidents.acknowledge(9, BY, ORGANISATION, "on it")).toThrow(/no such/);
  incidents.acknowledge(1, BY, ORGANISATION, "on it");
  expect(() => incidents.acknowledge(1, BY, ORGANISATION, "me too")).toThrow(/quicker/);
  for (let i = 0; i < 3; i++) look(incidents);
  expect(() => incidents.acknowledge(1, BY, ORGANISATION, "late")).toThrow(/over/);
  expect(incidents.list()).toMatchObject([{ acknowledged: { by: BY, note: "on it" }, endedAtMs: now }]);
});

test("a restart forgets nothing, also after a kill in the middle of a line", () => {
  const before = new Incidents(file, () => now);
  look(before, AWAY);
  look(before, AWAY);
  before.acknowledge(1, BY, ORGANISATION, "on it");
  appendFileSync(file, '{"id": 2, "kin');
  const after = new Incidents(file, () => now);
  expect(after.list()).toEqual(before.list());
  look(after, AWAY);
  expect(after.list()).toHaveLength(1);
  for (let i = 0; i < 3; i++) look(after);
  expect(after.list()).toMatchObject([{ id: 1, endedAtMs: now }]);
  expect(readFileSync(file, "utf8").trim().split("\n")).toHaveLength(2);
});

const status = (change: Partial<CustodyStatus> = {}): CustodyStatus => ({
  ...{ name: "", address: "", healthy: true, problems: [], epoch: 100, chainEpoch: 100, block: 1, leader: "", view: 0 },
  ...{ pending: 0, waitingForHolders: 0, streams: 1, packs: 1, readings: 1, peers: [], refusedProposals: [] },
  ...{ refusedPacks: [], equivocations: 0, erasureRoot: "file" },
  ...{ anchorLagSeconds: 1, signedEpoch: 100, unconfirmedSeconds: null, broker: true, databaseSeconds: 0.01 },
  validators: null,
  ...change,
});
const address = (n: number) => `0x${String(n).padStart(40, "0")}`;
const city = (atMs: number, change: Partial<Observed> = {}, ...statuses: Partial<CustodyStatus>[]): Observed => ({
  atMs,
  operators: [1, 2, 3, 4].map((n) => ({
    name: `operator-${n}`,
    address: address(n),
    answer: { said: status(statuses[n - 1]) },
  })),
  markets: [],
  indexer: { said: { problems: [], chainHead: atMs, block: atMs } as never },
  chain: { said: atMs },
  blockSeconds: 1,
  broken: [],
  ...change,
});
const kinds = (...looks: Observed[]) => {
  const seen = nothingSeen(-60_000);
  return looks.map((observed) => conditionsOf(observed, seen).map(({ kind, subject }) => `${kind} ${subject}`)).at(-1);
};

test("a city that is well has none", () => expect(kinds(city(1), city(2), city(100_000))).toEqual([]));

test.each<[string, Observed[]]>([
  [
    "away operator-1",
    [city(1, { operators: [{ ...city(1).operators[0], answer: { not: "away", detail: "" } } as never] })],
  ],
  ["failing indexer", [city(1, { indexer: { not: "failing", detail: "HTTP 500" } })]],
  ["troubled operator-2", [city(1, {}, {}, { problems: ["the leader is silent"] })]],
  ["behind operator-4", [city(1, {}, {}, {}, {}, { epoch: 90 })]],
  ["backlog operator-1", [city(1, {}, { pending: 5_000, waitingForHolders: 5_000 })]],
  ["stuck epochs", [city(1, {}, { pending: 3 }), city(30_000, {}, { pending: 3 })]],
  ["chainOld chain", [city(1, { chain: { said: 7 } }), city(30_000, { chain: { said: 7 } })]],
  ["away chain", [city(1, { chain: { not: "away", detail: "" } })]],
  ["indexerBehind indexer", [city(1, { indexer: { said: { problems: [], chainHead: 90, block: 1 } as never } })]],
  [
    "disagreement operator-1",
    [
      city(1, {}, { refusedProposals: [{ operator: "b", reason: "root", times: 1 }] }),
      city(2, {}, { refusedProposals: [{ operator: "b", reason: "root", times: 11 }] }),
    ],
  ],
  ["doubleSignature operator-3", [city(1), city(2, {}, {}, {}, { equivocations: 1 })]],
  [
    "missingSigner operator-2",
    [city(1, {}, ...[1, 2, 3, 4].map((n) => ({ peers: [{ address: address(2), url: "", up: n === 2 || n === 4 }] })))],
  ],
  ["invariant escrow-covered", [city(1, { broken: [{ id: "escrow-covered", reason: "short" }] })]],
])("%s is seen", (wanted, looks) => expect(kinds(...looks)).toEqual([wanted]));

test("old counts are not taken for new ones: at the first look, after a restart, after a minute", () => {
  const refused = (times: number) => ({ refusedProposals: [{ operator: "b", reason: "root", times }] });
  expect(kinds(city(1, {}, refused(9)))).toEqual([]);
  expect(kinds(city(1, {}, refused(9)), city(2, {}, refused(0)))).toEqual([]);
  expect(kinds(city(1, {}, refused(1)), city(2, {}, refused(11)), city(70_000, {}, refused(11)))).toEqual([]);
});

test("a few refused proposals are everyday, ten within a minute are not", () => {
  const refused = (times: number) => ({ refusedProposals: [{ operator: "b", reason: "root", times }] });
  const eachSecond = (step: number) => Array.from({ length: 240 }, (_, i) => city(1_000 * i, {}, refused(step * i)));
  expect(kinds(...eachSecond(0.1))).toEqual([]);
  expect(kinds(...eachSecond(0.5))).toEqual(["disagreement operator-1"]);
});

test("what has never answered may be starting, for a minute", () => {
  const seen = nothingSeen(0);
  const away = (atMs: number) =>
    conditionsOf(city(atMs, { indexer: { not: "away", detail: "" } }), seen).map(({ kind }) => kind);
  expect(away(1)).toEqual([]);
  expect(away(60_000)).toEqual(["away"]);
  conditionsOf(city(61_000), seen);
  expect(away(62_000)).toEqual(["away"]);
});
