import { LAST_SLOT, MODE, slotOf, type StreamPreimage } from "@msec/core";
import { parseTime } from "@msec/device";
import { type StreamInfo } from "@msec/trade";
import { Problem } from "./problem.ts";

/** Only what can be read in one way is a time: by what is read here, keys are destroyed. */
function timeOf(text: string): number {
  const ms = parseTime(text, "iso") ?? parseTime(text, "yyyy-mm-dd");
  if (ms === undefined) throw new Problem(`${text} is not a time: write it as 2004-03-10 or 2004-03-10T18:00 (UTC)`, 2);
  return ms;
}

/** The slots between two times; without times, everything of the stream that is anchored, but for its newest slot. */
export function slotsBetween(info: StreamInfo, from: string | undefined, to: string | undefined): [number, number] {
  const stream: StreamPreimage = info.preimage;
  if (stream.mode === MODE.dataset) {
    if (from !== undefined || to !== undefined)
      throw new Problem("a data set is one whole and has no times: leave out --from and --to", 2);
    return [0, 0];
  }
  if (info.firstSlot === null || info.lastSlot === null)
    throw new Problem("nothing of this stream is anchored yet: try again in some seconds");
  const first = from === undefined ? info.firstSlot : slotOf(timeOf(from), stream.slotSeconds);
  const last = to === undefined ? Math.max(first, info.lastSlot - 1) : slotOf(timeOf(to), stream.slotSeconds);
  if (last < first) throw new Problem("the window ends before it starts: --to lies before --from", 2);
  return [first, last];
}

/** The slots that are to be erased: between two times, or all of the stream. Nothing is guessed: keys are destroyed by it. */
export function slotsToErase(
  info: StreamInfo,
  { from, to, all }: { from?: string; to?: string; all: boolean },
): [number, number] {
  if (all) {
    if (from !== undefined || to !== undefined)
      throw new Problem("--all erases the whole stream: leave out --from and --to", 2);
    return info.preimage.mode === MODE.dataset ? [0, 0] : [0, LAST_SLOT];
  }
  if (info.preimage.mode === MODE.dataset)
    throw new Problem("a data set is erased whole: say --all, without --from and --to", 2);
  if (from === undefined || to === undefined)
    throw new Problem("say what to erase: --from and --to, or --all for the whole stream", 2);
  return slotsBetween(info, from, to);
}
