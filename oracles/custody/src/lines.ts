import {
  decodeCose,
  type Hex,
  MODE,
  type Pack,
  packOf,
  type SignedHeader,
  streamId,
  type StreamPreimage,
} from "@msec/core";
import { type HoldersRow, type PackRow, type Store } from "./store.ts";

/** A pack that is held and waits for its epoch. */
export interface Pending {
  signed: SignedHeader;
  pack: Pack;
  receivedAt: number;
  /** Committed to the database: before that nothing is signed of it. */
  held: boolean;
  /** Operators of the stream's seed that opened it; an unsealed pack was opened here. */
  opened: Map<Hex, Hex>;
  /** The epoch that was newest when this operator pushed the pack to the leader. */
  pushedAt?: number;
}

/** One stream as an operator knows it: who it is, the head of its line, and what waits behind it. */
export interface Line {
  id: Hex;
  stream: StreamPreimage;
  holders: HoldersRow;
  keys: Map<number, Uint8Array>;
  head: SignedHeader | undefined;
  pending: Pending[];
  /** `keyEpoch/seq` under which two headers are known. */
  equivocal: Set<string>;
}

export const seqId = (keyEpoch: number, seq: number) => `${keyEpoch}/${seq}`;
export const isSealed = (line: Line) => line.stream.mode === MODE.sealed;

/** The lines of all streams, in memory, rebuilt from the database at the start. */
export class Lines {
  readonly byId = new Map<Hex, Line>();
  readonly pendingByDigest = new Map<Hex, Pending>();
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async load(): Promise<void> {
    for (const row of await this.#store.streams()) await this.open(row.preimage, row.holders);
  }

  /** Brings one stream's line into memory from the database. */
  async open(stream: StreamPreimage, holders: HoldersRow): Promise<Line> {
    const id = streamId(stream);
    const existing = this.byId.get(id);
    if (existing) for (const p of existing.pending) this.pendingByDigest.delete(p.signed.headerDigest);
    const head = await this.#store.head(id);
    const line: Line = {
      id,
      stream,
      holders,
      keys: new Map((await this.#store.keys(id)).map((key) => [key.keyEpoch, key.spki])),
      head: head && decodeCose(head.cose),
      pending: [],
      equivocal: new Set(
        (await this.#store.equivocations()).filter((e) => e.streamId === id).map((e) => seqId(e.keyEpoch, e.seq)),
      ),
    };
    this.byId.set(id, line);
    const rows: PackRow[] = [];
    for (let after = line.head?.header.seq ?? 0; ; ) {
      const page = await this.#store.packsAfter(id, after, 1000);
      rows.push(...page);
      if (page.length < 1000) break;
      after = page[page.length - 1]?.seq as number;
    }
    const opened = await this.#store.opened(rows.map((row) => row.headerDigest));
    for (const row of rows) {
      const pending = this.#pending(line, decodeCose(row.cose), row.receivedAt);
      for (const o of opened) if (o.headerDigest === row.headerDigest) pending.opened.set(o.signer, o.signature);
      pending.held = true;
      this.append(line, pending);
    }
    return line;
  }

  #pending(line: Line, signed: SignedHeader, receivedAt: number): Pending {
    return { signed, pack: packOf(line.stream, signed), receivedAt, held: false, opened: new Map() };
  }

  /** The last header of the line, anchored or waiting. */
  tip(line: Line): SignedHeader | undefined {
    return line.pending[line.pending.length - 1]?.signed ?? line.head;
  }

  create(line: Line, signed: SignedHeader, receivedAt: number): Pending {
    return this.#pending(line, signed, receivedAt);
  }

  append(line: Line, pending: Pending): void {
    line.pending.push(pending);
    this.pendingByDigest.set(pending.signed.headerDigest, pending);
  }

  /** Takes the packs from `from` on off the line; returns their digests. */
  cut(line: Line, from: number): Hex[] {
    const gone = line.pending.splice(from);
    for (const p of gone) this.pendingByDigest.delete(p.signed.headerDigest);
    return gone.map((p) => p.signed.headerDigest);
  }

  /** Moves the head past packs that an epoch anchored. */
  advance(line: Line, anchored: ReadonlySet<Hex>): Pending[] {
    const done = line.pending.filter((p) => anchored.has(p.signed.headerDigest));
    line.pending = line.pending.filter((p) => !anchored.has(p.signed.headerDigest));
    for (const p of done) this.pendingByDigest.delete(p.signed.headerDigest);
    const last = done[done.length - 1];
    if (last) line.head = last.signed;
    return done;
  }

  get pendingCount(): number {
    return this.pendingByDigest.size;
  }
}
