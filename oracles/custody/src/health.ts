import { type Section } from "@msec/service";
import { type Certificates } from "./certificates.ts";
import { type Committee } from "./committee.ts";
import { type Context, needed } from "./context.ts";
import { type Validators, type ValidatorSeen } from "./validators.ts";
import { type Watcher } from "./watcher.ts";

/** An operator's state in one object: what the health page shows and `msec status` reads. */
export interface Status {
  name: string;
  address: string;
  healthy: boolean;
  problems: string[];
  epoch: number;
  chainEpoch: number;
  block: number;
  leader: string;
  view: number;
  pending: number;
  waitingForHolders: number;
  streams: number;
  packs: number;
  readings: number;
  peers: { address: string; url: string; up: boolean }[];
  /** Operators whose proposals were refused here, with how often. */
  refusedProposals: { operator: string; reason: string; times: number }[];
  refusedPacks: { reason: string; times: number }[];
  equivocations: number;
  /** Seconds from held to seen anchored of the newest epoch's slowest pack; null before the first. */
  anchorLagSeconds: number | null;
  /** Newest epoch that this operator signed or proposed since its start. */
  signedEpoch: number;
  /** How long the anchoring that it sent is not seen on the chain; null where none waits. */
  unconfirmedSeconds: number | null;
  /** Whether it is connected to the broker. */
  broker: boolean;
  /** What the database took to answer. */
  databaseSeconds: number;
  /** Who seals the chain's blocks, and when last; null where blocks carry no seals. */
  validators: ValidatorSeen[] | null;
  /** Where the root of the erasure keys is. */
  erasureRoot: "file" | "tpm";
}

export async function status(
  ctx: Context,
  committee: Committee,
  watcher: Watcher,
  certificates: Certificates,
  validators: Pick<Validators, "seen" | "missing">,
  broker: { connected: boolean },
): Promise<Status> {
  const { metrics, lines, config, peers } = ctx;
  const problems: string[] = [];
  const up = peers.all.filter((p) => p.up).length;
  metrics.peersUp.set(up);
  const missing = needed(ctx) - 1 - up;
  if (!watcher.chainUp) problems.push("the chain does not answer: nothing is anchored until it does");
  else if (watcher.chainStill)
    problems.push(
      "the chain makes no blocks, too few validators run: nothing is anchored until it does, nothing is lost",
    );
  else if (certificates.problem) problems.push(certificates.problem);
  if (missing > 0)
    problems.push(
      `${peers.all.length - up} of ${config.committee.length} operators do not answer: anchoring stops until one is back, nothing is lost`,
    );
  if (committee.view > 0)
    problems.push(`the leader is silent: operator ${committee.leader(committee.view)} takes over`);
  for (const address of validators.missing)
    problems.push(`the validator ${address} seals no blocks: the chain stops when too many more do so`);
  if (!broker.connected) problems.push("the broker cannot be reached: nothing arrives over it until it can");
  metrics.brokerUp.set(broker.connected ? 1 : 0);
  const asked = performance.now();
  const totals = await ctx.store.totals();
  metrics.databaseSeconds.set((performance.now() - asked) / 1000);
  const since = committee.unconfirmedSince;
  metrics.unconfirmed.set(since === undefined ? 0 : (Date.now() - since) / 1000);
  const valueOf = async (gauge: typeof metrics.epoch) => (await gauge.get()).values[0]?.value ?? 0;
  const refused = (await metrics.proposalsRefused.get()).values;
  const packs = (await metrics.packsRefused.get()).values;
  return {
    name: config.name,
    address: ctx.address,
    healthy: problems.length === 0,
    problems,
    epoch: committee.next - 1,
    chainEpoch: committee.chainNumber,
    block: committee.block,
    leader: committee.leader(committee.view),
    view: committee.view,
    pending: lines.pendingCount,
    waitingForHolders: [...lines.byId.values()].reduce(
      (sum, line) => sum + (line.stream.mode === 1 ? line.pending.filter((p) => p.opened.size === 0).length : 0),
      0,
    ),
    streams: lines.byId.size,
    packs: totals.packs,
    readings: totals.readings,
    peers: peers.all.map(({ address, url, up: answers }) => ({ address, url, up: answers })),
    refusedProposals: refused.map((v) => ({
      operator: String(v.labels.operator),
      reason: String(v.labels.reason),
      times: v.value,
    })),
    refusedPacks: packs.map((v) => ({ reason: String(v.labels.reason), times: v.value })),
    equivocations: [...lines.byId.values()].reduce((sum, line) => sum + line.equivocal.size, 0),
    anchorLagSeconds: committee.next === 1 ? null : await valueOf(metrics.anchorLag),
    signedEpoch: await valueOf(metrics.signedEpoch),
    unconfirmedSeconds: since === undefined ? null : await valueOf(metrics.unconfirmed),
    broker: broker.connected,
    databaseSeconds: await valueOf(metrics.databaseSeconds),
    validators: validators.seen,
    erasureRoot: config.erasureRoot.kind,
  };
}

const ROOT = {
  tpm: "in a TPM",
  file: "in a file, weaker than a TPM: old copies of the disk may still open what was erased",
};

export function sections(s: Status): Section[] {
  return [
    {
      rows: [
        ["Newest confirmed epoch", s.epoch],
        ["Newest epoch on the chain", s.chainEpoch],
        ["Block", s.block],
        ["Leader", s.leader],
        ["Streams", s.streams],
        ["Packs anchored", s.packs],
        ["Readings anchored", s.readings],
        ["Packs waiting for an epoch", s.pending],
        ["Sealed packs waiting for a seed holder", s.waitingForHolders],
        ["Seconds to the chain, newest epoch's slowest pack", s.anchorLagSeconds ?? "none yet"],
        ["Newest epoch signed here", s.signedEpoch],
        ["Seconds that an anchoring waits for its block", s.unconfirmedSeconds ?? "none waits"],
        ["Broker", s.broker ? "connected" : "away"],
        ["Seconds of the database's last answer", s.databaseSeconds],
        ["Sequence numbers signed twice by devices", s.equivocations],
        ["Root of the erasure keys", ROOT[s.erasureRoot]],
      ],
    },
    ...(s.validators
      ? [
          {
            title: "Validators",
            rows: s.validators.map(({ address, lastBlock }): [string, string | number] => [
              address,
              lastBlock ?? "no block yet",
            ]),
          },
        ]
      : []),
    { title: "Operators", rows: s.peers.map((p) => [p.address, p.up ? "answers" : "does not answer"]) },
    { title: "Proposals refused", rows: s.refusedProposals.map((r) => [r.operator, `${r.reason}: ${r.times}`]) },
    { title: "Packs refused", rows: s.refusedPacks.map((r) => [r.reason, r.times]) },
  ];
}
