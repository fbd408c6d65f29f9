import { type WindowReport } from "@msec/core";
import { type Exact } from "./json.ts";

/** What rows that left their bundle can still be traced by. */
export const proofOf = (report: WindowReport): Record<string, Exact> => ({
  streamId: report.streamId,
  deviceId: report.deviceId,
  fromSlot: report.fromSlot,
  toSlot: report.toSlot,
  epoch: report.epoch.number,
  epochHash: report.epoch.hash,
  packs: report.packs,
  readings: report.readings,
  emptySlots: report.emptySlots,
  gaps: report.gaps,
  erased: report.erased,
});
