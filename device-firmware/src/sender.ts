import type { OutboxPack } from "./outbox.ts";

const MAX_RESEND_MS = 60_000;

/**
 * Which packs of a stream go out when: in order, at most `window` on their way, again from the first unreceipted one
 * after a reconnection or when nothing moves for a while. No I/O.
 */
export class Sender {
  readonly #window: number;
  readonly #resendMs: number;
  #waitMs: number;
  #underWay: number[] = [];
  #sentThrough = -1;
  #movedAt = 0;

  constructor(window: number, resendMs: number) {
    this.#window = window;
    this.#resendMs = resendMs;
    this.#waitMs = resendMs;
  }

  /** The packs to send now. `packsAfter` reads the outbox; `nowMs` is any clock that only rises. */
  next(packsAfter: (seq: number, limit: number) => OutboxPack[], nowMs: number): OutboxPack[] {
    if (this.#underWay.length > 0 && nowMs - this.#movedAt >= this.#waitMs) {
      this.#waitMs = Math.min(this.#waitMs * 2, MAX_RESEND_MS);
      this.#again();
    }
    const room = this.#window - this.#underWay.length;
    if (room <= 0) return [];
    const packs = packsAfter(this.#sentThrough, room);
    // Only what starts the wait counts: packs that follow a lost one move nothing.
    if (packs.length > 0 && this.#underWay.length === 0) this.#movedAt = nowMs;
    for (const { seq } of packs) {
      this.#underWay.push(seq);
      this.#sentThrough = seq;
    }
    return packs;
  }

  /** f + 1 organisations hold everything up to `seq`. */
  receipted(seq: number, nowMs: number): void {
    const before = this.#underWay.length;
    this.#underWay = this.#underWay.filter((sent) => sent > seq);
    if (this.#underWay.length === before) return;
    this.#movedAt = nowMs;
    this.#waitMs = this.#resendMs;
  }

  /** Start over from the first unreceipted pack: after a reconnection, or when the line changed. */
  reset(): void {
    this.#waitMs = this.#resendMs;
    this.#again();
  }

  #again(): void {
    this.#underWay = [];
    this.#sentThrough = -1;
  }
}
