import {
  addressOfKey,
  anchorDomain,
  buildEpoch,
  configDigest,
  EPOCH,
  type Epoch,
  epochHash,
  epochTree,
  type Hex,
  quorum,
  REFUSED,
  REFUSAL_NUMBERS,
  recoverTyped,
  type RefusalCode,
  signTyped,
  ZERO32,
} from "@msec/core";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { TestStream } from "../../../packages/core/test/city.ts";
import { Committee, type Proposal } from "./committee.ts";
import { type Context } from "./context.ts";
import { type Epochs } from "./epochs.ts";
import { type Ingest } from "./ingest.ts";
import { type Line, Lines } from "./lines.ts";
import { Metrics } from "./metrics.ts";
import { ACTIVE } from "./registry.ts";
import { type EpochRow, type Store } from "./store.ts";

// The rules by which operators agree, with a store in memory: who leads, and what is signed.

const keys = [1, 2, 3, 4]
  .map((n) => new Uint8Array(32).fill(n))
  .sort((a, b) => (addressOfKey(a) < addressOfKey(b) ? -1 : 1));
const members = keys.map(addressOfKey);
const DOMAIN = anchorDomain(20260, `0x${"a1".repeat(20)}`);
const config = { q: quorum(4), members, organisations: members.map((_, i) => `0x0${i}` as Hex), fromEpoch: 1 };
const DIGEST = configDigest({ ...config, organisations: members.map((_, i) => `0x${`0${i}`.repeat(32)}` as Hex) });
const SLOT = 28_000_000;
const NOW = SLOT * 60_000 + 3_600_000;

let term: number;
let candidates: Hex[];
let refusals: Map<Hex, { reason: number; signature: Hex }>;
let status: number;
let revoked: boolean;
let attested: boolean;
let stream: TestStream;
let line: Line;
let lines: Lines;
let committee: Committee;
let ctx: Context;
let posts: { url: string; path: string; body: unknown }[];
let offered: unknown;

/** The operator under test is the first member; others are its peers. */
async function start(confirmed?: EpochRow): Promise<void> {
  const store = {
    lastEpoch: async () => confirmed,
    termLength: async () => term,
    putCandidate: async ({ hash }: { hash: Hex }) => void candidates.push(hash),
    signedCandidate: async () => undefined,
    refusal: async (digest: Hex) => refusals.get(digest),
    head: async () => undefined,
    keys: async () => [],
    equivocations: async () => [],
    packsAfter: async () => [],
    opened: async () => [],
  } as unknown as Store;
  lines = new Lines(store);
  ctx = {
    config: {
      chain: { chainId: DOMAIN.chainId, addresses: { DataAnchor: DOMAIN.verifyingContract } },
      // Not in the order of addresses: the rule must not depend on a file.
      committee: [...members].reverse().map((address) => ({ address, organisation: "0x", url: `http://${address}` })),
      epochMs: 1000,
      silenceMs: 3000,
    },
    log: pino({ level: "silent" }),
    metrics: new Metrics(),
    store,
    lines,
    devices: {
      device: async () => ({ status, ownerEpoch: 1 }),
      isRevoked: async () => revoked,
      isAttested: async () => attested,
    },
    peers: {
      all: members.slice(1).map((address) => ({ address, url: `http://${address}`, up: true })),
      post: async (peer: { url: string }, path: string, body: unknown) => {
        posts.push({ url: peer.url, path, body });
        return offered;
      },
    },
    key: keys[0],
    address: members[0],
  } as unknown as Context;
  const ingest = { take: async () => undefined, exclusive: (work: () => unknown) => work() } as unknown as Ingest;
  const epochs = { config: async () => ({ config, digest: DIGEST }) } as unknown as Epochs;
  committee = new Committee(ctx, ingest, epochs);
  await committee.load();
  committee.block = 50;
  line = await lines.open(stream.preimage, { version: 1, holders: members, signature: "0x" });
}

beforeEach(async () => {
  vi.useFakeTimers({ now: NOW });
  term = 0;
  candidates = [];
  refusals = new Map();
  status = ACTIVE;
  revoked = false;
  attested = true;
  posts = [];
  offered = undefined;
  stream = new TestStream(0, 60).fill(SLOT, 4);
  await start();
});
afterEach(() => vi.useRealTimers());

const wait = (held = true) => {
  for (const { signed } of stream.packs) lines.append(line, { ...lines.create(line, signed, Date.now()), held });
};

function rowOf(number: number, proposer: Hex, fields: Partial<Epoch> = {}): EpochRow {
  const tree = epochTree(
    line.pending.length ? line.pending.map((p) => p.pack) : [lines.create(line, stream.packs[0]!.signed, 0).pack],
  );
  const epoch = {
    ...buildEpoch(tree, { number, prev: ZERO32, closedAt: NOW - 5000, stateBlock: 45, configDigest: DIGEST }),
    ...fields,
  };
  return { epoch, hash: epochHash(epoch), signatures: [], proposer, headerDigests: [], tx: "0x" };
}

describe("who leads", () => {
  test("proposes what waits, but nothing while it can't see the chain", async () => {
    term = 3;
    await start(rowOf(7, members[0] as Hex));
    wait();
    committee.chainNumber = 7;
    committee.chainUp = false;
    await committee.tick();
    expect(candidates).toEqual([]);
    committee.chainUp = true;
    await committee.tick();
    expect(candidates).toHaveLength(1);
  });

  test("the first member at the start, then each in turn as views pass", () => {
    expect([0, 1, 2, 3, 4].map((view) => committee.leader(view))).toEqual([...members, members[0]]);
  });

  test("the last proposer, for 30 epochs in a row; then the member after it", async () => {
    for (const [length, leader] of [
      [1, members[2]],
      [29, members[2]],
      [30, members[3]],
      [31, members[3]],
    ] as const) {
      term = length;
      await start(rowOf(length, members[2] as Hex));
      expect(committee.leader(0), `after ${length}`).toBe(leader);
    }
    term = 30;
    await start(rowOf(30, members[3] as Hex));
    expect(committee.leader(0)).toBe(members[0]);
    expect(committee.leader(1)).toBe(members[1]);
  });

  test("goes on from the first where the last proposer is no member any more", async () => {
    await start(rowOf(7, `0x${"99".repeat(20)}`));
    expect(committee.leader(0)).toBe(members[0]);
  });

  test("counts a new term from each confirmed epoch", async () => {
    term = 1;
    await committee.onConfirmed(rowOf(1, members[1] as Hex));
    expect([committee.leader(0), committee.next, committee.view]).toEqual([members[1], 2, 0]);
  });
});

describe("a silent leader", () => {
  beforeEach(async () => {
    term = 3;
    await start(rowOf(7, members[1] as Hex));
    committee.chainNumber = 7;
  });

  test("is passed over after three seconds of waiting packs, and each after it likewise", async () => {
    wait();
    await committee.tick();
    expect(committee.view).toBe(0);
    vi.advanceTimersByTime(2999);
    await committee.tick();
    expect(committee.view).toBe(0);
    vi.advanceTimersByTime(1);
    await committee.tick();
    expect([committee.view, committee.leader(committee.view)]).toEqual([1, members[2]]);
    vi.advanceTimersByTime(3000);
    await committee.tick();
    expect(committee.leader(committee.view)).toBe(members[3]);
    const counted = (await ctx.metrics.viewChanges.get()).values;
    expect(counted.map((v) => v.labels.operator)).toEqual([members[1], members[2]]);
  });

  test("is not blamed while nothing waits", async () => {
    vi.advanceTimersByTime(60_000);
    await committee.tick();
    wait();
    await committee.tick();
    expect(committee.view).toBe(0);
  });

  test("is not blamed for packs that are not committed here yet", async () => {
    wait(false);
    vi.advanceTimersByTime(60_000);
    await committee.tick();
    expect(committee.view).toBe(0);
  });

  test("is not blamed for packs that may not enter", async () => {
    status = 2;
    wait();
    vi.advanceTimersByTime(60_000);
    await committee.tick();
    expect(committee.view).toBe(0);
  });

  test("is pushed what has waited for more than two epochs, once", async () => {
    wait();
    offered = { ok: true };
    await committee.tick();
    expect(posts).toEqual([]);
    vi.advanceTimersByTime(2001);
    await committee.tick();
    await committee.tick();
    expect(posts).toHaveLength(1);
    expect(posts[0]).toMatchObject({
      url: `http://${members[1]}`,
      path: "/peer/push",
      body: { from: `http://${members[0]}`, digests: stream.packs.map((p) => p.signed.headerDigest) },
    });
    expect(line.pending.every((p) => p.pushedAt === 7)).toBe(true);
  });

  test("one that was not reached is pushed again", async () => {
    wait();
    vi.advanceTimersByTime(2001);
    await committee.tick();
    await committee.tick();
    expect(posts).toHaveLength(2);
  });
});

describe("signing another's proposal", () => {
  /** A good proposal by the operator whose turn it is, changed. */
  function propose(
    change: Partial<Epoch> = {},
    { by = 1, packs = line.pending, digests }: { by?: number; packs?: Line["pending"]; digests?: Hex[] } = {},
  ): Proposal {
    const tree = epochTree(packs.map((p) => p.pack));
    const epoch = {
      ...buildEpoch(tree, {
        number: committee.next,
        prev: committee.confirmed?.hash ?? ZERO32,
        closedAt: Date.now(),
        stateBlock: 49,
        configDigest: DIGEST,
      }),
      ...change,
    };
    return {
      epoch,
      headerDigests: digests ?? tree.packs.map((p) => p.headerDigest),
      signature: signTyped(keys[by] as Uint8Array, DOMAIN, EPOCH, epoch),
    };
  }

  beforeEach(async () => {
    term = 3;
    await start(rowOf(7, members[1] as Hex));
    wait();
  });

  const refused = async (proposal: Proposal) => {
    const answer = await committee.sign(proposal);
    expect(answer.signature).toBeUndefined();
    expect(candidates).toEqual([]);
    return answer.refusal?.message;
  };

  test("keeps the candidate, then signs what it holds", async () => {
    const proposal = propose();
    const { signature } = await committee.sign(proposal);
    expect(recoverTyped(DOMAIN, EPOCH, proposal.epoch, signature as Hex)).toBe(members[0]);
    expect(candidates).toEqual([epochHash(proposal.epoch)]);
  });

  test("signs some of what waits, as long as no line has a hole", async () => {
    expect((await committee.sign(propose({}, { packs: line.pending.slice(0, 2) }))).signature).toBeDefined();
  });

  test("bears a view that is one off, since clocks differ; not more", async () => {
    expect((await committee.sign(propose({}, { by: 2 }))).signature).toBeDefined();
    candidates = [];
    expect(await refused(propose({}, { by: 3 }))).toMatch(/not this operator's turn/);
  });

  test("after two silent leaders anybody's proposal is judged: operators count views from different times", async () => {
    committee.chainNumber = 7;
    await committee.tick();
    vi.advanceTimersByTime(6000);
    await committee.tick();
    expect(committee.view).toBe(2);
    for (const by of [1, 2, 3]) expect((await committee.sign(propose({}, { by }))).signature).toBeDefined();
  });

  test("reads the chain once more where the proposer has seen an epoch that it has not", async () => {
    const proposal = propose({ number: 9, prev: ZERO32 });
    let read = 0;
    committee.refresh = async () => void read++;
    expect(await refused(proposal)).toMatch(/next number is 8/);
    expect(read).toBe(1);
  });

  test("signs nothing of a pack that is not committed yet", async () => {
    const proposal = propose();
    const last = line.pending[3] as Line["pending"][number];
    last.held = false;
    expect((await committee.sign(proposal)).bad).toEqual([
      { headerDigest: last.signed.headerDigest, reason: REFUSAL_NUMBERS.order },
    ]);
    last.held = true;
    expect((await committee.sign(proposal)).signature).toBeDefined();
  });

  test("refuses a stranger", async () => {
    const proposal = propose();
    const stranger = signTyped(new Uint8Array(32).fill(9), DOMAIN, EPOCH, proposal.epoch);
    expect(await refused({ ...proposal, signature: stranger })).toMatch(/not an operator of this city/);
    expect(await refused({ ...proposal, signature: `0x${"00".repeat(65)}` })).toMatch(/not a canonical/);
  });

  test.each([
    ["another number", { number: 9 }, /next number is 8/],
    ["a number that is confirmed", { number: 7 }, /next number is 8/],
    ["another predecessor", { prev: ZERO32 }, /not the epoch before/],
    ["a clock 2 s ahead", { closedAt: NOW + 2001 }, /within 2 s/],
    ["a clock 2 s behind", { closedAt: NOW - 2001 }, /within 2 s/],
    ["an old state", { stateBlock: 39 }, /stateBlock/],
    ["a state to come", { stateBlock: 53 }, /stateBlock/],
    ["another committee", { configDigest: ZERO32 }, /another committee/],
    ["another root", { root: ZERO32 }, /root, counts, times or manifest/],
    ["more readings than there are", { readings: 99 }, /root, counts, times or manifest/],
    ["another manifest", { manifest: ZERO32 }, /root, counts, times or manifest/],
  ] as [string, Partial<Epoch>, RegExp][])("refuses %s", async (_, change, message) => {
    expect(await refused(propose(change))).toMatch(message);
  });

  test("refuses no packs, and packs in another order than their leaves", async () => {
    expect(await refused(propose({}, { digests: [] }))).toMatch(/1 to 16,384/);
    const digests = propose().headerDigests.reverse();
    expect(await refused(propose({}, { digests }))).toMatch(/order of their leaves/);
  });

  test("names the pack behind a hole in its line", async () => {
    const packs = [line.pending[0], line.pending[2]] as Line["pending"];
    const answer = await committee.sign(propose({}, { packs }));
    expect(answer.signature).toBeUndefined();
    expect(answer.bad).toContainEqual({
      headerDigest: line.pending[2]?.signed.headerDigest,
      reason: REFUSAL_NUMBERS.branch,
    });
    expect(candidates).toEqual([]);
  });

  test("asks the proposer for a pack that it lacks, and names it where it gets none", async () => {
    const proposal = propose();
    const [lost] = lines.cut(line, 3);
    const answer = await committee.sign(proposal);
    expect(posts).toEqual([{ url: `http://${members[1]}`, path: "/peer/packs", body: { digests: [lost] } }]);
    expect(answer.bad).toEqual([{ headerDigest: lost, reason: REFUSAL_NUMBERS.order }]);
  });

  test("names a pack that it refused at its arrival with its own signed refusal", async () => {
    const proposal = propose();
    const [lost] = lines.cut(line, 3) as [Hex];
    const given = { headerDigest: lost, reason: REFUSAL_NUMBERS.records };
    refusals.set(lost, { reason: given.reason, signature: signTyped(keys[0] as Uint8Array, DOMAIN, REFUSED, given) });
    const [bad] = (await committee.sign(proposal)).bad ?? [];
    expect(bad).toMatchObject(given);
    expect(recoverTyped(DOMAIN, REFUSED, given, bad?.signature as Hex)).toBe(members[0]);
  });

  test.each<[string, () => void, RefusalCode]>([
    ["a device that is not active", (): void => void (status = 3), "inactive-device"],
    ["a revoked key", (): void => void (revoked = true), "revoked"],
    ["a device whose attestation is over", (): void => void (attested = false), "unattested"],
  ])("refuses packs of %s", async (_, change, code) => {
    change();
    const { bad, signature } = await committee.sign(propose());
    expect(signature).toBeUndefined();
    expect(bad?.map((b) => b.reason)).toEqual(line.pending.map(() => REFUSAL_NUMBERS[code]));
  });

  test("refuses a sealed pack that no holder has opened, until one has", async () => {
    stream = new TestStream(1, 60).fill(SLOT, 1);
    line = await lines.open(stream.preimage, { version: 1, holders: members.slice(0, 2), signature: "0x" });
    wait();
    const packs = [...line.pending];
    expect((await committee.sign(propose({}, { packs }))).bad?.[0]?.reason).toBe(REFUSAL_NUMBERS.unopenable);
    packs[0]?.opened.set(members[1] as Hex, "0x");
    expect((await committee.sign(propose({}, { packs }))).signature).toBeDefined();
  });

  test("refuses an epoch that leaves out what was pushed five epochs ago", async () => {
    for (const p of line.pending) p.pushedAt = 2;
    const packs = line.pending.slice(0, 2);
    const answer = await committee.sign(propose({}, { packs }));
    expect(answer.omitted).toEqual(line.pending.slice(2).map((p) => p.signed.headerDigest));
    expect(answer.signature).toBeUndefined();
    for (const p of line.pending) p.pushedAt = 3;
    expect((await committee.sign(propose({}, { packs }))).signature).toBeDefined();
  });

  test("counts what it refused by operator and reason", async () => {
    await committee.sign(propose({ number: 9 }));
    expect((await ctx.metrics.proposalsRefused.get()).values).toMatchObject([
      { labels: { operator: members[1], reason: "epoch" }, value: 1 },
    ]);
  });

  test("garbage in place of a proposal is never signed", async () => {
    for (const garbage of [{}, { epoch: null }, { epoch: {}, signature: "0x" }, { ...propose(), signature: 7 }]) {
      const signature = await committee.sign(garbage as never).then(
        (answer) => answer.signature,
        () => undefined,
      );
      expect(signature).toBeUndefined();
      expect(candidates).toEqual([]);
    }
  });
});
