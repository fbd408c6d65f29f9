import { MODE, slotOf, type StreamPreimage } from "@msec/core";
import { parseTime } from "@msec/device";
import { type StreamInfo } from "./market/operators.ts";
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
  if (stream.mode === MODE.dataset) return [0, 0];
  if (info.firstSlot === null || info.lastSlot === null)
    throw new Problem("nothing of this stream is anchored yet: try again in some seconds");
  const first = from === undefined ? info.firstSlot : slotOf(timeOf(from), stream.slotSeconds);
  const last = to === undefined ? Math.max(first, info.lastSlot - 1) : slotOf(timeOf(to), stream.slotSeconds);
  if (last < first) throw new Problem("the window ends before it starts: --to lies before --from", 2);
  return [first, last];
}
