import {
  checkFollows,
  checkHeader,
  checkSignature,
  decodeCose,
  decodeMessage,
  FLAG,
  FUTURE_MS,
  headerSlot,
  type Hex,
  leafNode,
  MODE,
  OPENED,
  openPack,
  ProtocolError,
  RECEIPT,
  recoverTyped,
  REFUSED,
  REFUSAL_NUMBERS,
  sha256,
  type SignedHeader,
  signTyped,
  type StreamPreimage,
  toHex,
  type TreeNode,
  ZERO32,
} from "@msec/core";
import { receiptsTopic, refusedTopic } from "@msec/broker";
import { step } from "@msec/service";
import { ACTIVE } from "./registry.ts";
import { type Context, domainOf, opens } from "./context.ts";
import { type Line, type Pending, seqId } from "./lines.ts";
import { type Peer } from "./peers.ts";
import { type PackRow } from "./store.ts";
import { type Claim, demandNone, type Verdict } from "./verifier.ts";

/** What an operator says to devices. */
export interface Voice {
  publish(topic: string, payload: string, retain: boolean): void;
}

interface Accepted {
  line: Line;
  pending: Pending;
  row: PackRow;
  opened: { headerDigest: Hex; signer: Hex; signature: Hex } | undefined;
}

/** Packs as operators send them to one another, with the `Opened` that they know of: [headerDigest, signer, signature]. */
export interface MessagePage {
  messages: string[];
  opened: [Hex, Hex, Hex][];
}

export const fromText = (message: string) => new Uint8Array(Buffer.from(message, "base64"));

/** Epochs that a device may have seen and this operator not. */
const BEACON_AHEAD = 10;
interface Parts {
  signed: SignedHeader;
  content: Uint8Array;
}

function takeApart(message: Uint8Array): Parts {
  const { cose, content } = decodeMessage(message);
  return { signed: decodeCose(cose), content };
}

/** A message with what could be found out of it by itself, before its turn to enter its line. */
interface Examined {
  message: Uint8Array;
  /** Taken apart already; absent where it has no right form. */
  parts?: Parts;
  verdict?: Verdict;
  /** What the verdict was found with: it stands as long as these do. */
  spki?: Uint8Array;
  frontier?: readonly TreeNode[];
}

const BATCH = 128;
const QUEUE = 4096;
/** Share of the time that signing receipts may take, as the pause after each in times of its own length. */
const RECEIPT_PAUSE = 4;

/**
 * Takes packs in, in the order of their lines: checks, commits, and only then acknowledges with a signed receipt. What it
 * refuses is counted by reason and, where the device's signature stands, answered with a signed `Refused`.
 */
export class Ingest {
  readonly #ctx: Context;
  readonly #voice: Voice;
  readonly #queue: Uint8Array[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #catchingUp = new Set<Hex>();
  /** Newest epoch that this operator knows of, on the chain or from before the chain lost it. */
  newestEpoch = 0;
  /** The receipts that are due: what was committed last of each line. */
  readonly #owed = new Map<Hex, SignedHeader>();
  readonly #leaves = new WeakMap<readonly TreeNode[], { slot: number; leaf: Uint8Array }>();
  #paying = false;
  #running = false;
  #tail: Promise<void> = Promise.resolve();

  constructor(ctx: Context, voice: Voice) {
    this.#ctx = ctx;
    this.#voice = voice;
  }

  /** Queues a message from the broker. Resolves at once while there is room, else when there is: that holds the broker back. */
  push(message: Uint8Array): Promise<void> {
    this.#queue.push(message);
    void this.#run();
    if (this.#queue.length < QUEUE) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      // While one batch is committed the next is examined.
      let entering = Promise.resolve();
      while (this.#queue.length > 0) {
        const batch = this.#queue.splice(0, BATCH);
        if (this.#queue.length < QUEUE / 2) for (const resume of this.#waiting.splice(0)) resume();
        const examined = await this.#examine(batch);
        await entering;
        entering = this.#enter(examined);
        if (this.#queue.length === 0) await entering;
      }
    } finally {
      this.#running = false;
    }
  }

  /** Checks and commits messages; one call at a time, whether they come from the broker or from another operator. */
  async take(messages: readonly Uint8Array[], opened: ReadonlyMap<Hex, [Hex, Hex][]> = new Map()): Promise<void> {
    await this.#enter(await this.#examine(messages), opened);
  }

  /** Has signatures and contents checked, for whatever stream is known here. Throws nothing: each pack is judged in its turn. */
  async #examine(messages: readonly Uint8Array[]): Promise<Examined[]> {
    const { lines, verifier } = this.#ctx;
    const out: Examined[] = messages.map((message) => ({ message }));
    const claims: { examined: Examined; streamId: Hex; stream: StreamPreimage; claim: Claim }[] = [];
    for (const examined of out) {
      try {
        const { message } = examined;
        examined.parts = takeApart(message);
        const { header, headerDigest } = examined.parts.signed;
        const line = lines.byId.get(header.streamId);
        const spki = line?.keys.get(header.keyEpoch);
        if (!line || !spki || lines.pendingByDigest.has(headerDigest) || line.head?.headerDigest === headerDigest)
          continue;
        const frontier = opens(this.#ctx, line) ? await this.#ctx.frontiers.get(line.id) : undefined;
        const leaf = frontier && this.#leaf(frontier, headerSlot(line.stream, header));
        Object.assign(examined, { spki, frontier });
        claims.push({ examined, streamId: line.id, stream: line.stream, claim: { message, spki, leaf } });
      } catch (error) {
        if (!(error instanceof ProtocolError))
          this.#ctx.log.error({ error: (error as Error).message }, "a pack could not be examined ahead");
      }
    }
    const verdicts = await verifier.judge(claims);
    for (const [i, { examined }] of claims.entries()) {
      const verdict = verdicts[i];
      if (verdict) examined.verdict = verdict;
    }
    return out;
  }

  /** Leaf node of a slot: a line's packs share one for a while. It is forgotten with the frontier that it came from. */
  #leaf(frontier: readonly TreeNode[], slot: number): Uint8Array {
    const kept = this.#leaves.get(frontier);
    if (kept?.slot === slot) return kept.leaf;
    const leaf = leafNode(frontier, slot);
    this.#leaves.set(frontier, { slot, leaf });
    return leaf;
  }

  async #enter(examined: readonly Examined[], opened: ReadonlyMap<Hex, [Hex, Hex][]> = new Map()): Promise<void> {
    try {
      await this.exclusive(() => this.#take(examined, opened));
    } catch (error) {
      this.#ctx.log.error(
        { error: (error as Error).message },
        "packs could not be committed: they are asked for again",
      );
    }
  }

  /** Runs `work` while nothing else changes the lines. Must not be called from within itself. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work);
    this.#tail = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  /**
   * Takes packs that the chain shows as anchored, ascending by seq: q operators opened them, so they stand, and whatever
   * waited here in their place does not.
   */
  adopt(messages: readonly Uint8Array[]): Promise<void> {
    return this.exclusive(async () => {
      const { lines, store } = this.#ctx;
      const packs = messages.map(takeApart);
      packs.sort((a, b) => a.signed.header.seq - b.signed.header.seq);
      for (const { signed, content } of packs) {
        const line = lines.byId.get(signed.header.streamId);
        if (!line || lines.pendingByDigest.has(signed.headerDigest)) continue;
        const spki = line.keys.get(signed.header.keyEpoch);
        if (spki === undefined)
          throw new ProtocolError("unknown-key", "no signing key of this key epoch is known", signed.header.keyEpoch);
        checkSignature(signed, spki);
        checkHeader(line.stream, signed.header);
        const at = line.pending.findIndex((p) => p.signed.headerDigest === signed.header.previous);
        await store.dropPacks(lines.cut(line, at + 1));
        checkFollows(line.stream, lines.tip(line), signed.header);
        const slot = headerSlot(line.stream, signed.header);
        const erased = (await store.erasures(line.id)).some((e) => slot >= e.fromSlot && slot <= e.toSlot);
        const whole = content.length > 0 && toHex(sha256(content)) === signed.header.contentDigest;
        const kept = whole && !erased ? content : null;
        const pending = lines.create(line, signed, Date.now());
        await store.putPacks([rowOf(pending, kept)], []);
        pending.held = true;
        lines.append(line, pending);
      }
    });
  }

  async #take(messages: readonly Examined[], opened: ReadonlyMap<Hex, [Hex, Hex][]>): Promise<void> {
    const { lines, metrics, store } = this.#ctx;
    const accepted: Accepted[] = [];
    const touched = new Set<Line>();
    const again = new Set<Line>();
    let failure: Error | undefined;
    step("ingest");
    for (const examined of messages) {
      metrics.packsReceived.inc();
      let result: Accepted | undefined;
      try {
        result = await this.#check(examined, again);
      } catch (error) {
        // Not the pack's fault, such as a chain that is away: what was checked before is still committed.
        failure = error as Error;
        break;
      }
      if (result === undefined) continue;
      for (const [, signature] of opened.get(result.pending.signed.headerDigest) ?? [])
        this.#accept(result.line, result.pending, signature);
      lines.append(result.line, result.pending);
      touched.add(result.line);
      accepted.push(result);
    }
    // What a later message of the batch has taken off its line again is not kept.
    const kept = accepted.filter(({ pending }) => lines.pendingByDigest.get(pending.signed.headerDigest) === pending);
    if (kept.length > 0) {
      try {
        await store.putPacks(
          kept.map((a) => a.row),
          kept.flatMap(({ pending }) =>
            [...pending.opened].map(([signer, signature]) => ({
              headerDigest: pending.signed.headerDigest,
              signer,
              signature,
            })),
          ),
        );
      } catch (error) {
        for (const line of touched) await lines.open(line.stream, line.holders);
        throw error;
      }
      for (const { pending } of kept) pending.held = true;
      step("commit");
      metrics.packsHeld.inc(kept.length);
      metrics.readingsHeld.inc(kept.reduce((sum, a) => sum + a.row.readings, 0));
      const said = kept.flatMap((a) => (a.opened ? [a.opened] : []));
      if (said.length > 0) this.#ctx.peers.tell("/peer/opened", { opened: said });
    }
    for (const line of new Set([...touched, ...again])) this.receipt(line);
    if (failure) throw failure;
  }

  /**
   * Tells the device soon, cumulatively, up to where its line is held; to be called when nothing of the line waits to be
   * committed. A signature costs as much as checking a pack: lines take turns, and one that got more packs meanwhile needs
   * one receipt.
   */
  receipt(line: Line): void {
    const tip = this.#ctx.lines.tip(line);
    if (tip === undefined) return;
    this.#owed.set(line.id, tip);
    if (this.#paying) return;
    this.#paying = true;
    setImmediate(() => this.#pay());
  }

  #pay(): void {
    const started = performance.now();
    for (const [id, tip] of this.#owed) {
      this.#owed.delete(id);
      this.#sayReceipt(id, tip);
      break;
    }
    this.#paying = this.#owed.size > 0;
    if (this.#paying) setTimeout(() => this.#pay(), RECEIPT_PAUSE * (performance.now() - started));
  }

  #sayReceipt(id: Hex, tip: SignedHeader): void {
    const { keyEpoch, seq } = tip.header;
    const receipt = { streamId: id, keyEpoch, seq, headerDigest: tip.headerDigest, atMs: Date.now() };
    const signature = signTyped(this.#ctx.key, domainOf(this.#ctx), RECEIPT, receipt);
    const line = this.#ctx.lines.byId.get(id);
    if (!line) return;
    const topic = receiptsTopic(line.stream.deviceId, id, this.#ctx.address);
    this.#voice.publish(topic, JSON.stringify({ receipt, signature }), true);
  }

  /** Gives every line's receipt again, to whoever missed one. */
  receipts(): Promise<void> {
    return this.exclusive(() => {
      for (const line of this.#ctx.lines.byId.values()) this.receipt(line);
      return Promise.resolve();
    });
  }

  /** One message: what is to be committed, or undefined where it is refused, known, or must wait. */
  async #check(examined: Examined, again: Set<Line>): Promise<Accepted | undefined> {
    const { metrics, log, lines, store } = this.#ctx;
    let signed: SignedHeader | undefined;
    let line: Line | undefined;
    let authentic = false;
    try {
      const { signed: header, content } = examined.parts ?? takeApart(examined.message);
      signed = header;
      line = lines.byId.get(signed.header.streamId);
      if (line === undefined)
        throw new ProtocolError("wrong-stream", "no such stream is registered here", signed.header.streamId);
      if (lines.pendingByDigest.has(signed.headerDigest) || line.head?.headerDigest === signed.headerDigest) {
        again.add(line);
        return undefined;
      }
      await this.#checkKey(line, signed, examined);
      authentic = true;
      const tip = lines.tip(line);
      if (tip && signed.header.seq <= tip.header.seq) {
        const known = await store.packAt(line.id, signed.header.keyEpoch, signed.header.seq);
        if (known?.headerDigest === signed.headerDigest) {
          again.add(line);
          return undefined;
        }
        const rival =
          known?.cose ??
          line.pending.find(
            (p) => p.signed.header.seq === signed?.header.seq && p.signed.header.keyEpoch === signed.header.keyEpoch,
          )?.signed.cose;
        if (rival) {
          await this.equivocation(rival, signed.cose);
          throw new ProtocolError("equivocation", "two packs under one sequence number", signed.header.seq);
        }
      }
      if (line.equivocal.has(seqId(signed.header.keyEpoch, signed.header.seq)))
        throw new ProtocolError("equivocation", "two packs under one sequence number", signed.header.seq);
      checkHeader(line.stream, signed.header, content.length);
      if (signed.header.toMs > Date.now() + FUTURE_MS)
        throw new ProtocolError("time", "the pack is of a future time", signed.header.toMs);
      const { beacon } = signed.header;
      const named = beacon.number > 0 ? await store.epoch(beacon.number) : undefined;
      if (named && named.hash !== beacon.digest)
        throw new ProtocolError("epoch", "the pack names a beacon that is no epoch", beacon.number);
      if (beacon.number > this.newestEpoch + BEACON_AHEAD)
        throw new ProtocolError("epoch", "the pack names an epoch that is not there yet", beacon.number);
      if (!(await this.#fits(line, signed))) return undefined;
      if (line.pending.length >= this.#ctx.config.maxPending) {
        log.warn(
          { stream: line.id, pending: line.pending.length },
          "too many packs of one stream wait: no more are taken",
        );
        return undefined;
      }
      return await this.#open(line, signed, content, examined);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      metrics.packsRefused.inc({ reason: error.code });
      log.info({ stream: line?.id, seq: signed?.header.seq, reason: error.code, error: error.message }, "pack refused");
      if (signed && line && authentic) await this.#refuse(line, signed, error);
      return undefined;
    }
  }

  async #checkKey(line: Line, signed: SignedHeader, { verdict, spki: used }: Examined): Promise<void> {
    const { devices } = this.#ctx;
    const { keyEpoch } = signed.header;
    const device = await devices.device(line.stream.deviceId);
    if (device.status === 0) throw new ProtocolError("unknown-key", "the device is not enrolled", line.stream.deviceId);
    const spki = line.keys.get(keyEpoch);
    if (spki === undefined)
      throw new ProtocolError("unknown-key", "no signing key of this key epoch is registered", keyEpoch);
    if (verdict && used === spki) demandNone(verdict.signature);
    else checkSignature(signed, spki);
    if (device.status !== ACTIVE)
      throw new ProtocolError("inactive-device", "the device is suspended, quarantined or retired", device.status);
    if (device.ownerEpoch !== line.stream.ownerEpoch)
      throw new ProtocolError(
        "inactive-device",
        "the device has a new owner: this stream has ended",
        device.ownerEpoch,
      );
    if (await devices.isRevoked(line.stream.deviceId, keyEpoch))
      throw new ProtocolError("revoked", "the signing key is revoked", keyEpoch);
    if (!(await devices.isAttested(line.stream.deviceId, signed.header)))
      throw new ProtocolError(
        "unattested",
        "registrars have not attested this start of the device, or no longer: its packs wait",
        signed.header.bootEpoch,
      );
    const { header } = this.#ctx.lines.tip(line) ?? {};
    if (header && keyEpoch < header.keyEpoch) throw new ProtocolError("order", "keyEpoch never falls", keyEpoch);
  }

  /** Whether a header continues the line; false where headers between are missing and were asked for. */
  async #fits(line: Line, signed: SignedHeader): Promise<boolean> {
    const { lines, store } = this.#ctx;
    const { previous, flags, seq } = signed.header;
    const tip = lines.tip(line);
    if (previous === (tip?.headerDigest ?? ZERO32)) {
      checkFollows(line.stream, tip, signed.header);
      return true;
    }
    const fromHead = previous === (line.head?.headerDigest ?? ZERO32);
    if (fromHead && (flags & FLAG.break) !== 0 && seq > (tip?.header.seq ?? 0)) {
      checkFollows(line.stream, line.head, signed.header);
      await store.dropPacks(lines.cut(line, 0));
      return true;
    }
    const [known] = await store.packs([previous]);
    if (known || fromHead)
      throw new ProtocolError("branch", "the header starts a second branch of the stream's line", previous);
    void this.catchUp(line);
    return false;
  }

  /** Asks the other operators for what follows this operator's end of a line. */
  async catchUp(line: Line): Promise<void> {
    if (this.#catchingUp.has(line.id)) return;
    this.#catchingUp.add(line.id);
    try {
      for (const peer of this.#ctx.peers.all) {
        try {
          while (await this.#catchUpFrom(peer, line));
        } catch (error) {
          this.#ctx.log.warn(
            { peer: peer.address, error: (error as Error).message },
            "another operator's packs cannot be read",
          );
        }
      }
    } finally {
      this.#catchingUp.delete(line.id);
    }
  }

  /** One page of what follows; whether there may be more. */
  async #catchUpFrom(peer: Peer, line: Line): Promise<boolean> {
    const { lines, peers } = this.#ctx;
    const tip = () => lines.tip(lines.byId.get(line.id) ?? line)?.header.seq ?? 0;
    const afterSeq = tip();
    const page = await peers.post<MessagePage>(peer, "/peer/line", { streamId: line.id, afterSeq });
    if (!page || page.messages.length === 0) return false;
    await this.take(page.messages.map(fromText), groupOpened(page.opened));
    return tip() > afterSeq;
  }

  async #open(
    line: Line,
    signed: SignedHeader,
    content: Uint8Array,
    { verdict, frontier: used }: Examined,
  ): Promise<Accepted | undefined> {
    const { lines, frontiers, log, key, address } = this.#ctx;
    const { header, headerDigest } = signed;
    const pending = lines.create(line, signed, Date.now());
    let opened: Accepted["opened"];
    if (opens(this.#ctx, line)) {
      const frontier = await frontiers.get(line.id);
      if (frontier === undefined) {
        log.warn({ stream: line.id }, "the stream's seed has not arrived: its packs wait on the device");
        return undefined;
      }
      if (verdict && used === frontier) demandNone(verdict.opening);
      else openPack(line.stream, header, this.#leaf(frontier, headerSlot(line.stream, header)), content);
      if (line.stream.mode === MODE.sealed) {
        const signature = signTyped(key, domainOf(this.#ctx), OPENED, { headerDigest });
        pending.opened.set(address, signature);
        opened = { headerDigest, signer: address, signature };
      }
    } else if (toHex(sha256(content)) !== header.contentDigest)
      throw new ProtocolError("content-digest", "the content is not what the header names");
    const row = rowOf(pending, content);
    return { line, pending, row, opened };
  }

  /** An epoch was confirmed: packs that named another digest under its number, before it was known, are refused. */
  async checkBeacons(number: number, hash: Hex): Promise<void> {
    for (const line of this.#ctx.lines.byId.values()) {
      const at = line.pending.findIndex((p) => {
        const { beacon } = p.signed.header;
        return beacon.number === number && beacon.digest !== hash;
      });
      if (at < 0) continue;
      const { signed } = line.pending[at] as Pending;
      const error = new ProtocolError("epoch", "the pack names a beacon that is no epoch", number);
      await this.#ctx.store.dropPacks(this.#ctx.lines.cut(line, at));
      this.#ctx.metrics.packsRefused.inc({ reason: error.code });
      await this.#refuse(line, signed, error);
    }
  }

  async #refuse(line: Line, signed: SignedHeader, error: ProtocolError): Promise<void> {
    const refused = { headerDigest: signed.headerDigest, reason: REFUSAL_NUMBERS[error.code] };
    const signature = signTyped(this.#ctx.key, domainOf(this.#ctx), REFUSED, refused);
    await this.#ctx.store.putRefused({ ...refused, signer: this.#ctx.address, signature });
    const { keyEpoch, seq } = signed.header;
    this.#voice.publish(
      refusedTopic(line.stream.deviceId, line.id, this.#ctx.address),
      JSON.stringify({ refused, signature, keyEpoch, seq, message: error.message }),
      false,
    );
  }

  /** Notes two signatures under one seq; while neither is anchored, neither enters. Told to every operator once. */
  async equivocation(coseA: Uint8Array, coseB: Uint8Array): Promise<boolean> {
    const [a, b] = [decodeCose(coseA), decodeCose(coseB)];
    const line = this.#ctx.lines.byId.get(a.header.streamId);
    const same =
      a.header.streamId === b.header.streamId &&
      a.header.keyEpoch === b.header.keyEpoch &&
      a.header.seq === b.header.seq;
    if (!line || !same || a.headerDigest === b.headerDigest) return false;
    const spki = line.keys.get(a.header.keyEpoch);
    if (spki === undefined) return false;
    checkSignature(a, spki);
    checkSignature(b, spki);
    const id = seqId(a.header.keyEpoch, a.header.seq);
    const at = line.pending.findIndex((p) => seqId(p.signed.header.keyEpoch, p.signed.header.seq) === id);
    if (at >= 0) await this.#ctx.store.dropPacks(this.#ctx.lines.cut(line, at));
    line.equivocal.add(id);
    if (!(await this.#ctx.store.putEquivocation(line.id, a.header.keyEpoch, a.header.seq, coseA, coseB))) return true;
    this.#ctx.metrics.equivocations.inc();
    this.#ctx.log.warn(
      { stream: line.id, device: line.stream.deviceId, seq: a.header.seq },
      "the device signed two packs under one seq",
    );
    this.#ctx.peers.tell("/peer/equivocation", {
      a: Buffer.from(coseA).toString("base64"),
      b: Buffer.from(coseB).toString("base64"),
    });
    return true;
  }

  /** Takes another operator's word that it opened a sealed pack; counted only from a holder of the stream's seed. */
  async opened(rows: readonly { headerDigest: Hex; signature: Hex }[]): Promise<void> {
    for (const { headerDigest, signature } of rows) {
      const pending = this.#ctx.lines.pendingByDigest.get(headerDigest);
      if (pending === undefined) continue;
      const line = this.#ctx.lines.byId.get(pending.pack.streamId) as Line;
      const signer = this.#accept(line, pending, signature);
      if (signer) await this.#ctx.store.putOpened({ headerDigest, signer, signature });
    }
  }

  /** Counts an `Opened` and says whose it is; undefined where it is nobody's, or known. */
  #accept(line: Line, pending: Pending, signature: Hex): Hex | undefined {
    const { headerDigest } = pending.signed;
    let signer: Hex;
    try {
      signer = recoverTyped(domainOf(this.#ctx), OPENED, { headerDigest }, signature);
    } catch {
      return undefined;
    }
    if (!line.holders.holders.includes(signer) || pending.opened.has(signer)) return undefined;
    pending.opened.set(signer, signature);
    return signer;
  }
}

function rowOf({ signed, pack, receivedAt }: Pending, content: Uint8Array | null): PackRow {
  return {
    headerDigest: signed.headerDigest,
    streamId: pack.streamId,
    keyEpoch: pack.keyEpoch,
    seq: pack.seq,
    slot: pack.slot,
    readings: pack.count,
    cose: signed.cose,
    content,
    contentDigest: pack.contentDigest,
    receivedAt,
    epoch: null,
  };
}

export function groupOpened(rows: readonly [Hex, Hex, Hex][]): Map<Hex, [Hex, Hex][]> {
  const out = new Map<Hex, [Hex, Hex][]>();
  for (const [digest, signer, signature] of rows) out.set(digest, [...(out.get(digest) ?? []), [signer, signature]]);
  return out;
}
