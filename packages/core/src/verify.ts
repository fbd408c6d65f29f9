import { fromBase64, fromHex, type Hex, toHex } from "./bytes.ts";
import { type Anchoring, type Bundle, type ReadingBundle, type WindowBundle } from "./bundle.ts";
import { type Certified, checkCertificate } from "./certificate.ts";
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
import { cover, holesHash, leafNode, remaining, type SlotRange, type TreeNode } from "./keytree.ts";
import { merkleDepth, merkleVerify } from "./merkle.ts";
import {
  checkContent,
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
import { MODE, slotTimes, streamId, type StreamPreimage } from "./stream.ts";
import { type Epoch } from "./types.ts";

export interface VerifyOptions {
  /** Digests of the committees that the reader trusts; without them the committee in the bundle is only reported. */
  committee?: Hex | readonly Hex[];
  /** Validators of the chain that the reader trusts: the bundle must then hold the chain's certificate of its epoch. */
  validators?: readonly Hex[];
  /**
   * Before buying: the bundle holds no keys, contents are held against their headers unopened, and the report counts
   * packs and records but no readings.
   */
  withoutKeys?: boolean;
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
  /** What the chain's own certificate shows; null where the bundle holds none. */
  certified: Certified | null;
  claims: ChainClaims;
}

export interface WindowReport extends Proved {
  kind: "window";
  fromSlot: number;
  toSlot: number;
  packs: number;
  /** Readings read; a sealed stream's padding is not counted. */
  readings: number;
  /** Sum of the packs' counts, padding included: what a deal counts as readings. */
  records: number;
  /** Slots of the window, outside its holes, without a pack. */
  emptySlots: number;
  /** Jumps of seq under `break`, up to the header after the window: readings may be missing there. */
  gaps: number;
  /** Every `break`, with the seq before it (0 for none). */
  breaks: { seq: number; after: number }[];
  /** Packs anchored more than an hour after their end, among those whose epoch is in the bundle. */
  late: number;
  lateUnknown: number;
  /** Packs of replayed data with their original times. */
  recorded: number;
  /** Packs in holes of the window: their headers stand, their contents are gone. */
  erased: number;
  /** The holes: slots that the window leaves out, with or without packs. */
  holes: SlotRange[];
  rows: SenmlRecord[];
}

export interface ReadingReport extends Proved {
  kind: "reading";
  index: number;
  of: number;
  row: SenmlRecord;
}

/** A header with its way to the chain, without a key: whoever has it can't read what was measured. */
export type HeaderBundle = Pick<ReadingBundle, "chain" | "stream" | "keys" | "cose" | "anchoring">;

export interface HeaderReport extends Proved {
  kind: "header";
  seq: number;
  slot: number;
  /** Readings that the device committed to. */
  count: number;
  fromMs: number;
  toMs: number;
  headerDigest: Hex;
  contentDigest: Hex;
}

interface Context {
  bundle: Pick<Bundle, "chain" | "stream" | "keys" | "certificate">;
  stream: StreamPreimage;
  options: VerifyOptions;
  /** Signers of epochs whose signatures were checked, by epoch and signatures: many packs share an epoch. */
  signers?: Map<string, Hex[]>;
}

/** Refuses a committee other than those that the reader pins. */
function checkPinned({ options }: Context, digest: Hex): void {
  if (options.committee === undefined) return;
  const pinned = [options.committee].flat().map((pin) => pin.toLowerCase());
  demand(pinned.includes(digest), "committee", "signed by another committee than the one pinned", digest);
}

/** Membership of a header in an epoch that q of a committee signed. Returns the signers. */
function checkAnchoring(context: Context, signed: SignedHeader, anchoring: Anchoring): Hex[] {
  const { bundle, stream } = context;
  const { epoch, path, signatures, config } = anchoring;
  const domain = anchorDomain(bundle.chain.chainId, bundle.chain.anchor);
  context.signers ??= new Map();
  const known = `${epochHash(epoch)} ${configDigest(config)} ${signatures.join()}`;
  const signers = context.signers.get(known) ?? checkEpochSignatures(domain, epoch, config, signatures);
  context.signers.set(known, signers);
  checkPinned(context, epoch.configDigest);
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
  demand(
    signed.header.beacon.number < epoch.number,
    "time",
    "the header names a beacon that its epoch did not precede",
  );
  return signers;
}

function checkDeviceSignature(bundle: Pick<Bundle, "keys">, signed: SignedHeader): void {
  const key = bundle.keys.find((k) => k.keyEpoch === signed.header.keyEpoch);
  demand(key !== undefined, "unknown-key", "the bundle lacks the signing key of the header", signed.header.keyEpoch);
  checkSignature(signed, fromBase64(key.spki));
}

function checkCertified(
  bundle: Pick<Bundle, "certificate">,
  claims: ChainClaims,
  number: number,
  pinned?: readonly Hex[],
): Certified | null {
  if (bundle.certificate === undefined) {
    demand(pinned === undefined, "validators", "the bundle holds no certificate of the chain: no block's seals");
    return null;
  }
  const certified = checkCertificate(bundle.certificate, claims, pinned);
  demand(
    certified.epochs.includes(number),
    "validators",
    "the chain's certificate is not of the bundle's epoch",
    number,
  );
  return certified;
}

function proved(
  { bundle, stream, options }: Context,
  signed: SignedHeader,
  anchoring: Anchoring,
  signers: Hex[],
  epochs: ReadonlyMap<number, Hex> = new Map([[anchoring.epoch.number, epochHash(anchoring.epoch)]]),
): Proved {
  const { number, closedAt } = anchoring.epoch;
  const claims: ChainClaims = {
    ...bundle.chain,
    epochs: Array.from(epochs, ([n, hash]) => ({ number: n, hash })).sort((a, b) => a.number - b.number),
    deviceKey: { deviceId: stream.deviceId, keyEpoch: signed.header.keyEpoch, keyHash: signed.keyHash },
  };
  return {
    streamId: streamId(stream),
    deviceId: stream.deviceId,
    name: stream.name,
    committee: configDigest(anchoring.config),
    committeePinned: options.committee !== undefined,
    epoch: { number, hash: epochHash(anchoring.epoch), closedAt },
    signers,
    certified: checkCertified(bundle, claims, number, options.validators),
    claims,
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
  const ended = (last.header.flags & FLAG.end) !== 0;
  demand(ended || stream.mode !== MODE.dataset, "completeness", "a data set is complete only after `end`");
  if (end.kind === "ended") {
    demand(ended, "completeness", "the last header does not end the stream");
    return last;
  }
  demand(end.kind === "head", "malformed", "unknown evidence of the window's end");
  const { head, epoch, epochSignatures, signatures, config } = end;
  const domain = anchorDomain(bundle.chain.chainId, bundle.chain.anchor);
  checkEpochSignatures(domain, epoch, config, epochSignatures);
  checkPinned(context, epoch.configDigest);
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

/** Proves a window pack by pack. Yields how many packs are done, so that whoever drives it may rest in between. */
function* windowSteps(bundle: WindowBundle, options: VerifyOptions): Generator<number, WindowReport> {
  const { stream, window } = bundle;
  const context: Context & { bundle: typeof bundle } = { bundle, stream, options };
  demand(
    stream.mode !== MODE.dataset || (window.fromSlot === 0 && window.toSlot === 0),
    "slot",
    "a data set has the one slot 0",
    window.toSlot,
  );
  const left = remaining(window.fromSlot, window.toSlot, window.holes);
  const places = cover(window.fromSlot, window.toSlot, window.holes);
  const nodes: TreeNode[] = bundle.nodes.map(({ depth, firstSlot, key }) => ({
    depth,
    firstSlot,
    key: fromHex(key, 32),
  }));
  const { withoutKeys = false } = options;
  demand(!withoutKeys || nodes.length === 0, "key-tree", "a bundle checked without keys holds none", nodes.length);
  demand(
    withoutKeys ||
      (nodes.length === places.length &&
        places.every((place, i) => nodes[i]?.depth === place.depth && nodes[i]?.firstSlot === place.firstSlot)),
    "key-tree",
    "the keys are not those of the window's canonical cover",
  );

  const start = bundle.start === null ? undefined : decodeCose(fromBase64(bundle.start));
  if (start !== undefined) {
    checkHeader(stream, start.header);
    demand(
      stream.mode !== MODE.dataset && headerSlot(stream, start.header) < window.fromSlot,
      "completeness",
      "the header before the window lies inside it: packs are missing at the start",
    );
  }

  const chain: SignedHeader[] = [];
  for (const pack of bundle.packs) {
    chain.push(decodeCose(fromBase64(pack.cose)));
    yield 0;
  }
  const report = { packs: 0, records: 0, gaps: 0, late: 0, lateUnknown: 0, recorded: 0, erased: 0 };
  const breaks: { seq: number; after: number }[] = [];
  const rows: SenmlRecord[] = [];
  const filled = new Set<number>();
  let head = start;
  const epochs = new Map<number, Hex>();
  const claim = (epoch: Epoch) => {
    const hash = epochHash(epoch);
    demand((epochs.get(epoch.number) ?? hash) === hash, "epoch", "two epochs under one number", epoch.number);
    epochs.set(epoch.number, hash);
  };

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
    const { seq, flags } = signed.header;
    const after = head?.header.seq ?? 0;
    if ((flags & FLAG.break) !== 0) breaks.push({ seq, after });
    if (seq !== after + 1) report.gaps++;
    head = signed;
  };

  for (const [i, signed] of chain.entries()) {
    yield i;
    follow(signed);
    const slot = headerSlot(stream, signed.header);
    demand(slot >= window.fromSlot && slot <= window.toSlot, "completeness", "a pack lies outside the window", slot);
    if ((signed.header.flags & FLAG.recorded) !== 0) report.recorded++;
    const pack = bundle.packs[i] as WindowBundle["packs"][number];
    if (window.holes.some(([from, to]) => slot >= from && slot <= to)) {
      demand(pack.content === null, "erased", "a content is given for a hole of the window", slot);
      report.erased++;
      continue;
    }
    demand(
      pack.content !== null,
      "completeness",
      `the content of seq ${signed.header.seq} is missing`,
      signed.headerDigest,
    );
    const content = fromBase64(pack.content);
    if (withoutKeys) checkContent(signed.header, content);
    else {
      const { readings } = openPack(stream, signed.header, leafNode(nodes, slot), content);
      for (const reading of readings) rows.push(reading);
    }
    filled.add(slot);
    report.packs++;
    report.records += signed.header.count;
    if (pack.anchoring !== undefined) {
      checkAnchoring(context, signed, pack.anchoring);
      demand(
        pack.anchoring.epoch.number <= bundle.anchoring.epoch.number,
        "epoch",
        "a pack is said to be anchored after its successor",
        pack.anchoring.epoch.number,
      );
      claim(pack.anchoring.epoch);
      const late = pack.anchoring.epoch.closedAt - signed.header.toMs > LATE_MS;
      if (late && (signed.header.flags & FLAG.recorded) === 0) report.late++;
    } else if ((signed.header.flags & FLAG.recorded) === 0) report.lateUnknown++;
  }

  const anchored = checkEnd(context, head);
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

  claim(bundle.anchoring.epoch);
  if (bundle.end.kind === "head") claim(bundle.end.epoch);
  const slots = left.reduce((sum, [from, to]) => sum + to - from + 1, 0);
  return {
    kind: "window",
    ...proved(context, anchored, bundle.anchoring, signers, epochs),
    fromSlot: window.fromSlot,
    toSlot: window.toSlot,
    ...report,
    readings: rows.length,
    breaks,
    holes: window.holes,
    emptySlots: stream.mode === MODE.dataset ? 0 : slots - filled.size,
    rows,
  };
}

/** Proves a window, completeness included, or throws a {@link ProtocolError} that says what does not hold. */
export function verifyWindow(bundle: WindowBundle, options: VerifyOptions = {}): WindowReport {
  const steps = windowSteps(bundle, options);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

function checkDeal(bundle: WindowBundle, counted: { packs: number; records: number }): void {
  const { deal, window, stream } = bundle;
  if (deal === undefined) return;
  demand(deal.streamId === streamId(bundle.stream), "deal", "the deal is about another stream", deal.streamId);
  demand(
    deal.fromSlot === window.fromSlot &&
      deal.toSlot === window.toSlot &&
      deal.asOfEpoch === window.asOfEpoch &&
      deal.holesHash === holesHash(window.holes) &&
      deal.nodes === bundle.nodes.length &&
      deal.endMs === (stream.mode === MODE.dataset ? 0 : slotTimes(window.toSlot, stream.slotSeconds).toMs),
    "deal",
    "the deal is about another window",
  );
  demand(
    deal.anchor.toLowerCase() === bundle.chain.anchor.toLowerCase(),
    "deal",
    "the deal names another anchor",
    deal.anchor,
  );
  demand(
    deal.packs === counted.packs && deal.readings === counted.records,
    "deal",
    `the deal names ${deal.packs} packs and ${deal.readings} readings, the window holds ${counted.packs} and ${counted.records}`,
  );
}

/** Proves one disclosed reading: that it stands at its index under a header signed by the device and anchored. */
export function verifyReading(bundle: ReadingBundle, options: VerifyOptions = {}): ReadingReport {
  const { stream } = bundle;
  const context: Context & { bundle: typeof bundle } = { bundle, stream, options };
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

/** Proves that a device signed a header and that q operators anchored it. Its content is not looked at. */
export function verifyHeader(bundle: HeaderBundle, options: VerifyOptions = {}): HeaderReport {
  try {
    const { stream } = bundle;
    const signed = decodeCose(fromBase64(bundle.cose));
    checkHeader(stream, signed.header);
    checkDeviceSignature(bundle, signed);
    const context: Context = { bundle, stream, options };
    const signers = checkAnchoring(context, signed, bundle.anchoring);
    const { seq, count, fromMs, toMs, contentDigest } = signed.header;
    return {
      kind: "header",
      ...proved(context, signed, bundle.anchoring, signers),
      ...{ seq, count, fromMs, toMs, contentDigest, slot: headerSlot(stream, signed.header) },
      headerDigest: signed.headerDigest,
    };
  } catch (error) {
    throw asProtocolError(error);
  }
}

const asProtocolError = (error: unknown) =>
  error instanceof ProtocolError
    ? error
    : new ProtocolError("malformed", `the bundle is not well formed: ${(error as Error).message}`);

/**
 * Verifies a proof bundle. Throws a {@link ProtocolError} with the reason where anything does not hold; malformed input
 * of any shape ends in one too. What only a chain can confirm is returned as `claims`.
 */
export function verify(bundle: Bundle, options: VerifyOptions = {}): WindowReport | ReadingReport {
  try {
    return bundle.format === "msec.window/1" ? verifyWindow(bundle, options) : verifyReading(bundle, options);
  } catch (error) {
    throw asProtocolError(error);
  }
}

/**
 * {@link verify} of a window in steps, for those who must not block: yields how many packs are done, returns the report.
 */
export function* verifySteps(bundle: WindowBundle, options: VerifyOptions = {}): Generator<number, WindowReport> {
  try {
    return yield* windowSteps(bundle, options);
  } catch (error) {
    throw asProtocolError(error);
  }
}
