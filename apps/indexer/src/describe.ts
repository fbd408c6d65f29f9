import { type Hex, streamId, type StreamPreimage } from "@msec/core";
import { streamPreimage } from "@msec/service";
import { z } from "zod";

const answer = z.object({ preimage: streamPreimage });
const WAIT_MS = 5_000;

/**
 * What a stream is called and measures, from the first operator that knows it. The stream's id is its hash, so no operator
 * can tell it wrongly.
 * @returns undefined while nobody knows it.
 */
export async function describeStream(id: Hex, operators: readonly string[]): Promise<StreamPreimage | undefined> {
  for (const url of operators) {
    try {
      const response = await fetch(`${url}/streams/${id}`, { signal: AbortSignal.timeout(WAIT_MS) });
      if (!response.ok) continue;
      const preimage = answer.parse(await response.json()).preimage;
      if (streamId(preimage) === id) return preimage;
    } catch {
      // The next one may know it; all are asked again.
    }
  }
  return undefined;
}
