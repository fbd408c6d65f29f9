import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Decimal, parseNumber, type Quantity } from "@msec/core";
import type { HwmonConfig } from "../config.ts";
import { DeviceError } from "../errors.ts";
import { type Batch, type Driver, type Measured, safeNames } from "./driver.ts";

interface Sensor {
  label: string;
  unit: string;
  read(): Promise<number | Decimal>;
}

/**
 * What a Linux box really measures about itself: thermal zones and hwmon's temperatures, fans and voltages; on a box
 * without any, load average and free memory. Units are SenML's (RFC 8428, section 12.1; RFC 8798).
 */
export class HwmonDriver implements Driver {
  readonly recorded = false;
  readonly #config: HwmonConfig;
  constructor(config: HwmonConfig) {
    this.#config = config;
  }

  async discover(): Promise<Quantity[]> {
    return (await this.#named()).map(({ name, sensor }) => ({ name, unit: sensor.unit, text: sensor.label }));
  }

  async *batches(
    _position: string | null,
    quantities: readonly Quantity[],
    signal: AbortSignal,
  ): AsyncGenerator<Batch> {
    const known = new Set(quantities.map((q) => q.name));
    const sensors = (await this.#named()).filter(({ name }) => known.has(name));
    if (sensors.length === 0)
      throw new DeviceError("sensor", "none of the sensors in the stream's schema is there: was hardware changed?");
    const every = this.#config.intervalSeconds * 1000;
    for (let due = performance.now(); !signal.aborted; due = Math.max(due + every, performance.now())) {
      await sleep(Math.max(0, due - performance.now()), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const readings: Measured[] = [];
      for (const { name, sensor } of sensors) {
        const value = await sensor.read().catch(() => undefined);
        if (value !== undefined) readings.push({ name, value });
      }
      if (readings.length > 0) yield { tMs: Date.now(), readings, position: null, last: false };
    }
  }

  async #named(): Promise<{ name: string; sensor: Sensor }[]> {
    const { root } = this.#config;
    const found = [...(await thermalZones(root)), ...(await hwmonInputs(root))];
    const sensors = found.length > 0 ? found : await loadAndMemory(root);
    if (sensors.length === 0)
      throw new DeviceError("sensor", `${root} has neither sensors under sys/class nor proc: this driver needs Linux`);
    const names = safeNames(sensors.map((sensor) => sensor.label));
    return sensors.map((sensor, i) => ({ name: names[i] as string, sensor }));
  }
}

const list = async (path: string) => (await readdir(path).catch(() => [])).sort();
const text = async (path: string) => (await readFile(path, "utf8")).trim();

/** The number in a file, its decimal point moved `places` to the left, exactly. */
async function scaled(path: string, places: number): Promise<number | Decimal> {
  const value = parseNumber(`${await text(path)}e-${places}`);
  if (value === undefined) throw new DeviceError("sensor", `${path} does not hold a number`, path);
  return value;
}

async function thermalZones(root: string): Promise<Sensor[]> {
  const base = join(root, "sys/class/thermal");
  const sensors: Sensor[] = [];
  for (const zone of await list(base)) {
    if (!/^thermal_zone\d+$/.test(zone)) continue;
    const kind = await text(join(base, zone, "type")).catch(() => "");
    sensors.push({ label: `${zone} ${kind}`.trim(), unit: "Cel", read: () => scaled(join(base, zone, "temp"), 3) });
  }
  return sensors;
}

/** Kernel's hwmon sysfs interface: temperatures in millidegrees, voltages in millivolts, fans in turns a minute. */
async function hwmonInputs(root: string): Promise<Sensor[]> {
  const base = join(root, "sys/class/hwmon");
  const units: Record<string, [unit: string, places: number]> = { temp: ["Cel", 3], fan: ["1/min", 0], in: ["V", 3] };
  const sensors: Sensor[] = [];
  for (const chip of await list(base)) {
    const name = await text(join(base, chip, "name")).catch(() => chip);
    for (const file of await list(join(base, chip))) {
      const match = /^((temp|fan|in)\d+)_input$/.exec(file);
      const [unit, places] = units[match?.[2] ?? ""] ?? [];
      if (!match || unit === undefined || places === undefined) continue;
      sensors.push({ label: `${name} ${match[1]}`, unit, read: () => scaled(join(base, chip, file), places) });
    }
  }
  return sensors;
}

async function loadAndMemory(root: string): Promise<Sensor[]> {
  const load = join(root, "proc/loadavg");
  const memory = join(root, "proc/meminfo");
  if (!(await text(load).catch(() => ""))) return [];
  return [
    { label: "load 1 min", unit: "", read: async () => number((await text(load)).split(" ")[0], load) },
    {
      label: "memory available",
      unit: "By",
      read: async () => 1024 * Number(number(/^MemAvailable:\s+(\d+) kB$/m.exec(await text(memory))?.[1], memory)),
    },
  ];
}

function number(s: string | undefined, path: string): number | Decimal {
  const value = parseNumber(s ?? "");
  if (value === undefined) throw new DeviceError("sensor", `${path} does not hold what was expected`, path);
  return value;
}
