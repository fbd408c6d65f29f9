import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { fromHex, type Hex, toHex } from "@msec/core";
import { AGENT_PCR, type BootEvent, lockTpm, replay, writeFileAtomic } from "@msec/secure-element";
import { ALG, Tpm } from "@msec/secure-element/tpm";
import type { Config } from "./config.ts";
import { DeviceError } from "./errors.ts";
import { paths, releaseOf } from "./identity.ts";
import { filesOf, packagesOf } from "./packages.ts";

/** The agent's own package. */
const AGENT = fileURLToPath(new URL("..", import.meta.url));
/**
 * A line "sha256 package/path" for every file that Node may load of the package at `root` and of all that it depends on, in
 * order. One changed byte anywhere in it is another manifest.
 */
export async function manifest(root: string = AGENT): Promise<string> {
  const lines: string[] = [];
  for (const { name, at } of await packagesOf(root))
    for (const file of await filesOf(at)) {
      const hash = createHash("sha256").update(await readFile(file));
      lines.push(`${hash.digest("hex")} ${name}/${relative(at, file)}`);
    }
  return `${lines.sort().join("\n")}\n`;
}

/** What the agent is measured as: SHA-256 of its manifest. */
export async function measurement(root?: string): Promise<BootEvent> {
  const digest = createHash("sha256")
    .update(await manifest(root))
    .digest();
  return { pcr: AGENT_PCR, digest: new Uint8Array(digest), what: "agent" };
}

/** What was measured since the TPM started, as the agent keeps it: a file beside the element's. */
interface BootLog {
  resetCount: number;
  events: { pcr: number; digest: Hex; what: string }[];
}

/** The log of this start of the TPM; nothing of an earlier one. */
export async function readBootLog(config: Config): Promise<BootLog | undefined> {
  const text = await readFile(paths(config).bootLog, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as BootLog;
  } catch {
    return undefined;
  }
}

export const eventsOf = (log: BootLog | undefined): BootEvent[] =>
  (log?.events ?? []).map(({ pcr, digest, what }) => ({ pcr, digest: fromHex(digest, 32), what }));

/**
 * Measures the agent into the TPM before it runs. A start of the same agent again since the TPM started changes nothing; a
 * changed one is measured on top, so that from then on the TPM signs for neither until it restarts.
 */
export async function measureAgent(config: Config, root?: string): Promise<void> {
  if (config.element.kind !== "tpm") return;
  const event = await measurement(root);
  const release = await releaseOf(config);
  if (release && release.measurement !== Buffer.from(event.digest).toString("hex"))
    throw new DeviceError(
      "release",
      `this device runs release ${release.version}, and this is another agent: what it would measure would stop the device; use the one that is installed`,
      release.version,
    );
  const lock = await lockTpm(config.element.tpm);
  try {
    const tpm = await Tpm.open(config.element.tpm);
    try {
      await tpm.startup();
      const { resetCount } = (await tpm.readClock()).clock;
      const [value] = await tpm.pcrRead(ALG.SHA256, [AGENT_PCR]);
      const known = await readBootLog(config);
      const events = known?.resetCount === resetCount ? eventsOf(known) : [];
      const isNow = (log: BootEvent[]) => equalTo(replay(log).get(AGENT_PCR) ?? new Uint8Array(32), value);
      const last = events.at(-1);
      if (last && equalTo(last.digest, event.digest) && isNow(events)) return;
      // Cut off between the extension and the writing of the log.
      if (!isNow([...events, event])) await tpm.pcrExtend(AGENT_PCR, [{ hash: ALG.SHA256, digest: event.digest }]);
      const log: BootLog = {
        resetCount,
        events: [...events, event].map(({ pcr, digest, what }) => ({ pcr, digest: toHex(digest), what })),
      };
      await writeFileAtomic(paths(config).bootLog, `${JSON.stringify(log, undefined, 2)}\n`);
    } finally {
      await tpm.close();
    }
  } finally {
    await lock.release();
  }
}

const equalTo = (a: Uint8Array, b: Uint8Array | undefined) => b !== undefined && Buffer.compare(a, b) === 0;
