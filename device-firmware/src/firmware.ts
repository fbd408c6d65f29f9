// What packs, installs and starts releases. It belongs to what starts the device and is measured by the boot chain, with Node.
import { createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fromHex, toHex } from "@msec/core";
import { readConfig } from "./config.ts";
import { DeviceError, errorFields } from "./errors.ts";
import { BELOW_AGENT, type BoardPcrs, packRelease } from "./release.ts";
import { askTpm, firmwareState, initFirmware, installRelease, startFirmware } from "./update.ts";

const USAGE = `usage:
  firmware.ts pack    --version N --key PEM --out DIR [--agent DIR] [--boards FILE]   make and sign a release
  firmware.ts board   --config FILE                                                   print this board for --boards
  firmware.ts install --release DIR --firmware DIR --config FILE                      install it, to be tried after a reboot
  firmware.ts init    --firmware DIR --config FILE                                    init with the installed release
  firmware.ts run     --firmware DIR --config FILE [--trial-seconds 600]              start what is installed
  firmware.ts status  --firmware DIR                                                  what is good, what is on trial
run and init end with 10 where the TPM must restart before the chosen release can run: reboot.`;

const AGENT = fileURLToPath(new URL("..", import.meta.url));
/** A named step at which a test has the process killed. */
const KILL_AT = process.env.MSEC_KILL_AT;
const step = (name: string) => {
  if (KILL_AT === name) process.kill(process.pid, "SIGKILL");
};

/** [[hex…]…]: values of the PCRs below the agent, for each kind of board. Without a file: an emulator, where all are zero. */
async function boardsOf(file: string | undefined): Promise<BoardPcrs[]> {
  if (file === undefined) return [BELOW_AGENT.map(() => new Uint8Array(32))];
  const boards = JSON.parse(await readFile(file, "utf8")) as string[][];
  return boards.map((board) => {
    if (board.length !== BELOW_AGENT.length)
      throw new DeviceError("config", `${file} must give PCR ${BELOW_AGENT.join(", ")} of each board`, board);
    return board.map((value) => fromHex(value, 32));
  });
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      version: { type: "string" },
      key: { type: "string" },
      out: { type: "string" },
      agent: { type: "string", default: AGENT },
      boards: { type: "string" },
      release: { type: "string" },
      firmware: { type: "string" },
      config: { type: "string" },
      "trial-seconds": { type: "string", default: "600" },
    },
  });
  const need = (name: "version" | "key" | "out" | "release" | "firmware" | "config"): string => {
    const value = values[name];
    if (value === undefined) throw new DeviceError("config", `give --${name}`, name);
    return value;
  };
  const print = (value: unknown) => console.log(JSON.stringify(value, undefined, 2));
  switch (positionals[0]) {
    case "pack": {
      const key = createPrivateKey(await readFile(need("key"), "utf8"));
      const boards = await boardsOf(values.boards);
      const { version, measurement } = await packRelease(
        values.agent,
        resolve(need("out")),
        Number(need("version")),
        key,
        boards,
      );
      print({ version, measurement, boards: boards.length });
      return 0;
    }
    case "board":
      print([(await askTpm(await readConfig(need("config")))).board.map(toHex)]);
      return 0;
    case "install": {
      const config = await readConfig(need("config"));
      const { version } = await installRelease(need("release"), resolve(need("firmware")), config, step);
      print({ installed: version, next: "reboot" });
      return 0;
    }
    case "init":
      return initFirmware(resolve(need("firmware")), await readConfig(need("config")), need("config"));
    case "status":
      print(await firmwareState(need("firmware")));
      return 0;
    case "run": {
      const stop = new AbortController();
      for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());
      const trialMs = 1000 * Number(values["trial-seconds"]);
      if (!(trialMs > 0)) throw new DeviceError("config", "--trial-seconds is a number of seconds", trialMs);
      const config = await readConfig(need("config"));
      return startFirmware(resolve(need("firmware")), config, need("config"), { trialMs, signal: stop.signal, step });
    }
    default:
      console.error(USAGE);
      return 2;
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const { code, error: message } = errorFields(error);
  console.error(JSON.stringify({ level: "fatal", code, error: message }));
  process.exitCode = 1;
}
