import { slotOf, slotTimes, type StreamPreimage } from "@msec/core";

/** A time as an `<input type="datetime-local">` has it, in UTC. */
export const inputOf = (ms: number) => new Date(ms).toISOString().slice(0, 16);
export const msOf = (input: string) => Date.parse(`${input}:00Z`);

/** The slots that a period touches, inside those of the stream. */
export function slotsOf(
  { slotSeconds }: Pick<StreamPreimage, "slotSeconds">,
  fromMs: number,
  toMs: number,
  bounds: { first: number; last: number },
): { fromSlot: number; toSlot: number } {
  const fromSlot = Math.max(slotOf(fromMs, slotSeconds), bounds.first);
  const toSlot = Math.min(slotOf(Math.max(fromMs, toMs - 1), slotSeconds), bounds.last);
  return { fromSlot, toSlot };
}

export const startOf = (slot: number, slotSeconds: number) => slotTimes(slot, slotSeconds).fromMs;
export const endOf = (slot: number, slotSeconds: number) => slotTimes(slot, slotSeconds).toMs + 1;
