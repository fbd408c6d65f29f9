import { verifySteps, type VerifyOptions, type WindowBundle, type WindowReport } from "@msec/core";
import { paced, type Progress } from "./pace.ts";

/** `verify` of @msec/core for large windows: the same judgement, with rests in between and packs counted. */
export function verifyWindow(
  bundle: WindowBundle,
  options: VerifyOptions = {},
  progress?: Progress,
): Promise<WindowReport> {
  return paced(verifySteps(bundle, options), bundle.packs.length, progress);
}
