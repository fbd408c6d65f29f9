import type { StreamConfig } from "../config.ts";
import type { Driver } from "./driver.ts";
import { HwmonDriver } from "./hwmon.ts";
import { ReplayDriver } from "./replay.ts";

export function makeDriver(config: StreamConfig["driver"]): Driver {
  return config.kind === "replay" ? new ReplayDriver(config) : new HwmonDriver(config);
}
