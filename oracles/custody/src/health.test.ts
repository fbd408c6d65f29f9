import { type Hex } from "@msec/core";
import { expect, test } from "vitest";
import { type Certificates } from "./certificates.ts";
import { type Committee } from "./committee.ts";
import { type Context } from "./context.ts";
import { sections, status } from "./health.ts";
import { Metrics } from "./metrics.ts";
import { type ValidatorSeen } from "./validators.ts";
import { type Watcher } from "./watcher.ts";

interface Change {
  chainUp?: boolean;
  chainStill?: boolean;
  view?: number;
  uncertified?: string;
  root?: "tpm";
  brokerAway?: boolean;
  validators?: { seen: ValidatorSeen[]; missing: Hex[] };
}

/** An operator of n, of whose others so many answer. */
function state(n: number, up: number, change: Change = {}) {
  const ctx = {
    config: {
      name: "one",
      erasureRoot: { kind: change.root ?? "file" },
      committee: Array.from({ length: n }, () => ({})),
    },
    address: "0x01",
    metrics: new Metrics(),
    lines: { pendingCount: 3, byId: new Map() },
    peers: { all: Array.from({ length: n - 1 }, (_, i) => ({ address: `0x0${i + 2}`, url: "http://x", up: i < up })) },
    store: { totals: async () => ({ packs: 5, readings: 50, streams: 1 }) },
  } as unknown as Context;
  const committee = { next: 8, chainNumber: 7, block: 70, view: change.view ?? 0, leader: () => "0x02" };
  const { chainUp = true, chainStill = false } = change;
  const certificates = { problem: change.uncertified } as Certificates;
  const watcher = { chainUp, chainStill } as Watcher;
  const validators = change.validators ?? { seen: null, missing: [] };
  const broker = { connected: !change.brokerAway };
  return status(ctx, committee as unknown as Committee, watcher, certificates, validators, broker);
}

test("an operator is well while enough others answer to sign an epoch", async () => {
  for (const [n, enough] of [
    [1, 0],
    [2, 1],
    [3, 2],
    [4, 2],
    [6, 4],
    [7, 4],
    [10, 6],
  ] as const) {
    expect((await state(n, enough)).problems, `${n} operators`).toEqual([]);
    if (enough === 0) continue;
    const { healthy, problems } = await state(n, enough - 1);
    expect(healthy).toBe(false);
    expect(problems).toEqual([
      `${n - enough} of ${n} operators do not answer: anchoring stops until one is back, nothing is lost`,
    ]);
  }
});

test("a chain that is away, one that stands still, certificates that are not taken and a silent leader are said", async () => {
  expect((await state(4, 3, { uncertified: "no proof" })).problems).toEqual(["no proof"]);
  expect((await state(4, 3, { chainUp: false, uncertified: "no proof" })).problems).toHaveLength(1);
  expect((await state(4, 3, { chainUp: false })).problems).toEqual([
    "the chain does not answer: nothing is anchored until it does",
  ]);
  expect((await state(4, 3, { chainStill: true })).problems).toEqual([
    expect.stringMatching(/^the chain makes no blocks, .* nothing is lost$/),
  ]);
  expect((await state(4, 3, { view: 1 })).problems).toEqual(["the leader is silent: operator 0x02 takes over"]);
});

test("a broker that is away and a validator that seals nothing are said, and what it all takes is told", async () => {
  expect((await state(4, 3, { brokerAway: true })).problems).toEqual([expect.stringMatching(/^the broker cannot be/)]);
  const [a, b]: Hex[] = [`0x${"0a".repeat(20)}`, `0x${"0b".repeat(20)}`];
  const seen = [a, b].map((address, i) => ({ address: address as Hex, lastBlock: i === 0 ? 70 : null }));
  const said = await state(4, 3, { validators: { seen, missing: [b as Hex] } });
  expect(said.problems).toEqual([expect.stringMatching(`^the validator ${b} seals no blocks`)]);
  expect(said).toMatchObject({ broker: true, validators: seen, unconfirmedSeconds: null, signedEpoch: 0 });
  const validators = sections(said).find(({ title }) => title === "Validators");
  expect(validators?.rows).toEqual([
    [a, 70],
    [b, "no block yet"],
  ]);
});

test("the page shows the numbers of the status", async () => {
  const rows = sections(await state(4, 3)).flatMap((section) => section.rows);
  expect(rows).toContainEqual(["Newest confirmed epoch", 7]);
  expect(rows).toContainEqual(["Readings anchored", 50]);
  expect(rows).toContainEqual(["0x02", "answers"]);
});

test("the page says whether the root of the erasure keys is in a TPM or, weaker, in a file", async () => {
  const shown = async (change?: Change) =>
    new Map(sections(await state(4, 3, change)).flatMap(({ rows }) => rows as [string, unknown][])).get(
      "Root of the erasure keys",
    );
  expect(await shown({ root: "tpm" })).toBe("in a TPM");
  expect(await shown()).toMatch(/^in a file, weaker than a TPM/);
});
