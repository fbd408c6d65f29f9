import { randomBytes } from "node:crypto";
import { setImmediate as others, setTimeout as sleep } from "node:timers/promises";
import {
  type Beacon,
  decodeCose,
  encodeCose,
  faults,
  FLAG,
  type Head,
  type Hex,
  keyHash,
  leafNode,
  MODE,
  openPack,
  preparePack,
  ProtocolError,
  quorum,
  type Receipt,
  type SenmlRecord,
  type SignedHeader,
  type StreamPreimage,
  ZERO32,
} from "@msec/core";
import { type SecureElement, SecureElementError, type WrapKey } from "@msec/secure-element";
import type { Logger } from "pino";
import type { StreamConfig } from "./config.ts";
import type { Batch, Driver } from "./drivers/driver.ts";
import { DeviceError, errorFields } from "./errors.ts";
import { KeyFile, type StreamKeys } from "./identity.ts";
import type { Operators } from "./operators.ts";
import type { Line, Outbox, OutboxPack } from "./outbox.ts";
import { type ClosedPack, Packer } from "./packer.ts";
import { unwrapBatch, wrapBatch } from "./pending.ts";
import { BREAK_JUMP, isAhead, planBreak, receiptedSeq, refusedByMany } from "./recovery.ts";

const NEW_LINE: Line = {
  seq: 0,
  headerDigest: ZERO32,
  keyEpoch: 0,
  slot: -1,
  toMs: -1,
  status: "ok",
  ended: false,
  skipToMs: -1,
};
const SPACE_RETRY_MS = 2_000;
const DRIVER_RETRY_MS = 5_000;
const MAX_BREAK_BACKOFF_MS = 600_000;
/** Polls of an unmoved head after which packs that only some operator holds are given up. */
const SETTLE_POLLS = 5;
const TURN_MS = 5;
const FIRST_CHECK_MS = 3_000;
const CHECK_AGAIN_MS = 30_000;

export interface StreamOptions {
  config: StreamConfig;
  streamId: Hex;
  preimage: StreamPreimage;
  driver: Driver;
  element: SecureElement;
  wrap: WrapKey;
  keyFile: KeyFile;
  keys: StreamKeys;
  outbox: Outbox;
  operators: Operators;
  beacon: () => Beacon;
  /** The outbox is known to be older than the files beside it. */
  outboxLost: boolean;
  pollMs: number;
  settleMs: number;
  log: Logger;
  /** Packs were added or dropped, or the line was changed (`reset`). */
  onChange(change: "packs" | "reset"): void;
}

export interface StreamStatus {
  name: string;
  streamId: Hex;
  state: string;
  seq: number;
  receipted: number;
  packs: number;
  bytes: number;
  refused: number;
  resent: number;
  error: { code: string; error: string } | null;
}

/**
 * One stream from its driver to its outbox: packs, signs, commits, and mends the line after a loss or a refusal. One
 * loop does everything that signs, a step at a time, so that no two headers can take the same place.
 */
export class StreamAgent {
  readonly #o: StreamOptions;
  readonly #n: number;
  #line: Line;
  #keys: StreamKeys;
  #packer: Packer | undefined;
  /** Packs that are closed and not signed yet. */
  #queue: ClosedPack[] = [];
  #iterator: AsyncIterator<Batch> | undefined;
  #arrived: IteratorResult<Batch> | undefined;
  #failed: { error: unknown } | undefined;
  #asked = false;
  #driverDone = false;
  #retryAt = 0;
  #wake = Promise.withResolvers<void>();
  #error: { code: string; error: string } | null = null;
  /** Why the driver stopped for good; stays until the agent is started again. */
  #stopError: { code: string; error: string } | null = null;
  #checked = false;
  #checkAgainAt = Infinity;
  #foundAhead = false;
  #nextPoll = 0;
  #breakTries = 0;
  /** Per operator, the highest seq of a receipt for a header of this outbox, and of any receipt. */
  readonly #receipts: Map<Hex, number>;
  readonly #anyReceipts = new Map<Hex, number>();
  #droppedThrough = 0;
  #stillHead: { digest: Hex; polls: number; sinceMs: number } | undefined;
  #keyWrites: Promise<void> = Promise.resolve();

  constructor(options: StreamOptions) {
    this.#o = options;
    this.#n = options.operators.members.length;
    this.#keys = options.keys;
    this.#receipts = options.outbox.receipts(options.streamId);
    const line = options.outbox.line(options.streamId);
    const frontierStart = options.keys.frontier[0]?.firstSlot;
    const reached = line ? Math.max(0, line.ended ? line.slot + 1 : line.slot) : 0;
    const older = line !== undefined && frontierStart !== undefined && frontierStart > reached;
    const gone = line === undefined && frontierStart !== 0;
    this.#line = line ?? NEW_LINE;
    if ((options.outboxLost || older || gone) && this.#line.status !== "lost")
      this.#setStatus("lost", "the outbox is lost or older than the device");
  }

  get status(): StreamStatus {
    const { streamId, config, outbox } = this.#o;
    const { packs, bytes, refused } = outbox.stats(streamId);
    return {
      name: config.name,
      streamId,
      state: this.#state,
      seq: this.#line.seq,
      receipted: this.receiptedThrough,
      packs,
      bytes,
      refused,
      resent: this.#breakTries,
      error: this.#stopError ?? this.#error,
    };
  }

  get #state(): string {
    if (this.#line.status !== "ok") return this.#line.status;
    if (this.#line.ended) return "ended";
    if (this.#driverDone) return this.#stopError ? "stopped" : "finished";
    return this.#error ? "waiting" : "running";
  }

  /** Seq up to which f + 1 organisations hold everything. */
  get receiptedThrough(): number {
    return receiptedSeq(this.#receipts, this.#n);
  }

  /** Why nothing more will ever be packed; `ok` where the source just ended. */
  get finished(): "no" | "ok" | "failed" {
    const { outbox, streamId } = this.#o;
    if (this.#line.ended && this.#line.status === "ok" && !outbox.nextToResign(streamId)) return "ok";
    if (!this.#driverDone || this.#queue.length > 0 || outbox.nextToResign(streamId)) return "no";
    if (this.#stopError) return "failed";
    return this.#line.status === "ok" || this.#line.status === "break" ? "ok" : "no";
  }

  keys = {
    current: (): StreamKeys => this.#keys,
    seeded: (operator: Hex): Promise<void> =>
      this.#updateKeys((keys) => ({ ...keys, seeded: [...new Set([...keys.seeded, operator])] })),
  };

  /** Runs until `signal`; throws only what nobody foresaw. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = () => this.#wake.resolve();
    signal.addEventListener("abort", stop);
    let turnAt = performance.now();
    try {
      while (!signal.aborted) {
        this.#wake = Promise.withResolvers<void>();
        if (await this.#tryStep(signal)) {
          // Steps that find work resolve without a turn of the event loop: let timers, sockets and signals have theirs.
          if (performance.now() - turnAt > TURN_MS) {
            await others();
            turnAt = performance.now();
          }
          continue;
        }
        if (signal.aborted) break;
        const timer = setTimeout(this.#wake.resolve, this.#pause());
        await this.#wake.promise;
        clearTimeout(timer);
      }
    } finally {
      signal.removeEventListener("abort", stop);
      await this.#iterator?.return?.();
      await this.#keyWrites;
    }
  }

  #pause(): number {
    const now = Date.now();
    const due = this.#driverDone && this.#packer?.done ? null : (this.#packer?.dueAt ?? null);
    const moments = [
      due ?? now + 60_000,
      this.#retryAt > now ? this.#retryAt : Infinity,
      this.#nextPoll > now ? this.#nextPoll : Infinity,
    ];
    return Math.max(5, Math.min(60_000, ...moments.map((at) => at - now)));
  }

  /** A step that finds no space has changed nothing: it is tried again a little later. */
  async #tryStep(signal: AbortSignal): Promise<boolean> {
    try {
      return await this.#step(signal);
    } catch (error) {
      if (!isSpace(error)) throw error;
      this.#tell(error, "waiting for space");
      this.#retryAt = Date.now() + SPACE_RETRY_MS;
      return false;
    }
  }

  /** Does the next thing there is to do; false where there is nothing until something happens. */
  async #step(signal: AbortSignal): Promise<boolean> {
    if (!this.#checked) await this.#firstCheck();
    if (Date.now() >= this.#checkAgainAt) void this.#check();
    if (this.#foundAhead) {
      this.#foundAhead = false;
      this.#setStatus("lost", "operators hold headers of this device that its outbox does not know");
    }
    if (this.#line.status === "lost" || this.#line.status === "refused") return this.#recover();
    if (this.#refused()) {
      this.#setStatus("refused", "a header is refused by f + 1 organisations");
      this.#nextPoll = Date.now() + this.#breakBackoff();
      return false;
    }
    if (this.#line.status === "await") return this.#awaitAnchored();
    if (this.#retryAt > Date.now()) return false;
    const again = this.#o.outbox.nextToResign(this.#o.streamId);
    if (again) return this.#signAgain(again);
    const closed = this.#queue[0];
    if (closed) {
      await this.#sign(closed, { position: closed.position });
      this.#queue.shift();
      return true;
    }
    if (this.#line.ended) {
      this.#driverDone = true;
      return false;
    }
    const packer = this.#open();
    if (!packer) return true;
    const due = packer.due(Date.now());
    this.#queue.push(...due);
    if (due.length > 0) return true;
    if (packer.done || this.#driverDone) return false;
    if (this.#failed) return this.#driverFailed();
    if (this.#arrived) return this.#take(packer, this.#arrived);
    this.#pull(signal);
    return false;
  }

  /** Makes the packer, with live rows that waited for their pack when the process ended. */
  #open(): Packer | undefined {
    if (this.#packer) return this.#packer;
    const { outbox, streamId, preimage, config, driver, wrap } = this.#o;
    const { slot, toMs, skipToMs } = this.#line;
    const fresh = skipToMs >= toMs;
    const packer = new Packer(preimage, config.pack, driver.recorded, {
      slot: fresh && driver.recorded ? -1 : slot,
      toMs,
    });
    this.#packer = packer;
    if (driver.recorded) return packer;
    for (const wrapped of outbox.pending(streamId)) {
      const batch = unwrapBatch(wrap, wrapped);
      if (batch.tMs <= skipToMs) continue;
      this.#queue.push(...packer.add(packer.check(batch), Date.now()));
    }
    return packer;
  }

  #pull(signal: AbortSignal): void {
    if (this.#asked) return;
    this.#asked = true;
    const { driver, outbox, streamId, preimage } = this.#o;
    const batches = () => driver.batches(outbox.position(streamId), preimage.schema.quantities, signal);
    this.#iterator ??= batches()[Symbol.asyncIterator]();
    this.#iterator.next().then(
      (result) => {
        this.#arrived = result;
        this.#wake.resolve();
      },
      (error: unknown) => {
        this.#failed = { error };
        this.#wake.resolve();
      },
    );
  }

  #take(packer: Packer, arrived: IteratorResult<Batch>): boolean {
    const { outbox, streamId, driver, preimage, wrap } = this.#o;
    const done = (): true => {
      this.#arrived = undefined;
      this.#asked = false;
      return true;
    };
    if (arrived.done) {
      this.#driverDone = true;
      this.#queue.push(...packer.finish(false));
      if (!driver.recorded && preimage.mode === MODE.sealed) this.#driverDone = false;
      this.#o.log.info("the source has ended");
      this.#arrived = undefined;
      return true;
    }
    if (driver.recorded && arrived.value.tMs <= this.#line.skipToMs) return done();
    try {
      const batch = packer.check(arrived.value);
      const before = packer.before(batch);
      if (before.length > 0) {
        this.#queue.push(...before);
        return true;
      }
      if (!driver.recorded) outbox.addPending(streamId, wrapBatch(wrap, batch), batch.position);
      this.#queue.push(...packer.add(batch, Date.now()));
      if (batch.last) this.#driverDone = packer.done;
      this.#settled();
      return done();
    } catch (error) {
      if (isSpace(error)) throw error;
      if (error instanceof DeviceError && error.code === "clock") {
        this.#tell(error, "readings wait");
        return done();
      }
      this.#stopDriver(error);
      return true;
    }
  }

  #driverFailed(): boolean {
    const error = this.#failed?.error;
    this.#failed = undefined;
    this.#iterator = undefined;
    this.#asked = false;
    if (error instanceof DeviceError || this.#o.driver.recorded) {
      this.#stopDriver(error);
      return true;
    }
    this.#tell(error, "the driver failed and is started again");
    this.#retryAt = Date.now() + DRIVER_RETRY_MS;
    return false;
  }

  /** The source is wrong, not the line: what was packed stays, the rest waits for a person. */
  #stopDriver(error: unknown): void {
    this.#driverDone = true;
    this.#tell(error, "the driver stopped");
    this.#stopError = errorFields(error);
    this.#error = null;
  }

  /** Signs and commits one pack. Where there is no space it throws and nothing has changed. */
  async #sign(
    pack: { slot: number; readings: SenmlRecord[]; end: boolean },
    done: { position?: string | null; replaces?: OutboxPack },
  ): Promise<void> {
    const { outbox, streamId } = this.#o;
    const line = this.#line;
    const isBreak = line.status === "break";
    const { unsigned, signature } = await this.#signed(pack);
    const { header, headerDigest, content } = unsigned;
    const next: Line = {
      ...line,
      seq: header.seq,
      headerDigest,
      keyEpoch: header.keyEpoch,
      slot: Math.max(line.slot, pack.slot),
      toMs: Math.max(line.toMs, header.toMs),
      status: isBreak ? "await" : "ok",
      ended: pack.end,
    };
    const cose = encodeCose(unsigned.protectedHeader, unsigned.headerBytes, signature);
    const { seq, keyEpoch } = header;
    outbox.commitPack(
      streamId,
      { seq, keyEpoch, headerDigest, place: done.replaces?.place ?? seq, slot: pack.slot, cose, content },
      next,
      { position: done.position ?? null, ...(done.replaces ? { replaces: done.replaces.seq } : {}) },
    );
    this.#line = next;
    this.#settled();
    this.#o.log.debug({ seq, slot: pack.slot, readings: pack.readings.length, isBreak }, "pack signed");
    if (isBreak) this.#o.log.warn({ seq, previous: header.previous }, "break signed, waiting for its anchoring");
    this.#o.onChange("packs");
  }

  /** The next pack of the line, of whatever key is in use when it is signed. */
  async #signed(pack: { slot: number; readings: SenmlRecord[]; end: boolean }) {
    const { preimage, element, driver } = this.#o;
    const line = this.#line;
    const isBreak = line.status === "break";
    for (;;) {
      // Read first and demanded last: what is of a key in between is of this one.
      const { keyEpoch } = element;
      const unsigned = preparePack({
        stream: preimage,
        leaf: leafNode(this.#keys.frontier, pack.slot),
        keyEpoch,
        bootEpoch: await element.bootEpoch(),
        attestation: await element.attestation(),
        seq: line.seq + (isBreak ? BREAK_JUMP : 1),
        flags: (isBreak ? FLAG.break : 0) | (driver.recorded ? FLAG.recorded : 0) | (pack.end ? FLAG.end : 0),
        previous: line.headerDigest,
        readings: pack.readings,
        slot: pack.slot,
        beacon: this.#o.beacon(),
        packSalt: new Uint8Array(randomBytes(32)),
        nonce: new Uint8Array(randomBytes(12)),
        keyHash: keyHash(await element.spki()),
      });
      try {
        return { unsigned, signature: await element.sign(unsigned.toBeSigned, keyEpoch) };
      } catch (error) {
        if (!(error instanceof SecureElementError) || error.code !== "key-rotated") throw error;
      }
    }
  }

  /** A pack that fell out of the line takes a new place in it, with the same readings. */
  async #signAgain(pack: OutboxPack): Promise<boolean> {
    const { preimage } = this.#o;
    const { header } = decodeCose(pack.cose);
    const { readings } = openPack(preimage, header, leafNode(this.#keys.frontier, pack.slot), pack.content);
    const end = (header.flags & FLAG.end) !== 0;
    await this.#sign({ slot: pack.slot, readings, end }, { replaces: pack });
    return true;
  }

  /** What a member of the committee receipted. Anything that this outbox did not sign is no receipt. */
  receipted(operator: Hex, receipt: Receipt): void {
    const { outbox, streamId } = this.#o;
    const { seq, headerDigest } = receipt;
    raise(this.#anyReceipts, operator, seq);
    if (outbox.lineDigest(streamId, seq) !== headerDigest) {
      if (seq > this.#line.seq) this.#checkAgainAt = 0;
      this.#wake.resolve();
      return;
    }
    raise(this.#receipts, operator, seq);
    this.dropReceipted();
    this.#unlessFull(() => outbox.noteReceipt(streamId, operator, seq));
  }

  /** What is in memory too may wait for space: the caller comes again. */
  #unlessFull(write: () => void): boolean {
    try {
      write();
      return true;
    } catch (error) {
      if (!isSpace(error)) throw error;
      this.#tell(error, "waiting for space");
      return false;
    }
  }

  /** Drops what f + 1 organisations hold. A break stays until it is anchored, since it may have to be repeated. */
  dropReceipted(): void {
    const through = this.receiptedThrough;
    if (this.#line.status !== "ok" || through <= this.#droppedThrough) return;
    if (!this.#unlessFull(() => this.#o.outbox.deleteThrough(this.#o.streamId, through))) return;
    this.#droppedThrough = through;
    this.#retryAt = 0;
    this.#o.onChange("packs");
    this.#wake.resolve();
  }

  refused(operator: Hex, headerDigest: Hex, reason: number, message: string): void {
    this.#o.log.warn({ operator, headerDigest, reason, message }, "pack refused");
    this.#unlessFull(() => this.#o.outbox.noteRefusal(this.#o.streamId, headerDigest, operator, reason));
    this.#wake.resolve();
  }

  #refused() {
    return refusedByMany(this.#o.outbox.refusals(this.#o.streamId), this.#n);
  }

  /** Before the first signature: waits a little for the operators, who may know more than an outbox from a backup. */
  async #firstCheck(): Promise<void> {
    this.#checked = true;
    if (this.#line.status === "ok")
      await Promise.race([this.#check(), sleep(FIRST_CHECK_MS, undefined, { ref: false })]);
  }

  /**
   * Asks whether operators hold headers that this outbox does not know. Without answers the outbox is believed, and
   * they are asked again later.
   */
  async #check(): Promise<void> {
    const { operators, element, outbox, streamId } = this.#o;
    this.#checkAgainAt = Infinity;
    const answers = await operators.highest(streamId, await element.keys());
    if (answers.length < quorum(this.#n)) this.#checkAgainAt = Date.now() + CHECK_AGAIN_MS;
    const ahead = (signed: SignedHeader | null) =>
      signed !== null && isAhead(signed, this.#line, (seq) => outbox.lineDigest(streamId, seq));
    if (this.#line.status !== "ok" || !answers.some(ahead)) return;
    this.#foundAhead = true;
    this.#wake.resolve();
  }

  async #recover(): Promise<boolean> {
    if (this.#nextPoll > Date.now()) return false;
    const { operators, element, outbox, streamId, preimage, pollMs, settleMs, log } = this.#o;
    const lost = this.#line.status === "lost";
    if (lost && preimage.mode === MODE.dataset) {
      this.#stopDriver(
        new DeviceError(
          "outbox-lost",
          "the outbox that knew how far the data set was is lost, and its rows can't be told by their times: start a new stream",
        ),
      );
      this.#nextPoll = Number.MAX_SAFE_INTEGER;
      return false;
    }
    const [highest, head] = await Promise.all([
      operators.highest(streamId, await element.keys()),
      operators.head(streamId),
    ]);
    const receipts = lost ? this.#anyReceipts : this.#receipts;
    const still = this.#headStands(head);
    const plan = planBreak(
      outbox,
      this.#o,
      { highest, head },
      {
        members: this.#n,
        lost,
        receipted: Math.min(receiptedSeq(receipts, this.#n), lost ? Number.MAX_SAFE_INTEGER : this.#line.seq),
        patient: still.forMs < settleMs,
        settling: still.polls < SETTLE_POLLS,
        keyEpoch: element.keyEpoch,
      },
    );
    if ("wait" in plan) {
      this.#tell(new DeviceError("operator", `the line waits for a break: ${plan.wait}`), "recovery waits");
      this.#nextPoll = Date.now() + pollMs;
      return false;
    }
    outbox.beginBreak(streamId, plan.line, plan.anchoredSeq, plan.refusedSeqs);
    this.#line = plan.line;
    this.#nextPoll = 0;
    this.#breakTries++;
    this.#settled();
    if (lost) this.#restartDriver();
    log.warn(
      { after: plan.line.seq, head: plan.anchoredSeq, setAside: plan.refusedSeqs, skipToMs: plan.line.skipToMs },
      "the line goes on with a break",
    );
    this.#o.onChange("reset");
    return true;
  }

  /** For how long the head has not moved. */
  #headStands(head: Head | null | undefined): { polls: number; forMs: number } {
    const digest = head === undefined ? undefined : (head?.headerDigest ?? ZERO32);
    if (digest === undefined) return { polls: 0, forMs: 0 };
    if (this.#stillHead?.digest !== digest) this.#stillHead = { digest, polls: 0, sinceMs: performance.now() };
    this.#stillHead.polls++;
    return { polls: this.#stillHead.polls, forMs: performance.now() - this.#stillHead.sinceMs };
  }

  /** After a loss the rows in hand may be in the line already: start from what the outbox knows. */
  #restartDriver(): void {
    this.#packer = undefined;
    this.#queue = [];
  }

  /** Waits until the break is the head; a break that was overtaken is repeated. */
  async #awaitAnchored(): Promise<boolean> {
    if (this.#nextPoll > Date.now()) return false;
    const { operators, outbox, streamId, pollMs, log } = this.#o;
    this.#nextPoll = Date.now() + pollMs;
    const head = await operators.head(streamId);
    if (head === undefined) return false;
    if (head?.headerDigest === this.#line.headerDigest) {
      this.#setStatus("ok", "the break is anchored");
      this.#breakTries = 0;
      this.#nextPoll = 0;
      this.dropReceipted();
      return true;
    }
    const signed = outbox.packsAfter(streamId, this.#line.seq - 1, 1)[0];
    const previous = signed && decodeCose(signed.cose).header.previous;
    if (previous !== undefined && previous !== (head?.headerDigest ?? ZERO32)) {
      log.warn({ seq: this.#line.seq, head: head?.seq ?? 0 }, "the break was overtaken");
      this.#setStatus("refused", "another header was anchored first");
      this.#nextPoll = Date.now() + this.#breakBackoff();
    }
    return false;
  }

  #breakBackoff(): number {
    return this.#breakTries === 0 ? 0 : Math.min(this.#o.pollMs * 2 ** this.#breakTries, MAX_BREAK_BACKOFF_MS);
  }

  /**
   * Forgets the keys of slots that are behind the outbox, once every holder has the seed. What was receipted can then
   * not be opened with anything on this device.
   */
  async forgetKeys(holders: readonly Hex[]): Promise<void> {
    const { outbox, streamId } = this.#o;
    if (!holders.every((holder) => this.#keys.seeded.includes(holder)) || this.#line.status !== "ok") return;
    const { firstSlot } = outbox.stats(streamId);
    const through = this.#line.ended && firstSlot === null ? this.#line.slot + 1 : this.#line.slot;
    const ahead = Math.min(firstSlot ?? through, this.#queue[0]?.slot ?? through, through);
    const start = this.#keys.frontier[0]?.firstSlot;
    if (start === undefined || ahead <= start) return;
    await this.#updateKeys((keys) => ({ ...keys, frontier: KeyFile.ahead(keys.frontier, ahead) }));
  }

  #updateKeys(change: (keys: StreamKeys) => StreamKeys): Promise<void> {
    const write = this.#keyWrites.then(async () => {
      const keys = change(this.#keys);
      await this.#o.keyFile.write(keys);
      this.#keys = keys;
    });
    this.#keyWrites = write.catch(() => undefined);
    return write;
  }

  #setStatus(status: Line["status"], why: string): void {
    const line = { ...this.#line, status };
    this.#o.outbox.setLine(this.#o.streamId, line);
    this.#line = line;
    this.#o.log.warn({ status, why }, "line");
  }

  /** Says once what is wrong, until something else is. */
  #tell(error: unknown, what: string): void {
    const known = error instanceof DeviceError || error instanceof ProtocolError;
    const fields = errorFields(error);
    if (this.#error?.error !== fields.error) this.#o.log.error({ ...fields, ...(known ? {} : { err: error }) }, what);
    this.#error = fields;
  }

  #settled(): void {
    if (this.#error) this.#o.log.info({ was: this.#error.code }, "going on");
    this.#error = null;
  }
}

const isSpace = (error: unknown): boolean =>
  error instanceof DeviceError && (error.code === "disk-full" || error.code === "outbox-full");

/** How many organisations have to say the same before a device acts on it. */
export const enough = (members: number): number => faults(members) + 1;

function raise(map: Map<Hex, number>, key: Hex, value: number): void {
  if (value > (map.get(key) ?? 0)) map.set(key, value);
}
