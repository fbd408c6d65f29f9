import { encodeRecord, MAX_CONTENT, MODE, type SenmlRecord, slotOf, slotTimes, type StreamPreimage } from "@msec/core";
import type { Batch } from "./drivers/driver.ts";
import { DeviceError } from "./errors.ts";

/** Readings that make one pack, ready to be signed. */
export interface ClosedPack {
  slot: number;
  readings: SenmlRecord[];
  /** The driver's position after them; null leaves it. */
  position: string | null;
  end: boolean;
}

export interface PackLimits {
  maxReadings: number;
  maxSeconds: number;
}

/** A clock that was set back by less than this holds the time; by more, the driver waits. Milliseconds. */
const CLOCK_SLACK = 5_000;
/** A recording with a longer gap than this many slots was switched off in between. */
const MAX_EMPTY_SLOTS = 10_000;
const CIPHER_BYTES = 28;

/** Bytes of CBOR's head for a length. */
const head = (n: number) => (n < 24 ? 1 : n < 256 ? 2 : n < 65_536 ? 3 : 5);

/**
 * Groups batches into packs: one slot each, at most maxReadings and maxSeconds. A sealed stream gets exactly one pack a
 * slot, empty ones too. `recorded` sources are grouped by their own times, live ones also by the clock. No I/O.
 */
export class Packer {
  readonly #stream: StreamPreimage;
  readonly #limits: PackLimits;
  readonly #recorded: boolean;
  readonly #sealed: boolean;
  #slot: number | null = null;
  #readings: SenmlRecord[] = [];
  #bytes = 0;
  #position: string | null = null;
  #openedAt = 0;
  #lastMs: number;
  /** The last slot that has a pack; -1 where slots before the first batch are none of ours. */
  #lastSlot: number;
  #finishing = false;
  #done = false;

  /** `after`: the line so far. `slot` -1 and `toMs` -1 at the start of a line or after a loss. */
  constructor(stream: StreamPreimage, limits: PackLimits, recorded: boolean, after: { slot: number; toMs: number }) {
    this.#stream = stream;
    this.#limits = limits;
    this.#recorded = recorded;
    this.#sealed = stream.mode === MODE.sealed;
    this.#lastMs = after.toMs;
    this.#lastSlot = after.slot;
  }

  /** Whether the last pack that this packer will ever close has been handed out. */
  get done(): boolean {
    return this.#done;
  }

  /** Checks a batch before anything is done with it: order of times, room. Returns it with its time as it will be packed. */
  check(batch: Batch): Batch {
    let { tMs } = batch;
    const floor = Math.max(this.#lastMs, this.#sealed && this.#slot !== null ? this.#times(this.#slot).fromMs : 0);
    if (this.#stream.mode !== MODE.dataset && tMs < floor) {
      if (this.#recorded)
        throw new DeviceError(
          "time-order",
          `a row of ${new Date(tMs).toISOString()} follows one of ${new Date(floor).toISOString()}: sort the file, or make the stream a data set`,
          tMs,
        );
      if (floor - tMs > CLOCK_SLACK)
        throw new DeviceError(
          "clock",
          `the clock says ${new Date(tMs).toISOString()}, packs reach until ${new Date(floor).toISOString()}: set the clock; readings wait until then`,
          tMs,
        );
      tMs = floor;
    }
    const slot = slotOf(tMs, this.#stream.slotSeconds);
    if (this.#sealed && this.#slot === null && slot <= this.#lastSlot && this.#recorded)
      throw new DeviceError("time-order", `slot ${slot} of the sealed stream has its pack already`, slot);
    const records = toRecords(this.#stream, { ...batch, tMs });
    const together = this.#slot === slot ? this.#readings.length : 0;
    const bytes = (this.#slot === slot ? this.#bytes : 0) + sizeOf(records);
    if (this.#sealed) this.#checkRoom(slot, together + records.length, bytes);
    else if (this.#size(records.length, sizeOf(records)) > MAX_CONTENT - CIPHER_BYTES)
      throw new DeviceError(
        "reading-too-large",
        `one row's ${records.length} readings do not fit a pack of ${MAX_CONTENT} bytes: use fewer columns a stream`,
        records.length,
      );
    return { ...batch, tMs };
  }

  /** Packs that must be signed before `batch` may be added. */
  before(batch: Batch): ClosedPack[] {
    const slot = slotOf(batch.tMs, this.#stream.slotSeconds);
    const out: ClosedPack[] = [];
    if (this.#slot !== null && (this.#slot !== slot || (!this.#sealed && !this.#fits(batch)))) out.push(this.#close());
    if (this.#sealed && this.#slot === null && this.#lastSlot >= 0) {
      const missing = slot - this.#lastSlot - 1;
      if (this.#recorded && missing <= MAX_EMPTY_SLOTS)
        for (let i = 0; i < missing; i++) out.push(this.#empty(this.#lastSlot + 1));
    }
    return out;
  }

  /** Adds a checked batch; returns the pack that it fills, if it does. `nowMs`: Unix milliseconds of the clock. */
  add(batch: Batch, nowMs: number): ClosedPack[] {
    const slot = slotOf(batch.tMs, this.#stream.slotSeconds);
    const records = toRecords(this.#stream, batch);
    if (this.#slot === null) {
      this.#slot = slot;
      this.#openedAt = nowMs;
    } else if (this.#readings.length === 0) this.#openedAt = nowMs;
    this.#readings.push(...records);
    this.#bytes += sizeOf(records);
    this.#position = batch.position ?? this.#position;
    this.#lastMs = Math.max(this.#lastMs, batch.tMs);
    if (batch.last) return this.finish(true);
    return !this.#sealed && this.#readings.length >= this.#limits.maxReadings ? [this.#close()] : [];
  }

  /** Packs that the clock closes. Call it at {@link dueAt} or later. */
  due(nowMs: number): ClosedPack[] {
    const out: ClosedPack[] = [];
    if (this.#done) return out;
    if (this.#sealed && !this.#recorded) {
      const now = slotOf(nowMs, this.#stream.slotSeconds);
      if (this.#slot === null && now > this.#lastSlot) this.#slot = now;
      while (this.#slot !== null && this.#slot < now && !this.#done) {
        const next = this.#slot + 1;
        out.push(this.#close(this.#finishing));
        if (!this.#done) this.#slot = next;
      }
    } else if (!this.#sealed && this.#slot !== null && nowMs >= this.#openedAt + this.#limits.maxSeconds * 1000)
      out.push(this.#close());
    return out;
  }

  /** When {@link due} has something to do next, in Unix milliseconds; null for never. */
  get dueAt(): number | null {
    if (this.#done) return null;
    if (this.#sealed)
      return this.#recorded
        ? null
        : this.#slot === null
          ? this.#times(this.#lastSlot + 1).fromMs
          : this.#times(this.#slot).toMs + 1;
    return this.#slot === null ? null : this.#openedAt + this.#limits.maxSeconds * 1000;
  }

  /** The source has ended; with `end` the last pack says so. A live sealed slot closes when its time is over. */
  finish(end: boolean): ClosedPack[] {
    if (this.#sealed && !this.#recorded) {
      this.#finishing ||= end;
      return [];
    }
    const out = this.#slot === null ? [] : [this.#close(end)];
    this.#done = true;
    return out;
  }

  #close(end = false): ClosedPack {
    const pack = { slot: this.#slot as number, readings: this.#readings, position: this.#position, end };
    this.#lastSlot = pack.slot;
    this.#slot = null;
    this.#readings = [];
    this.#bytes = 0;
    this.#position = null;
    if (end) this.#done = true;
    return pack;
  }

  #empty(slot: number): ClosedPack {
    this.#lastSlot = slot;
    return { slot, readings: [], position: null, end: false };
  }

  #times(slot: number) {
    return slotTimes(slot, this.#stream.slotSeconds);
  }

  #fits(batch: Batch): boolean {
    const count = this.#readings.length + batch.readings.length;
    const first = this.#readings[0]?.tMs ?? batch.tMs;
    return (
      count <= this.#limits.maxReadings &&
      (this.#stream.mode === MODE.dataset || batch.tMs - first <= this.#limits.maxSeconds * 1000) &&
      this.#size(count, this.#bytes + sizeOf(toRecords(this.#stream, batch))) <= MAX_CONTENT - CIPHER_BYTES
    );
  }

  /** Bytes of CBOR[packSalt, [records]] with padding records, before padding zeros. */
  #size(count: number, bytes: number): number {
    const records = this.#sealed ? this.#stream.schema.padCount : count;
    return 1 + 34 + head(records) + bytes + (records - count);
  }

  #checkRoom(slot: number, count: number, bytes: number): void {
    const { padCount, padBytes } = this.#stream.schema;
    if (count > padCount || this.#size(count, bytes) > padBytes)
      throw new DeviceError(
        "sealed-overflow",
        `slot ${slot} has ${count} readings of ${this.#size(count, bytes)} bytes, the sealed stream has room for ${padCount} and ${padBytes}: make a new stream with larger padCount and padBytes`,
        { slot, count },
      );
  }
}

const sizes = new WeakMap<SenmlRecord, number>();

function sizeOf(records: readonly SenmlRecord[]): number {
  let sum = 0;
  for (const record of records) {
    let size = sizes.get(record);
    if (size === undefined) {
      const { length } = encodeRecord(record);
      sizes.set(record, (size = length + head(length)));
    }
    sum += size;
  }
  return sum;
}

const cache = new WeakMap<Batch["readings"], { tMs: number; records: SenmlRecord[] }>();

/** A batch as SenML records with the schema's units. */
function toRecords(stream: StreamPreimage, { tMs, readings }: Batch): SenmlRecord[] {
  const known = cache.get(readings);
  if (known?.tMs === tMs) return known.records;
  const records = readings.map(({ name, value }) => {
    const unit = stream.schema.quantities.find((q) => q.name === name)?.unit;
    return { n: name, ...(unit ? { u: unit } : {}), v: value, tMs };
  });
  cache.set(readings, { tMs, records });
  return records;
}
