import { fromBase64, fromHex, type Hex, toHex } from "./bytes.ts";
import { type Anchoring, type Bundle, type ReadingBundle, type WindowBundle } from "./bundle.ts";
import { demand, ProtocolError } from "./errors.ts";
import {
  anchorDomain,
  checkEpochSignatures,
  checkHeadSignatures,
  configDigest,
  epochHash,
  FUTURE_MS,
  LATE_MS,
} from "./epoch.ts";
import { cover, derive, nodeCovering, remaining, type TreeNode } from "./keytree.ts";
import { merkleDepth, merkleVerify } from "./merkle.ts";
import {
  checkFollows,
  checkHeader,
  checkSignature,
  decodeCose,
  FLAG,
  headerSlot,
  openPack,
  packLeaf,
  packOf,
  readingLeaf,
  type SignedHeader,
} from "./pack.ts";
import { decodeRecord, type SenmlRecord } from "./senml.ts";
import { MODE, streamId, type StreamPreimage } from "./stream.ts";

export interface VerifyOptions {
  /** Digest of the committee that the reader trusts; without it the committee in the bundle is only reported. */
  committee?: Hex;
}

/** What a chain, asked by the reader, must still confirm; `verify` itself does no I/O. */
export interface ChainClaims {
  chainId: number;
  anchor: Hex;
  registry?: Hex;
  epochs: { number: number; hash: Hex }[];
  deviceKey: { deviceId: Hex; keyEpoch: number; keyHash: Hex };
}

interface Proved {
  streamId: Hex;
  deviceId: Hex;
  name: string;
  /** Digest of the committee whose signatures were counted. */
  committee: Hex;
  /** Whether the reader pinned it. */
  committeePinned: boolean;
  epoch: { number: number; hash: Hex; closedAt: number };
  signers: Hex[];
  claims: ChainClaims;
}

export interface WindowReport extends Proved {
  kind: "window";
  fromSlot: number;
  toSlot: number;
  packs: number;
  readings: number;
  /** Slots of the window, outside its holes, without a pack. */
  emptySlots: number;
  /** Jumps of seq under `break`: readings may be missing there. */
  gaps: number;
  breaks: { seq: number; after: number }[];
  /** Packs anchored more than an hour after their end, among those whose epoch is in the bundle. */
  late: number;
  lateUnknown: number;
  /** Packs of replayed data with their original times. */
  recorded: number;
  /** Packs in holes of the window: their headers stand, their contents are gone. */
  erased: number;
  rows: SenmlRecord[];
}

export interface ReadingReport extends Proved {
  kind: "reading";
  index: number;
  of: number;
  row: SenmlRecord;
}

interface Context {
  bundle: Bundle;
  stream: StreamPreimage;
  options: VerifyOptions;
}

/** Membership of a header in an epoch that q of a committee signed. Returns the signers. */
function checkAnchoring({ bundle, stream, options }: Context, signed: SignedHeader, anchoring: Anchoring): Hex[] {
  const { epoch, path, signatures, config } = anchoring;
  const domain = anchorDomain(bundle.chain.chainId, bundle.chain.anchor);
  const signers = checkEpochSignatures(domain, epoch, config, signatures);
  demand(
    options.committee === undefined || options.committee.toLowerCase() === epoch.configDigest,
    "committee",
    "the epoch is signed by another committee than the one pinned",
    epoch.configDigest,
  );
  const leaf = fromHex(packLeaf(packOf(stream, signed)));
  demand(
    merkleVerify(
      fromHex(epoch.root, 32),
      leaf,
      path.map((p) => fromHex(p, 32)),
    ),
    "inclusion",
    "the header is not in the epoch",
    signed.headerDigest,
  );
  demand(signed.header.toMs <= epoch.closedAt + FUTURE_MS, "time", "the header is of a time after its epoch");
  return signers;
}

function checkDeviceSignature(bundle: Bundle, signed: SignedHeader): void {
  const key = bundle.keys.find((k) => k.keyEpoch === signed.header.keyEpoch);
  demand(key !== undefined, "unknown-key", "the bundle lacks the signing key of the header", signed.header.keyEpoch);
  checkSignature(signed, fromBase64(key.spki));
}

function proved(
  { bundle, stream, options }: Context,
  signed: SignedHeader,
  anchoring: Anchoring,
  signers: Hex[],
): Proved {
  const hash = epochHash(anchoring.epoch);
  return {
    streamId: streamId(stream),
    deviceId: stream.deviceId,
    name: stream.name,
    committee: configDigest(anchoring.config),
    committeePinned: options.committee !== undefined,
    epoch: { number: anchoring.epoch.number, hash, closedAt: anchoring.epoch.closedAt },
    signers,
    claims: {
      ...bundle.chain,
      epochs: [{ number: anchoring.epoch.number, hash }],
      deviceKey: { deviceId: stream.deviceId, keyEpoch: signed.header.keyEpoch, keyHash: signed.keyHash },
    },
  };
}

/** The evidence that nothing of the window follows its last header; returns the header that must be anchored. */
function checkEnd(context: Context & { bundle: WindowBundle }, last: SignedHeader | undefined): SignedHeader {
  const { bundle, stream } = context;
  const { end, window } = bundle;
  if (end.kind === "successor") {
    const successor = decodeCose(fromBase64(end.cose));
    checkHeader(stream, successor.header);
    demand(
      headerSlot(stream, successor.header) > window.toSlot,
      "completeness",
      "the successor lies inside the window",
    );
    return successor;
  }
  demand(last !== undefined, "completeness", "a window without packs is shown by the header after it");
  if (end.kind === "ended") {
    demand((last.header.flags & FLAG.end) !== 0, "completeness", "the last header does not end the stream");
    return last;
  }
  demand(end.kind === "head", "malformed", "unknown evidence of the window's end");
  const { head, epoch, epochSignatures, signatures, config } = end;
  const domain = anchorDomain(bundle.chain.chainId, bundle.chain.anchor);
  checkEpochSignatures(domain, epoch, config, epochSignatures);
  demand(
    context.options.committee === undefined || context.options.committee.toLowerCase() === epoch.configDigest,
    "committee",
    "the head is signed by another committee than the one pinned",
  );
  checkHeadSignatures(domain, head, config, signatures);
  demand(
    epoch.number === window.asOfEpoch && head.epoch === window.asOfEpoch,
    "completeness",
    "the head is not of the epoch that the window is judged by: it is stale",
    head.epoch,
  );
  demand(
    head.streamId === streamId(stream) && head.headerDigest === last.headerDigest,
    "completeness",
    "the stream's head is not the last header given: packs are missing at the end",
    head.headerDigest,
  );
  demand(window.toSlot <= headerSlot(stream, last.header), "completeness", "the head does not reach the window's end");
  return last;
}

/** Proves a window, completeness included, or throws a {@link ProtocolError} that says what does not hold. */
export function verifyWindow(bundle: WindowBundle, options: VerifyOptions = {}): WindowReport {
  const { stream, window } = bundle;
  const context = { bundle, stream, options };
  const id = streamId(stream);
  const left = remaining(window.fromSlot, window.toSlot, window.holes);
  const places = cover(window.fromSlot, window.toSlot, window.holes);
  const nodes: TreeNode[] = bundle.nodes.map(({ depth, firstSlot, key }) => ({
    depth,
    firstSlot,
    key: fromHex(key, 32),
  }));
  demand(
    nodes.length === places.length &&
      places.every((place, i) => nodes[i]?.depth === place.depth && nodes[i]?.firstSlot === place.firstSlot),
    "key-tree",
    "the keys are not those of the window's canonical cover",
  );

  const start = bundle.start === null ? undefined : decodeCose(fromBase64(bundle.start));
  if (start !== undefined) {
    demand(start.header.streamId === id, "wrong-stream", "the header before the window is of another stream");
    demand(
      stream.mode !== MODE.dataset && headerSlot(stream, start.header) < window.fromSlot,
      "completeness",
      "the header before the window lies inside it: packs are missing at the start",
    );
  }

  const chain = bundle.packs.map((pack) => decodeCose(fromBase64(pack.cose)));
  const report = { packs: 0, readings: 0, gaps: 0, late: 0, lateUnknown: 0, recorded: 0, erased: 0 };
  const breaks: { seq: number; after: number }[] = [];
  const rows: SenmlRecord[] = [];
  const filled = new Set<number>();
  let head = start;

  const follow = (signed: SignedHeader) => {
    checkHeader(stream, signed.header);
    try {
      checkFollows(stream, head, signed.header);
    } catch (error) {
      if (error instanceof ProtocolError && error.code === "branch")
        throw new ProtocolError(
          "completeness",
          `a header is missing before seq ${signed.header.seq}: its predecessor is not in the bundle`,
          signed.header.previous,
        );
      throw error;
    }
    head = signed;
  };

  chain.forEach((signed, i) => {
    const before = head;
    follow(signed);
    const slot = headerSlot(stream, signed.header);
    demand(slot >= window.fromSlot && slot <= window.toSlot, "completeness", "a pack lies outside the window", slot);
    if ((signed.header.flags & FLAG.break) !== 0) {
      report.gaps++;
      breaks.push({ seq: signed.header.seq, after: before?.header.seq ?? 0 });
    }
    if ((signed.header.flags & FLAG.recorded) !== 0) report.recorded++;
    const pack = bundle.packs[i] as WindowBundle["packs"][number];
    if (window.holes.some(([from, to]) => slot >= from && slot <= to)) {
      demand(pack.content === null, "erased", "a content is given for a hole of the window", slot);
      report.erased++;
      return;
    }
    demand(
      pack.content !== null,
      "completeness",
      `the content of seq ${signed.header.seq} is missing`,
      signed.headerDigest,
    );
    const node = nodeCovering(nodes, slot) as TreeNode;
    const leaf = (derive([node], [{ depth: 32, firstSlot: slot }])[0] as TreeNode).key;
    const opened = openPack(stream, signed.header, leaf, fromBase64(pack.content));
    rows.push(...opened.readings);
    filled.add(slot);
    report.packs++;
    report.readings += signed.header.count;
    if (pack.anchoring !== undefined) {
      checkAnchoring(context, signed, pack.anchoring);
      const late = pack.anchoring.epoch.closedAt - signed.header.toMs > LATE_MS;
      if (late && (signed.header.flags & FLAG.recorded) === 0) report.late++;
    } else if ((signed.header.flags & FLAG.recorded) === 0) report.lateUnknown++;
  });

  const last = chain[chain.length - 1];
  const anchored = checkEnd(context, last);
  if (bundle.end.kind === "successor") follow(anchored);
  checkDeviceSignature(bundle, anchored);
  const signers = checkAnchoring(context, anchored, bundle.anchoring);
  demand(
    bundle.anchoring.epoch.number <= window.asOfEpoch,
    "completeness",
    "the end of the window was anchored after the epoch that the window is judged by",
    bundle.anchoring.epoch.number,
  );
  if (bundle.deal !== undefined) checkDeal(bundle, report);

  const slots = left.reduce((sum, [from, to]) => sum + to - from + 1, 0);
  const base = proved(context, anchored, bundle.anchoring, signers);
  if (bundle.end.kind === "head")
    base.claims.epochs.push({ number: bundle.end.epoch.number, hash: epochHash(bundle.end.epoch) });
  return {
    kind: "window",
    ...base,
    fromSlot: window.fromSlot,
    toSlot: window.toSlot,
    ...report,
    breaks,
    emptySlots: stream.mode === MODE.dataset ? 0 : slots - filled.size,
    rows,
  };
}

function checkDeal(bundle: WindowBundle, counted: { packs: number; readings: number }): void {
  const { deal, window } = bundle;
  if (deal === undefined) return;
  demand(deal.streamId === streamId(bundle.stream), "deal", "the deal is about another stream", deal.streamId);
  demand(
    deal.fromSlot === window.fromSlot && deal.toSlot === window.toSlot && deal.asOfEpoch === window.asOfEpoch,
    "deal",
    "the deal is about another window",
  );
  demand(
    deal.packs === counted.packs && deal.readings === counted.readings,
    "deal",
    `the deal names ${deal.packs} packs and ${deal.readings} readings, the window holds ${counted.packs} and ${counted.readings}`,
  );
}

/** Proves one disclosed reading: that it stands at its index under a header signed by the device and anchored. */
export function verifyReading(bundle: ReadingBundle, options: VerifyOptions = {}): ReadingReport {
  const { stream } = bundle;
  const context = { bundle, stream, options };
  const signed = decodeCose(fromBase64(bundle.cose));
  checkHeader(stream, signed.header);
  const { count } = signed.header;
  const { index } = bundle;
  demand(Number.isInteger(index) && index >= 0 && index < count, "inclusion", "the index is not in the pack", index);
  const record = fromBase64(bundle.record);
  const leaf = readingLeaf(fromHex(bundle.salt, 32), index, record);
  demand(
    bundle.path.length === merkleDepth(index, count) &&
      merkleVerify(
        fromHex(signed.header.root),
        leaf,
        bundle.path.map((p) => fromHex(p, 32)),
      ),
    "root",
    "the reading does not lead to the header's root",
    toHex(leaf),
  );
  const row = decodeRecord(record);
  demand(
    stream.schema.quantities.some((q) => q.name === row.n && q.unit === (row.u ?? "")),
    "records",
    "the reading's name or unit is not in the stream's schema",
    row.n,
  );
  demand(
    stream.mode === MODE.dataset || (row.tMs >= signed.header.fromMs && row.tMs <= signed.header.toMs),
    "slot",
    "the reading lies outside its pack's times",
    row.tMs,
  );
  checkDeviceSignature(bundle, signed);
  const signers = checkAnchoring(context, signed, bundle.anchoring);
  return { kind: "reading", ...proved(context, signed, bundle.anchoring, signers), index, of: count, row };
}

/**
 * Verifies a proof bundle. Throws a {@link ProtocolError} with the reason where anything does not hold; malformed input
 * of any shape ends in one too. What only a chain can confirm is returned as `claims`.
 */
export function verify(bundle: Bundle, options: VerifyOptions = {}): WindowReport | ReadingReport {
  try {
    return bundle.format === "msec.window/1" ? verifyWindow(bundle, options) : verifyReading(bundle, options);
  } catch (error) {
    if (error instanceof ProtocolError) throw error;
    throw new ProtocolError("malformed", `the bundle is not well formed: ${(error as Error).message}`);
  }
}
