export { attest } from "./access.ts";
export { type AgentStatus, runAgent, type RunOptions } from "./agent.ts";
export { type Config, type ConfigInput, parseConfig, readConfig } from "./config.ts";
export { type DeviceCode, DeviceError } from "./errors.ts";
export { seedMessage } from "./handover.ts";
export {
  init,
  initCleared,
  openIdentity,
  openStreams,
  openTpmElement,
  paths,
  setAside,
  signEnrolment,
  type StreamIdentity,
} from "./identity.ts";
export { manifest, measureAgent, measurement } from "./measure.ts";
export type { StreamStatus } from "./stream.ts";
export { type CsvRow, readCsv } from "./csv.ts";
export { parseTime, type TimeFormat } from "./time.ts";
