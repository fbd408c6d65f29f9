import { expect, test } from "vitest";
import type { OutboxPack } from "./outbox.ts";
import { Sender } from "./sender.ts";

const all = Array.from({ length: 10 }, (_, i) => ({ seq: i + 1 }) as OutboxPack);
const from = (held: OutboxPack[]) => (seq: number, limit: number) => held.filter((p) => p.seq > seq).slice(0, limit);
const seqs = (packs: OutboxPack[]) => packs.map((p) => p.seq);

test("in order, within the window, on as receipts come", () => {
  const sender = new Sender(4, 1000);
  expect(seqs(sender.next(from(all), 0))).toEqual([1, 2, 3, 4]);
  expect(sender.next(from(all), 10)).toEqual([]);
  sender.receipted(2, 20);
  expect(seqs(sender.next(from(all.slice(2)), 20))).toEqual([5, 6]);
});

test("sends again from the first unreceipted one when nothing moves, waiting longer each time", () => {
  const sender = new Sender(3, 1000);
  sender.next(from(all), 0);
  expect(sender.next(from(all), 999)).toEqual([]);
  expect(seqs(sender.next(from(all), 1000))).toEqual([1, 2, 3]);
  expect(sender.next(from(all), 2999)).toEqual([]);
  expect(seqs(sender.next(from(all), 3000))).toEqual([1, 2, 3]);
  sender.reset();
  expect(seqs(sender.next(from(all), 3001))).toEqual([1, 2, 3]);
});

test("new packs that follow a lost one do not put its sending off", () => {
  const sender = new Sender(8, 1000);
  sender.next(from(all.slice(0, 1)), 0);
  sender.next(from(all.slice(0, 2)), 600);
  expect(seqs(sender.next(from(all.slice(0, 3)), 900))).toEqual([3]);
  expect(seqs(sender.next(from(all.slice(0, 4)), 1000))).toEqual([1, 2, 3, 4]);
});
