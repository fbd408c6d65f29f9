import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Hex } from "@msec/core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Line, Outbox, type OutboxPack } from "./outbox.ts";

const S: Hex = `0x${"aa".repeat(32)}`;
const digest = (seq: number): Hex => `0x${seq.toString(16).padStart(64, "0")}`;
const pack = (seq: number, size = 100, place = seq): OutboxPack => ({
  seq,
  keyEpoch: 1,
  headerDigest: digest(seq),
  place,
  slot: seq,
  cose: new Uint8Array(10),
  content: new Uint8Array(size),
});
const line = (seq: number): Line => ({
  seq,
  headerDigest: digest(seq),
  keyEpoch: 1,
  slot: seq,
  toMs: seq,
  status: "ok",
  ended: false,
  skipToMs: -1,
});

let dir: string;
let box: Outbox;
const open = (maxBytes = 1e7) => new Outbox(join(dir, "outbox.db"), maxBytes);
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "msec-outbox-"));
  box = open();
});
afterEach(() => {
  box.close();
  rmSync(dir, { recursive: true });
});
const put = (seq: number, size?: number) => box.commitPack(S, pack(seq, size), line(seq), { position: `p${seq}` });

test("pack, line and position are one commit; a failing one changes nothing", () => {
  put(1);
  expect(() => box.commitPack(S, pack(1), line(2), { position: "p2" })).toThrow();
  expect(box.line(S)).toEqual(line(1));
  expect(box.position(S)).toBe("p1");
  box.close();
  box = open();
  expect(box.line(S)).toEqual(line(1));
  expect(box.packsAfter(S, 0, 9).map((p) => p.seq)).toEqual([1]);
});

test("rows that wait go with their pack", () => {
  box.addPending(S, Uint8Array.of(1), "p1");
  box.addPending(S, Uint8Array.of(2), "p2");
  expect(box.pending(S)).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
  expect(box.position(S)).toBe("p2");
  put(1);
  expect(box.pending(S)).toEqual([]);
});

test("one process at a time", () => {
  expect(() => open()).toThrow(expect.objectContaining({ code: "outbox-in-use" }) as Error);
});

test("full: a sentence, nothing changed; receipts empty it and it goes on", () => {
  box.close();
  box = open(300_000);
  let seq = 0;
  expect(() => {
    for (;;) put(++seq, 5_000);
  }).toThrow(expect.objectContaining({ code: "outbox-full" }) as Error);
  expect(box.line(S)?.seq).toBe(seq - 1);
  expect(box.deleteThrough(S, 10)).toBe(10);
  put(seq, 5_000);
  expect(box.stats(S)).toMatchObject({ packs: seq - 10, firstSeq: 11 });
});

test("a break: what is anchored goes, what is refused is kept aside, the rest is signed again in its order", () => {
  for (let seq = 1; seq <= 5; seq++) put(seq);
  box.noteRefusal(S, digest(3), digest(99), 17);
  expect(box.refusals(S)).toHaveLength(1);
  box.beginBreak(S, { ...line(5), status: "break" }, 2, [3]);
  expect(box.refusals(S)).toEqual([]);
  expect(box.stats(S)).toMatchObject({ packs: 2, refused: 1, firstSeq: null });
  box.commitPack(S, pack(1005, 100, 4), line(1005), { replaces: 4 });
  expect(box.nextToResign(S)?.seq).toBe(5);
  box.beginBreak(S, { ...line(1005), status: "break" }, 2, []);
  expect(box.nextToResign(S)).toMatchObject({ seq: 1005, place: 4 });
});

test("a receipt never goes back", () => {
  box.noteReceipt(S, digest(1), 5);
  box.noteReceipt(S, digest(1), 3);
  expect(box.receipts(S)).toEqual(new Map([[digest(1), 5]]));
});
