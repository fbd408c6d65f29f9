import { spawn } from "node:child_process";
import { mkdir, open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { equal, fromBase64, toHex } from "@msec/core";
import { AGENT_PCR, firmwareCounter, lockTpm, replay, writeFileAtomic } from "@msec/secure-element";
import { ALG, Tpm } from "@msec/secure-element/tpm";
import { type Logger, pino } from "pino";
import type { Config, TpmConfig } from "./config.ts";
import { DeviceError } from "./errors.ts";
import { paths } from "./identity.ts";
import { measureAgent, measurement } from "./measure.ts";
import { BELOW_AGENT, type BoardPcrs, copyRelease, type Release, tellRelease, verifyRelease } from "./release.ts";

// Releases side by side in two folders, one of which has proved itself. What is tried and what is good is one file, replaced
// whole, so that a crash leaves one or the other. This file is part of what starts the device, not of any release.

type Slot = "a" | "b";
interface Installed {
  slot: Slot;
  version: number;
}

/** `firmware.json` in the firmware's folder. */
export interface FirmwareState {
  /** The release that has confirmed itself last; null before the first has. */
  good: Installed | null;
  /** The release that is on trial, and how often it was started. */
  trial: (Installed & { starts: number }) | null;
}

const STARTS = 3;
/** The process ends with this code where the TPM must be restarted before the chosen release can run: reboot. */
export const REBOOT = 10;

const stateFile = (folder: string) => join(folder, "firmware.json");

export async function firmwareState(folder: string): Promise<FirmwareState> {
  let text: string;
  try {
    text = await readFile(stateFile(folder), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { good: null, trial: null };
    throw error;
  }
  const isSlot = (value: unknown) => value === "a" || value === "b";
  try {
    const state = JSON.parse(text) as FirmwareState;
    for (const entry of [state.good, state.trial]) if (entry !== null && !isSlot(entry.slot)) throw new Error("slot");
    return state;
  } catch (error) {
    throw new DeviceError("release", `${stateFile(folder)} is damaged: install a release anew`, folder, error);
  }
}

const keepState = (folder: string, state: FirmwareState) =>
  writeFileAtomic(stateFile(folder), `${JSON.stringify(state, undefined, 2)}\n`, 0o644);

/** Calls `at` with the name of each durable step, for tests that end the process there. */
export type Step = (at: string) => void;

/**
 * Installs the release in `source` beside the good one, as the one to be tried after the next restart of the TPM. Refused
 * where it is not whole, not the maker's, or no later than what is good. The agent may run meanwhile.
 */
export async function installRelease(
  source: string,
  folder: string,
  config: Config,
  step: Step = () => undefined,
): Promise<Release> {
  const authority = fromBase64(tpmOf(config).authority);
  const release = await verifyRelease(source, authority);
  await mkdir(folder, { recursive: true });
  const { good } = await firmwareState(folder);
  if (good && release.version <= good.version)
    throw new DeviceError(
      "release",
      `release ${release.version} is no later than ${good.version}, which is installed: there is no way back`,
      release.version,
    );
  const slot: Slot = good?.slot === "a" ? "b" : "a";
  // Whatever was on trial there is given up before its files change.
  await keepState(folder, { good, trial: null });
  step("given-up");
  await copyRelease(source, join(folder, slot));
  step("copied");
  await verifyRelease(join(folder, slot), authority);
  await syncAll(join(folder, slot));
  step("synced");
  await keepState(folder, { good, trial: { slot, version: release.version, starts: 0 } });
  step("installed");
  return release;
}

async function syncAll(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await syncAll(path);
    else if (entry.isFile()) await sync(path);
  }
  await sync(folder);
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  await file.sync().finally(() => file.close());
}

function tpmOf(config: Config): TpmConfig {
  if (config.element.kind === "tpm") return config.element;
  throw new DeviceError("config", "releases are installed on devices with a TPM: this one has a software element");
}

/** What the TPM says: the board's PCRs, what was measured as the agent since it started, the lowest version allowed. */
export async function askTpm(config: Config): Promise<{ board: BoardPcrs; agent: Uint8Array; lowest: number }> {
  const { tpm: address } = tpmOf(config);
  const lock = await lockTpm(address);
  try {
    const tpm = await Tpm.open(address);
    try {
      await tpm.startup();
      const board = await tpm.pcrRead(ALG.SHA256, BELOW_AGENT);
      const [agent] = await tpm.pcrRead(ALG.SHA256, [AGENT_PCR]);
      return { board, agent: agent as Uint8Array, lowest: await firmwareCounter(tpm) };
    } finally {
      await tpm.close();
    }
  } finally {
    await lock.release();
  }
}

/** A release that was chosen, told to the agent and measured: it can be run. */
interface Prepared {
  release: Release;
  root: string;
  trial: FirmwareState["trial"];
}

/**
 * Chooses what runs: the release on trial until it was started too often or is refused, else the good one. "reboot" where
 * another agent was measured since the TPM started, which can't be taken back.
 */
async function prepare(
  folder: string,
  config: Config,
  log: Logger,
  step: Step,
  countStart: boolean,
): Promise<Prepared | "reboot"> {
  const state = await firmwareState(folder);
  const { trial, good } = state;
  const giveUp = async (why: string) => {
    log.error({ version: trial?.version, good: good?.version, why }, "the trial is over: the good release is next");
    await keepState(folder, { good, trial: null });
    step("returned");
    return prepare(folder, config, log, step, countStart);
  };
  const chosen = trial ?? good;
  if (!chosen) throw new DeviceError("release", `nothing is installed in ${folder}: install a release`, folder);
  if (trial && good && trial.starts >= STARTS)
    return giveUp(`it was started ${trial.starts} times and never confirmed itself`);
  const { board, agent, lowest } = await askTpm(config);
  let release: Release;
  try {
    release = await verifyRelease(join(folder, chosen.slot), fromBase64(tpmOf(config).authority), board);
    if (release.version < lowest)
      throw new DeviceError("release", `version ${release.version} is over: the TPM allows ${lowest} and later`);
  } catch (error) {
    if (!(error instanceof DeviceError) || !trial || !good) throw error;
    return giveUp(error.message);
  }
  const root = join(folder, chosen.slot, release.root);
  const expected = replay([await measurement(root)]).get(AGENT_PCR) as Uint8Array;
  if (!equal(agent, new Uint8Array(32)) && !equal(agent, expected)) {
    log.warn({ version: release.version, measured: toHex(agent) }, "another agent was measured: the TPM must restart");
    return "reboot";
  }
  if (trial && countStart) {
    await keepState(folder, { good, trial: { ...trial, starts: trial.starts + 1 } });
    step("counted");
  }
  await tellRelease(paths(config).release, release);
  step("told");
  await measureAgent(config, root);
  step("measured");
  return { release, root, trial };
}

/** Runs `init` of what is installed, which makes the device's keys for it. Returns the code to end with. */
export async function initFirmware(folder: string, config: Config, configFile: string): Promise<number> {
  const log = logOf(config);
  const prepared = await prepare(folder, config, log, () => undefined, false);
  return prepared === "reboot" ? REBOOT : run(prepared.root, ["init", "--config", configFile]);
}

const logOf = (config: Config): Logger =>
  pino({ level: config.log.level, base: { device: config.name, part: "firmware" } });

export interface StartOptions {
  /** How long a release on trial may take to confirm itself. */
  trialMs: number;
  signal?: AbortSignal;
  step?: Step;
}

/**
 * Starts what is installed and stays until it ends; returns the code to end with. A release on trial that does not confirm
 * itself (nothing that it signed was receipted) in its time, three times over, is given up, and so is one that is not whole:
 * then the good one is what the next start of the TPM runs.
 */
export async function startFirmware(
  folder: string,
  config: Config,
  configFile: string,
  options: StartOptions,
): Promise<number> {
  const log = logOf(config);
  const step = options.step ?? (() => undefined);
  while (!options.signal?.aborted) {
    const prepared = await prepare(folder, config, log, step, true);
    if (prepared === "reboot") return REBOOT;
    const { release, root, trial } = prepared;
    log.info({ version: release.version, trial: trial !== null }, "started");
    let onTrial = trial !== null;
    const code = await run(root, ["run", "--config", configFile], {
      ...(options.signal ? { signal: options.signal } : {}),
      ...(onTrial ? { withinMs: options.trialMs } : {}),
      confirmed: async () => {
        if (!trial) return;
        await keepState(folder, { good: { slot: trial.slot, version: trial.version }, trial: null });
        onTrial = false;
        step("kept");
        log.info({ version: trial.version }, "the release confirmed itself");
      },
    });
    if (!onTrial || options.signal?.aborted) return code;
    log.warn({ version: release.version, code }, "the release on trial ended before it confirmed itself");
  }
  return 0;
}

const KILL_MS = 10_000;

/**
 * Runs the agent of a release. `confirmed` is called at its word that it is healthy, and must be durable; without that it is
 * ended after `withinMs`.
 */
async function run(
  root: string,
  command: string[],
  options: { withinMs?: number; signal?: AbortSignal; confirmed?: () => Promise<void> } = {},
): Promise<number> {
  const args = ["--disable-warning=ExperimentalWarning", join(root, "src/main.ts"), ...command];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const timers: NodeJS.Timeout[] = [];
  const end = () => {
    child.kill("SIGTERM");
    timers.push(setTimeout(() => child.kill("SIGKILL"), KILL_MS));
  };
  const late = options.withinMs === undefined ? undefined : setTimeout(end, options.withinMs);
  options.signal?.addEventListener("abort", end);
  child.on("message", (message) => {
    if ((message as { healthy?: unknown }).healthy !== true) return;
    options.confirmed?.().then(
      () => {
        clearTimeout(late);
        if (child.connected) child.send({ kept: true }, () => undefined);
      },
      // It stays on trial.
      () => undefined,
    );
  });
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on("error", reject);
      child.on("exit", (code) => resolve(code ?? 1));
    });
  } finally {
    clearTimeout(late);
    for (const timer of timers) clearTimeout(timer);
    options.signal?.removeEventListener("abort", end);
  }
}
