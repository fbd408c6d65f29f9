import { type SlotRange } from "./keytree.ts";

/** Erased ranges of a window, merged and clipped: the holes of a deal that counts so many erasures. */
export function holesOf(erasures: readonly SlotRange[], fromSlot: number, toSlot: number): SlotRange[] {
  const inside = erasures
    .map(([from, to]): [number, number] => [Math.max(from, fromSlot), Math.min(to, toSlot)])
    .filter(([from, to]) => from <= to)
    .sort((a, b) => a[0] - b[0]);
  const holes: [number, number][] = [];
  for (const [from, to] of inside) {
    const last = holes[holes.length - 1];
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else holes.push([from, to]);
  }
  return holes;
}
