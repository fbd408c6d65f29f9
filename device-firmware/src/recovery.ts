import {
  decodeCose,
  faults,
  FLAG,
  type Hex,
  type Head,
  quorum,
  REFUSAL_NUMBERS,
  type SignedHeader,
  slotOf,
  type StreamPreimage,
  ZERO32,
} from "@msec/core";
import type { Line, Outbox } from "./outbox.ts";

/** Between the highest header that anybody may know and a break. */
export const BREAK_JUMP = 1000;

/** Refusals that would come again for the same readings: those packs are kept aside instead of signed again. */
const OF_CONTENT: ReadonlySet<number> = new Set(
  (
    [
      "malformed",
      "oversize",
      "slot",
      "content-digest",
      "key-commitment",
      "unopenable",
      "records",
      "root",
      "padding",
    ] as const
  ).map((code) => REFUSAL_NUMBERS[code]),
);

export interface Evidence {
  /** The highest header of this device at each operator that answered, null for none. */
  highest: readonly (SignedHeader | null)[];
  /** The head on which q operators agree, null for none, undefined for no agreement. */
  head: Head | null | undefined;
}

/** Seq up to which f + 1 organisations hold everything; 0 if they hold nothing. */
export function receiptedSeq(receipts: ReadonlyMap<Hex, number>, members: number): number {
  return [...receipts.values()].sort((a, b) => b - a)[faults(members)] ?? 0;
}

/** The first header of the line that f + 1 organisations refuse, with their reasons. */
export function refusedByMany(
  refusals: readonly { seq: number; headerDigest: Hex; reason: number }[],
  members: number,
): { seq: number; headerDigest: Hex; ofContent: boolean } | undefined {
  const counts = new Map<Hex, { seq: number; reasons: number[] }>();
  for (const { seq, headerDigest, reason } of refusals) {
    const entry = counts.get(headerDigest) ?? { seq, reasons: [] };
    entry.reasons.push(reason);
    counts.set(headerDigest, entry);
  }
  for (const [headerDigest, { seq, reasons }] of counts)
    if (reasons.length > faults(members))
      return { seq, headerDigest, ofContent: reasons.filter((r) => OF_CONTENT.has(r)).length > reasons.length / 2 };
  return undefined;
}

/** Whether a header that this device signed shows that the outbox has forgotten it. */
export function isAhead(
  signed: SignedHeader,
  line: Line | undefined,
  outboxDigest: (seq: number) => Hex | undefined,
): boolean {
  const { seq } = signed.header;
  if (seq > (line?.seq ?? 0)) return true;
  const known = seq === line?.seq ? line.headerDigest : outboxDigest(seq);
  return known !== undefined && known !== signed.headerDigest;
}

/** What has to happen before a break may be signed; `line` once it may. */
export type BreakPlan = { wait: string } | { line: Line; anchoredSeq: number; refusedSeqs: number[] };

/**
 * Plans a break from what n − f operators answered. `lost`: the outbox does not know the whole line, so that its
 * times come from headers that operators hold. `patient`: wait for receipted packs to be anchored. `settling`: wait also
 * for packs that some operator holds, which is safe to give up since an overtaken break is repeated.
 */
export function planBreak(
  outbox: Outbox,
  stream: { streamId: Hex; preimage: StreamPreimage },
  evidence: Evidence,
  options: { members: number; lost: boolean; receipted: number; patient: boolean; settling: boolean; keyEpoch: number },
): BreakPlan {
  const { head, highest } = evidence;
  const q = quorum(options.members);
  if (highest.length < q) return { wait: `${highest.length} of the ${q} operators needed show their highest header` };
  if (head === undefined) return { wait: `fewer than ${q} operators agree on the stream's head` };
  const headSeq = head?.seq ?? 0;
  const line = outbox.line(stream.streamId);
  const refused = refusedByMany(outbox.refusals(stream.streamId), options.members);
  const held = highest.filter((signed) => signed !== null);
  if (options.patient && options.receipted > headSeq && !standsBefore(outbox, stream.streamId, refused?.seq, head))
    return { wait: `pack ${options.receipted} is receipted and not anchored yet, the head is ${headSeq}` };
  const highestSeq = Math.max(line?.seq ?? 0, headSeq, ...held.map((signed) => signed.header.seq));
  if (options.lost && options.settling && held.some((s) => s.header.seq > headSeq))
    return { wait: `operators hold pack ${highestSeq}, the head is ${headSeq}: it may still be anchored` };

  const next: Line = {
    seq: highestSeq,
    headerDigest: head?.headerDigest ?? ZERO32,
    keyEpoch: options.keyEpoch,
    slot: line?.slot ?? -1,
    toMs: line?.toMs ?? -1,
    status: "break",
    ended: false,
    skipToMs: line?.skipToMs ?? -1,
  };
  if (options.lost) {
    const own = outbox.packsAfter(stream.streamId, 0, 100_000).map((pack) => decodeCose(pack.cose));
    const known = [...held, ...own];
    const at = known.find((signed) => signed.headerDigest === head?.headerDigest);
    // Without the head's own header its times are not known: those of the latest header are no earlier.
    const below = at ? [at] : known;
    next.toMs = Math.max(-1, ...below.map(({ header }) => header.toMs));
    next.slot = Math.max(-1, ...below.map(({ header }) => slotOf(header.fromMs, stream.preimage.slotSeconds)));
    next.ended = at !== undefined && (at.header.flags & FLAG.end) !== 0;
    next.skipToMs = next.toMs;
  }
  return {
    line: next,
    anchoredSeq: headSeq,
    refusedSeqs: refused?.ofContent && refused.seq > headSeq ? [refused.seq] : [],
  };
}

/** Whether the head is the header directly before the refused one: nothing else of the line can be anchored then. */
function standsBefore(outbox: Outbox, stream: Hex, refusedSeq: number | undefined, head: Head | null): boolean {
  const pack = refusedSeq === undefined ? undefined : outbox.packsAfter(stream, refusedSeq - 1, 1)[0];
  return pack !== undefined && decodeCose(pack.cose).header.previous === (head?.headerDigest ?? ZERO32);
}
