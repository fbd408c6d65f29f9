import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { toBase64 } from "@msec/core";
import {
  BOOT_SELECTION,
  FIRMWARE_COUNTER,
  firmwareCounter,
  TpmElement,
  VERSION_OPERATION,
  versionOperand,
} from "@msec/secure-element";
import { manufacture, missingSwtpm, startSwtpm, type Swtpm } from "@msec/secure-element/swtpm";
import { SE, Tpm } from "@msec/secure-element/tpm";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Config, paths, readConfig } from "../src/index.ts";
import { measureAgent } from "../src/measure.ts";
import { BELOW_AGENT, packRelease, readRelease, tellRelease } from "../src/release.ts";
import { firmwareState, installRelease, REBOOT } from "../src/update.ts";
import { airRows, type Agent, City, until } from "./city.ts";

// Releases on a device of real processes: installed, tried, kept or given up, killed at every step, never set back.

const missing = missingSwtpm();
if (missing) console.log(`skipped: ${missing}`);

const FIRMWARE = fileURLToPath(new URL("../src/firmware.ts", import.meta.url));
const MAIN = new URL("../src/main.ts", import.meta.url).href;
const CHECKOUT = fileURLToPath(new URL("..", import.meta.url));
const maker = generateKeyPairSync("ec", { namedCurve: "P-256" });
const authority = new Uint8Array(maker.publicKey.export({ format: "der", type: "spki" }));
/** Agents start in seconds, and in many on a busy machine. */
const PATIENCE = 150_000;
const EMULATOR = [BELOW_AGENT.map(() => new Uint8Array(32))];

describe.skipIf(missing !== undefined)("installed releases", () => {
  let city: City;
  let swtpm: Swtpm;
  let agent: Agent;
  let config: Config;
  let board: Board;
  const at = (name: string) => join(city.dir, name);
  const firmware = () => at("firmware");
  const state = () => firmwareState(firmware());

  /** What a service manager does: starts again what ended, and reboots where that is asked for. */
  class Board {
    reboots = 0;
    log = "";
    #child: ChildProcess | undefined;
    #over: Promise<void> = Promise.resolve();
    #stopping = false;

    on(env: Record<string, string> = {}, trialSeconds = 150): void {
      this.#stopping = false;
      this.#over = this.#keep(env, trialSeconds);
    }

    async #keep(env: Record<string, string>, trialSeconds: number): Promise<void> {
      for (let first = true; !this.#stopping; first = false) {
        const code = await this.#once(first ? env : {}, trialSeconds);
        if (code === REBOOT && !this.#stopping) await reboot();
      }
    }

    #once(env: Record<string, string>, trialSeconds: number): Promise<number | null> {
      const args = ["run", "--firmware", firmware(), "--config", agent.configPath];
      const child = spawn(process.execPath, [FIRMWARE, ...args, "--trial-seconds", `${trialSeconds}`], {
        env: { ...process.env, ...env },
      });
      this.#child = child;
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (d: Buffer) => (this.log += d.toString()));
      return new Promise((resolve) => child.on("close", resolve));
    }

    async off(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
      this.#stopping = true;
      this.#child?.kill(signal);
      await this.#over;
    }
  }

  const reboot = async () => {
    board.reboots++;
    await swtpm.stop();
    swtpm = await startSwtpm(at("tpm"));
  };
  const command = async (...args: string[]): Promise<string> => {
    const child = spawn(process.execPath, [FIRMWARE, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let [out, err] = ["", ""];
    child.stdout.on("data", (d: Buffer) => (out += d.toString()));
    child.stderr.on("data", (d: Buffer) => (err += d.toString()));
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
    if (code !== 0) throw new Error(`${code}: ${err}`);
    return out;
  };
  /** A release with an agent of its own measurement that runs the checkout's, or whatever `main` says instead. */
  const pack = async (
    name: string,
    version: number,
    main = `await import(${JSON.stringify(MAIN)});`,
    key: KeyObject = maker.privateKey,
    boards = EMULATOR,
  ) => {
    const source = join(at(`${name} source`), "agent");
    await mkdir(join(source, "src"), { recursive: true });
    await writeFile(join(source, "package.json"), JSON.stringify({ name: "agent", type: "module" }));
    await writeFile(join(source, "src/main.ts"), `// ${String(name)}\n${main}\n`);
    await packRelease(source, at(name), version, key, boards);
    return at(name);
  };
  const install = (release: string) => installRelease(release, firmware(), config);
  const stream = () => city.stream(agent)!;
  const goesOn = async () => {
    const before = stream()?.line.length ?? 0;
    await until("the line goes on", () => (stream()?.line.length ?? 0) > before + 2, PATIENCE);
  };
  /** Nothing was lost or signed twice: one line from the first seq, with the rows of the file in their order. */
  const isOneLine = () => {
    expect(city.faultsSeen).toEqual([]);
    expect(stream().equivocations).toEqual([]);
    expect(stream().line.map((p) => p.signed.header.seq)).toEqual(stream().line.map((_, i) => i + 1));
    expect(stream().rows).toEqual(readings.slice(0, stream().rows.length));
    expect(new Set(stream().line.map((p) => p.signed.header.keyEpoch))).toEqual(new Set([1]));
  };
  const withTpm = async <T>(work: (tpm: Tpm) => Promise<T>): Promise<T> => {
    const tpm = await Tpm.open(swtpm.address);
    try {
      await tpm.startup();
      await tpm.flushAll();
      return await work(tpm);
    } finally {
      await tpm.close();
    }
  };
  let readings: string[];

  beforeAll(async () => {
    city = await City.start();
    await manufacture(at("tpm"), at("maker"));
    swtpm = await startSwtpm(at("tpm"));
    board = new Board();
    const air = airRows(40_000);
    readings = air.readings;
    await writeFile(at("air.csv"), air.csv);
    await writeFile(at("maker.pem"), maker.privateKey.export({ format: "pem", type: "pkcs8" }));
    const input = city.config(
      [
        {
          name: "air",
          mode: "open",
          slotSeconds: 3600,
          pack: { maxReadings: 8, maxSeconds: 3600 },
          driver: {
            kind: "replay",
            file: "air.csv",
            time: { columns: ["Date", "Time"], format: "dd/mm/yyyy" },
            missing: ["-200"],
            // Some five rows a second, so that a busy machine keeps up.
            speed: 3_000,
          },
        },
      ],
      { element: { kind: "tpm", tpm: swtpm.address, authority: toBase64(authority) } },
    );
    await command("pack", "--version", "1", "--key", at("maker.pem"), "--out", at("v1"), "--agent", CHECKOUT);
    agent = await city.device(input, async ({ configPath }) => {
      await command("install", "--release", at("v1"), "--firmware", firmware(), "--config", configPath);
      return command("init", "--firmware", firmware(), "--config", configPath);
    });
    config = await readConfig(agent.configPath);
  }, 240_000);
  afterAll(async () => {
    if (process.env.MSEC_TEST_LOG) console.log(board.log);
    await board?.off();
    await swtpm?.cut();
    await city?.stop();
  });

  afterEach(() => board.off());

  test("the first release is founded, measured from outside, and confirms itself by a receipt", async () => {
    expect(await state()).toEqual({ good: null, trial: { slot: "a", version: 1, starts: 0 } });
    board.on();
    await until("version 1 is good", async () => (await state()).good?.version === 1, PATIENCE);
    expect(await state()).toEqual({ good: { slot: "a", version: 1 }, trial: null });
    await goesOn();
    isOneLine();
  }, 300_000);

  test("refused, with nothing changed: unsigned, another maker's, cut short, changed, another version, another board", async () => {
    const before = await state();
    const good = await pack("refused", 5);
    const refused = async (what: RegExp) => {
      await expect(install(good)).rejects.toMatchObject({ code: "release", message: expect.stringMatching(what) });
      expect(await state()).toEqual(before);
    };
    const file = join(good, "release.json");
    const text = await readFile(file, "utf8");
    const release = JSON.parse(text) as { approvals: { signature: string }[]; version: number };
    const edited = async (change: object, what: RegExp) => {
      await writeFile(file, JSON.stringify({ ...release, ...change }));
      await refused(what);
      await writeFile(file, text);
    };
    await edited({ approvals: [] }, /not signed by the approved-firmware key/);
    await edited({ approvals: [{ ...release.approvals[0], signature: toBase64(new Uint8Array(64)) }] }, /not signed/);
    await edited({ version: 6 }, /not signed/);
    await edited({ version: 0 }, /version from 1/);
    await edited({ root: "../v1/device-firmware" }, /outside of it/);
    await writeFile(file, text.slice(0, 100));
    await refused(/can't be read/);
    await writeFile(file, text);
    const main = join(good, "agent/src/main.ts");
    const code = await readFile(main);
    await writeFile(main, code.subarray(0, code.length - 1));
    await refused(/missing or changed/);
    await rm(main);
    await refused(/missing or changed/);
    await writeFile(main, code);
    await writeFile(join(good, "agent/src/more.ts"), "");
    await refused(/missing or changed/);
    await rm(join(good, "agent/src/more.ts"));
    await rm(join(good, "agent/package.json"));
    await refused(/not whole/);
    await expect(
      install(await pack("stranger", 5, undefined, generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey)),
    ).rejects.toMatchObject({ code: "release" });
    await expect(install(await pack("same", 1))).rejects.toMatchObject({
      message: expect.stringMatching(/no way back/),
    });
    // Signed, but for a board that booted something else: its trial is over before it begins.
    const other = await pack("other-board", 5, undefined, maker.privateKey, [
      BELOW_AGENT.map((pcr) => new Uint8Array(32).fill(pcr + 1)),
    ]);
    await install(other);
    board.on();
    await until("the trial is over", async () => (await state()).trial === null, PATIENCE);
    expect(board.log).toMatch(/not approved for this board/);
    await goesOn();
    isOneLine();
    expect(await state()).toEqual(before);
  }, 300_000);

  test("a good update waits for a reboot, signs on with the same key, and ends the version before it", async () => {
    const { keys } = stream();
    board.on();
    await goesOn();
    await install(await pack("v2", 2));
    expect(await state()).toEqual({ good: { slot: "a", version: 1 }, trial: { slot: "b", version: 2, starts: 0 } });
    const { reboots } = board;
    await board.off();
    board.on();
    await until("version 2 is good", async () => (await state()).good?.version === 2, PATIENCE);
    expect(board.reboots, "the TPM had measured version 1").toBe(reboots + 1);
    await goesOn();
    isOneLine();
    expect(stream().keys).toEqual(keys);
    await board.off();
    expect(await withTpm(firmwareCounter)).toBe(2);
  }, 300_000);

  test("the version before is refused by the starter, by the element and by the TPM's own policy", async () => {
    // Its files still lie there. Whoever has the disk names it as the good one.
    const good = await state();
    await writeFile(
      join(firmware(), "firmware.json"),
      JSON.stringify({ good: { slot: "a", version: 1 }, trial: null }),
    );
    await reboot();
    await expect(command("run", "--firmware", firmware(), "--config", agent.configPath)).rejects.toThrow(
      /version 1 is over: the TPM allows 2 and later/,
    );
    // And starts it without the starter.
    const release = await readRelease(join(firmware(), "a"));
    await tellRelease(paths(config).release, release);
    await measureAgent(config, join(firmware(), "a", release.root));
    const options = {
      path: paths(config).element,
      address: swtpm.address,
      authority,
      approvals: release.approvals,
    };
    await expect(TpmElement.open({ ...options, version: 1 })).rejects.toMatchObject({ code: "firmware" });
    // Or another program that says it were version 2, or none.
    for (const version of [{ version: 2 }, {}]) {
      const element = await TpmElement.open({ ...options, ...version });
      await expect(element.sign(Buffer.from("x"))).rejects.toMatchObject({ code: "firmware" });
      await element.close();
    }
    await withTpm(async (tpm) => {
      const session = await tpm.startSession(SE.POLICY);
      await tpm.policyPcr(session, BOOT_SELECTION);
      const counter = await tpm.nvReadPublic(FIRMWARE_COUNTER.index);
      await expect(tpm.policyNv(session, counter, versionOperand(1), VERSION_OPERATION)).rejects.toMatchObject({
        rc: 0x126,
      });
      await tpm.flush(session);
    });
    await writeFile(join(firmware(), "firmware.json"), JSON.stringify(good));
  }, 300_000);

  test.each([
    ["crashes at its start", 'throw new Error("a bad release");'],
    [
      "runs and never signs anything",
      "setInterval(() => undefined, 1000); process.on('disconnect', () => process.exit());",
    ],
    [
      "breaks its own files while it runs",
      "import { rmSync } from 'node:fs'; rmSync(new URL('../package.json', import.meta.url)); process.exit(1);",
    ],
  ])(
    "an update that %s is given up by itself, and the good version goes on where the line was",
    async (name, main) => {
      board.on({}, 3);
      await goesOn();
      const before = await state();
      const version = 1 + (before.good?.version ?? 0);
      await install(await pack(`bad ${name}`, version, main));
      await board.off();
      const { reboots } = board;
      board.on({}, 3);
      await until("the trial is over", async () => (await state()).trial === null, PATIENCE);
      expect(await state()).toEqual(before);
      await goesOn();
      expect(board.reboots, "once into the update and once back").toBe(reboots + 2);
      isOneLine();
      await board.off();
      expect(await withTpm(firmwareCounter), "the TPM allows what it allowed before").toBe(before.good?.version);
    },
    300_000,
  );

  test("a good release whose files were changed on the disk is not started", async () => {
    const { good } = await state();
    const file = join(firmware(), good!.slot, "agent/src/main.ts");
    const code = await readFile(file);
    await writeFile(file, Buffer.concat([code, Buffer.from(" ")]));
    await expect(command("run", "--firmware", firmware(), "--config", agent.configPath)).rejects.toThrow(
      /missing or changed: fetch the release again/,
    );
    await writeFile(file, code);
  });

  test.each(["given-up", "copied", "synced", "installed"])(
    "an installation killed when it had %s leaves the good release, and done again it ends",
    async (step) => {
      const before = await state();
      const release = await pack(`killed ${step}`, 1 + (before.good?.version ?? 0));
      const args = ["--release", release, "--firmware", firmware(), "--config", agent.configPath];
      const killed = spawn(process.execPath, [FIRMWARE, "install", ...args], {
        env: { ...process.env, MSEC_KILL_AT: step },
      });
      expect(await new Promise((resolve) => killed.on("close", (_, signal) => resolve(signal)))).toBe("SIGKILL");
      const after = await state();
      expect(after.good).toEqual(before.good);
      expect(after.trial === null).toBe(step !== "installed");
      await command("install", ...args);
      expect((await state()).trial).toMatchObject({ starts: 0 });
    },
    300_000,
  );

  test.each(["counted", "told", "measured", "kept"])(
    "a start of an update killed when it had %s: the next start goes on, and the update confirms itself",
    async (step) => {
      const version = 1 + ((await state()).good?.version ?? 0);
      await install(await pack(`start ${step}`, version));
      await reboot();
      const { length } = board.log;
      board.on({ MSEC_KILL_AT: step });
      await until("the update is good", async () => (await state()).good?.version === version, PATIENCE);
      await goesOn();
      isOneLine();
      await until("the TPM was told", () => board.log.slice(length).includes("this release is confirmed"), PATIENCE);
      await board.off();
      expect(await withTpm(firmwareCounter)).toBe(version);
    },
    300_000,
  );

  test("the way back killed when it had returned goes on to the good release", async () => {
    const before = await state();
    await install(await pack("bad and killed", 1 + (before.good?.version ?? 0), "process.exit(1);"));
    await reboot();
    board.on({ MSEC_KILL_AT: "returned" });
    await until("the trial is over", async () => (await state()).trial === null, PATIENCE);
    await goesOn();
    expect(await state()).toEqual(before);
    isOneLine();
    await board.off();
  }, 300_000);

  // Last: it may end the version that is good.
  test("a counter that is removed and made anew does not fall", async () => {
    const version = (await state()).good!.version;
    await withTpm(async (tpm) => {
      await tpm.nvUndefine(await tpm.nvReadPublic(FIRMWARE_COUNTER.index));
      expect(await firmwareCounter(tpm)).toBeGreaterThanOrEqual(version);
    });
  });
});
