import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { HwmonDriver } from "./hwmon.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "msec-hwmon-"));
});
afterEach(() => rm(root, { recursive: true }));
const put = async (path: string, text: string) => {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
};
const driver = () => new HwmonDriver({ kind: "hwmon", intervalSeconds: 0.02, root });

async function first() {
  const quantities = await driver().discover();
  for await (const batch of driver().batches(null, quantities, new AbortController().signal))
    return { quantities, readings: batch.readings };
  throw new Error("nothing");
}

test("thermal zones and hwmon inputs in SenML units, exactly", async () => {
  await put("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n");
  await put("sys/class/thermal/thermal_zone0/temp", "45123\n");
  await put("sys/class/hwmon/hwmon1/name", "nct6775\n");
  await put("sys/class/hwmon/hwmon1/fan1_input", "1200\n");
  await put("sys/class/hwmon/hwmon1/in0_input", "912\n");
  await put("sys/class/hwmon/hwmon1/in0_max", "999\n");
  const { quantities, readings } = await first();
  expect(quantities).toEqual([
    { name: "thermal_zone0_x86_pkg_temp", unit: "Cel", text: "thermal_zone0 x86_pkg_temp" },
    { name: "nct6775_fan1", unit: "1/min", text: "nct6775 fan1" },
    { name: "nct6775_in0", unit: "V", text: "nct6775 in0" },
  ]);
  expect(readings.map((r) => r.value)).toEqual([45.123, 1200, 0.912]);
});

test("a sensor that fails is left out, the others go on", async () => {
  await put("sys/class/hwmon/hwmon0/temp1_input", "x\n");
  await put("sys/class/hwmon/hwmon0/temp2_input", "1000\n");
  expect((await first()).readings).toEqual([{ name: "hwmon0_temp2", value: 1 }]);
});

test("without sensors: load and memory; without those: a sentence", async () => {
  await put("proc/loadavg", "0.52 0.58 0.59 1/467 12345\n");
  await put("proc/meminfo", "MemTotal: 100 kB\nMemAvailable:   24 kB\n");
  expect((await first()).readings).toEqual([
    { name: "load_1_min", value: 0.52 },
    { name: "memory_available", value: 24_576 },
  ]);
  await rm(join(root, "proc"), { recursive: true });
  await expect(driver().discover()).rejects.toMatchObject({ code: "sensor" });
});
