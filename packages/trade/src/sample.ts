import {
  type Hex,
  holesOf,
  type SampleKeys,
  type SlotRange,
  streamId,
  type WindowBundle,
  type WindowReport,
} from "@msec/core";
import { type Deployed } from "./deployed.ts";
import { TradeError } from "./errors.ts";
import { type Operators, type StreamInfo } from "./operators.ts";
import { type Progress } from "./pace.ts";
import { verifyWindow } from "./verify.ts";
import { downloadWindow } from "./window.ts";

// What the owner of an open stream lets anybody see of it without paying: a period in the stream's description, whose keys
// operators give away. It is verified as what is bought is.

/**
 * Downloads, opens and verifies a stream's sample.
 * @param erasures As the chain has them: what was erased is a hole, whatever the operators say.
 * @throws {TradeError} `none` where the stream has none; what {@link downloadWindow} throws; a `ProtocolError` where it does not verify.
 */
export async function openSample(
  operators: Operators,
  deployed: Deployed,
  info: StreamInfo,
  erasures: readonly SlotRange[],
  progress?: Progress,
): Promise<{ bundle: WindowBundle; report: WindowReport }> {
  const { fromSlot, toSlot, nodes } = await keysOf(operators, streamId(info.preimage));
  const window = { fromSlot, toSlot, holes: holesOf(erasures, fromSlot, toSlot) };
  const bundle = await downloadWindow(operators, deployed, info, window, progress);
  bundle.nodes = nodes;
  return { bundle, report: await verifyWindow(bundle, {}, progress) };
}

async function keysOf(operators: Operators, id: Hex): Promise<SampleKeys> {
  const { sample } = await operators.ask<{ sample: SampleKeys | null }>(`/streams/${id}/sample`);
  if (!sample) throw new TradeError("none", "the owner shows nothing of this stream");
  return sample;
}
