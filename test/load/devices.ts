import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Hex, verifySignature } from "@msec/core";
import { measureAgent, openTpmElement, parseConfig } from "@msec/device";
import { type TpmElement } from "@msec/secure-element";
import { manufacture, missingSwtpm, startSwtpm } from "@msec/secure-element/swtpm";
import { plainSigningKey, RH, SRK, Tpm } from "@msec/secure-element/tpm";
import { readJson } from "@msec/service";
import { type DevicePlan } from "../../apps/cli/src/city/devices.ts";
import { Layout } from "../../apps/cli/src/city/layout.ts";
import { type City, up } from "../../apps/cli/src/city/up.ts";
import { missingTools, startShared } from "../support/tpm2-tools.ts";
import { load, machine } from "./machine.ts";

// Devices with a TPM each: enrolled, attested, publishing; then how fast they sign, against a tpm2_sign process a signature.

const HELP = `usage: node test/load/devices.ts [options]

Puts up a city whose devices have a TPM (swtpm) each, waits until a pack of each is anchored, and measures signing.

  --devices N     devices (default 20)
  --rounds N      rounds of the comparison with tpm2_sign, one after the other (default 5)
  --json FILE     writes the figures as JSON
  --help          this
`;

const { values } = parseArgs({
  options: {
    devices: { type: "string", default: "20" },
    rounds: { type: "string", default: "5" },
    json: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
const [devices, rounds] = [Number(values.devices), Number(values.rounds)];
const say = (line: string) => process.stderr.write(`${line}\n`);
const ROUND_MS = 1_500;
const FLEET_MS = 5_000;
const MESSAGE = Buffer.alloc(300, "a header");

function plans(root: string): DevicePlan[] {
  return Array.from({ length: devices }, (_, i) => {
    const name = `device-${i + 1}`;
    const file = join(root, `${name}.csv`);
    const rows = Array.from({ length: 200 }, (_, row) => `${Date.UTC(2024, 0, 1) + row * 10_000},${(row % 97) / 10}`);
    writeFileSync(file, `time,value\n${rows.join("\n")}\n`);
    return {
      name,
      owner: "city",
      unitPrice: 10n,
      streams: [
        {
          name: `${name}/air`,
          mode: "open",
          slotSeconds: 60,
          driver: {
            kind: "replay",
            file,
            time: { columns: ["time"], format: "unix-ms" },
            columns: { value: "value" },
            speed: 600,
          },
        },
      ],
    };
  });
}

/** Until a pack of every device is anchored. */
async function published(city: City): Promise<void> {
  const [operator] = city.run.operators;
  const waiting = new Set(city.run.devices.map((d) => d.streams[0]?.streamId as Hex));
  for (const end = Date.now() + 300_000; waiting.size > 0; await sleep(500)) {
    if (Date.now() > end) throw new Error(`${waiting.size} devices have not published within five minutes`);
    for (const id of waiting) {
      const response = await fetch(`${operator?.url}/streams/${id}`);
      const info = response.ok ? ((await response.json()) as { head: unknown }) : { head: null };
      if (info.head) waiting.delete(id);
    }
  }
}

/** How many devices the registry has in a TPM, attested as what may boot. */
async function attested({ contracts, run }: City): Promise<number> {
  const { BootPolicy, DeviceRegistry } = contracts;
  const found = await Promise.all(
    run.devices.map(async ({ deviceId }) => {
      const view = await DeviceRegistry.device(deviceId);
      const { pcrDigest, quotedAtMs } = await DeviceRegistry.freshnessOf(deviceId);
      return view.assurance === 2n && (await BootPolicy.accepts(view.policyId, pcrDigest, quotedAtMs));
    }),
  );
  return found.filter(Boolean).length;
}

/** Runs `work` again and again and returns how often a second. */
async function rate(forMs: number, work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  let count = 0;
  for (; performance.now() - started < forMs; count++) await work();
  return count / ((performance.now() - started) / 1000);
}

const median = (numbers: number[]) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] as number;
const rounded = (x: number) => Number(x.toPrecision(3));

/** All TPMs at once, each with the key that its device is enrolled with. */
async function fleet(layout: Layout, names: string[]): Promise<number> {
  const running = [];
  const elements: TpmElement[] = [];
  try {
    for (const name of names) {
      const swtpm = await startSwtpm(layout.tpm(name));
      running.push(swtpm);
      const raw = readJson<{ element: object }>(layout.deviceConfig(name)) as { element: object };
      const config = parseConfig({ ...raw, element: { ...raw.element, tpm: swtpm.address } }, layout.device(name));
      await measureAgent(config);
      elements.push(await openTpmElement(config));
    }
    for (const element of elements)
      if (!verifySignature(await element.spki(), MESSAGE, await element.sign(MESSAGE)))
        throw new Error(`${element.deviceId} signs wrongly`);
    const rates = await Promise.all(elements.map((element) => rate(FLEET_MS, () => element.sign(MESSAGE))));
    return rates.reduce((sum, r) => sum + r, 0);
  } finally {
    for (const element of elements) await element.close();
    await Promise.all(running.map((swtpm) => swtpm.stop()));
  }
}

/** One TPM and one key: through our connection, and with a tpm2_sign process a signature, in turn. */
async function compared(root: string): Promise<{ client: number; tpm2Sign: number }> {
  const folder = join(root, "compared");
  await manufacture(folder, join(root, "maker"));
  const shared = await startShared(folder, root);
  const digest = createHash("sha256").update(MESSAGE).digest();
  writeFileSync(join(root, "digest"), digest);
  const ours = async <T>(work: (tpm: Tpm) => Promise<T>): Promise<T> => {
    const tpm = await Tpm.open(shared.address);
    try {
      return await work(tpm);
    } finally {
      await tpm.close();
    }
  };
  try {
    await ours(async (tpm) => {
      await tpm.startup();
      const srk = await tpm.createPrimary(RH.OWNER, SRK);
      await tpm.evictControl(await tpm.load(srk, await tpm.create(srk, plainSigningKey())), 0x81000010);
      await tpm.flushAll();
    });
    const [client, tools]: number[][] = [[], []];
    for (let round = 0; round < rounds; round++) {
      client!.push(
        await ours(async (tpm) => {
          const key = await tpm.readPublic(0x81000010);
          return rate(ROUND_MS, () => tpm.sign(key, digest));
        }),
      );
      const sign = () => shared.run("tpm2_sign", "-c", "0x81000010", "-g", "sha256", "-d", "digest", "-o", "signature");
      tools!.push(await rate(ROUND_MS, sign));
    }
    return { client: median(client!), tpm2Sign: median(tools!) };
  } finally {
    await shared.stop();
  }
}

async function main(): Promise<number> {
  const missing = missingSwtpm() ?? missingTools;
  if (missing) {
    say(missing);
    return 1;
  }
  const root = mkdtempSync(join(tmpdir(), "msec-devices-"));
  let city: City | undefined;
  process.once("SIGINT", () => void city?.stop().finally(() => process.exit(130)));
  try {
    const started = Date.now();
    const folder = join(root, "city");
    mkdirSync(folder);
    const made = plans(root);
    city = await up(folder, made, { progress: say, size: { operators: 2, markets: 2 } });
    const upSeconds = (Date.now() - started) / 1000;
    say("every device publishes");
    await published(city);
    const publishingSeconds = (Date.now() - started) / 1000;
    const trusted = await attested(city);
    await city.stop();
    city = undefined;
    say("signing: one key, our connection and tpm2_sign in turn");
    const { client, tpm2Sign } = await compared(root);
    say("signing: all TPMs at once");
    const all = await fleet(
      new Layout(folder),
      made.map((p) => p.name),
    );
    const figures = {
      devices: trusted,
      signaturesPerSecond: rounded(all),
      signaturesRatioToTpm2Sign: rounded(all / tpm2Sign),
      oneTpm: {
        signaturesPerSecond: rounded(client),
        tpm2SignPerSecond: rounded(tpm2Sign),
        ratio: rounded(client / tpm2Sign),
      },
      upSeconds: rounded(upSeconds),
      publishingSeconds: rounded(publishingSeconds),
      machine: machine(),
      loadAverage: load(),
    };
    process.stdout.write(`${JSON.stringify(figures, undefined, 2)}\n`);
    if (values.json) writeFileSync(values.json, `${JSON.stringify(figures, undefined, 2)}\n`);
    return trusted === devices ? 0 : 1;
  } finally {
    await city?.stop();
    rmSync(root, { recursive: true, force: true });
  }
}

if (values.help) process.stdout.write(HELP);
else if (![devices, rounds].every((n) => Number.isInteger(n) && n > 0 && n <= 200)) {
  process.stderr.write(`devices and rounds are whole numbers from 1 to 200\n\n${HELP}`);
  process.exitCode = 2;
} else process.exitCode = await main();
