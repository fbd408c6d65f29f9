import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Network, NETWORKS } from "../../apps/cli/src/city/chain.ts";
import { up } from "../../apps/cli/src/city/up.ts";
import { Anchored } from "./anchored.ts";
import { enrol, makeDevice, register } from "./fleet.ts";
import { baseline, load, machine, usage, type Usage } from "./machine.ts";
import { PackFile, prepareAll, READINGS, start } from "./packs.ts";
import { Senders } from "./senders.ts";

// How many readings a second go the whole way: broker, verification, database, epoch, chain.

const HELP = `usage: node test/load/load.ts [options]

Sends packs of ${READINGS} readings from simulated devices through a city of its own and counts what the chain holds.

  --seconds N     how long packs are offered (default 30)
  --devices N     devices, one stream each (default 100, at most 1000)
  --operators N   1: one operator's pipeline (default); 4: all four on this machine
  --network NAME  embedded (default) or quorum: four GoQuorum validators (GOQUORUM_BIN)
  --rate N        readings offered a second; without it as fast as receipts allow
  --window N      packs of a device without a receipt (default 10)
  --json FILE     writes the figures as JSON
  --profile DIR   writes V8 CPU profiles of broker and operators
  --quiet         prints the figures only
  --help          this
`;

class UsageError extends Error {}

interface Options {
  seconds: number;
  devices: number;
  operators: number;
  network: Network;
  rate: number | undefined;
  window: number;
  json: string | undefined;
  profile: string | undefined;
  quiet: boolean;
}

function options(): Options | undefined {
  let values: Record<string, string | boolean | undefined>;
  try {
    const text = { type: "string" } as const;
    const flag = { type: "boolean" } as const;
    values = parseArgs({
      options: {
        seconds: text,
        devices: text,
        operators: text,
        network: text,
        rate: text,
        window: text,
        json: text,
        profile: text,
        quiet: flag,
        help: flag,
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (values.help) return undefined;
  const whole = (name: string, fallback: number | undefined, most: number): number => {
    const given = values[name];
    const n = given === undefined ? fallback : Number(given);
    if (n === undefined || !Number.isInteger(n) || n < 1 || n > most)
      throw new UsageError(`--${name} takes a whole number from 1 to ${most}, not ${String(given)}`);
    return n;
  };
  const operators = whole("operators", 1, 4);
  if (operators !== 1 && operators !== 4) throw new UsageError(`--operators takes 1 or 4, not ${operators}`);
  const network = NETWORKS.find((name) => name === (values.network ?? "embedded"));
  if (!network) throw new UsageError(`--network takes ${NETWORKS.join(" or ")}, not ${String(values.network)}`);
  return {
    seconds: whole("seconds", 30, 86_400),
    devices: whole("devices", 100, 1000),
    operators,
    network,
    rate: values.rate === undefined ? undefined : whole("rate", undefined, 10_000_000),
    window: whole("window", 10, 10_000),
    json: values.json as string | undefined,
    profile: values.profile as string | undefined,
    quiet: values.quiet === true,
  };
}

/** Packs of each device in each of two warm-ups: the second shows how many the measured run needs. */
const WARM_UP = 20;
const DRAIN_MS = 120_000;

async function measure(o: Options, root: string, signal: AbortSignal, cleanUp: (work: () => Promise<void>) => void) {
  const say = (line: string) => {
    if (!o.quiet) process.stderr.write(`${line}\n`);
    signal.throwIfAborted();
  };
  const loadBefore = load();
  const names = ["broker", ...Array.from({ length: o.operators }, (_, i) => `operator-${i + 1}`)];
  const profiled = (name: string) => ({
    NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${resolve(o.profile as string, name)}`,
  });
  const city = await up(join(root, "city"), [], {
    progress: say,
    size: { operators: o.operators, markets: 0 },
    network: o.network,
    ...(o.profile ? { env: Object.fromEntries(names.map((name) => [name, profiled(name)])) } : {}),
  });
  cleanUp(() => city.stop());
  say(`${o.devices} devices: enrolment, streams, seeds`);
  const devices = Array.from({ length: o.devices }, (_, n) => makeDevice(n));
  await enrol(city, devices);
  await register(city, devices);

  const packs = join(root, "packs");
  mkdirSync(packs);
  const { cores } = machine();
  let lines = devices.map(start);
  const prepare = async (count: number) => {
    lines = await prepareAll(packs, devices, lines, count, cores, signal);
  };
  await prepare(WARM_UP);
  const files = devices.map((_, n) => new PackFile(packs, n));
  const senders = await Senders.connect(city.run.broker, devices, files, o.operators, o.window);
  cleanUp(() => senders.close());
  const anchored = await Anchored.follow(city, senders.sent);
  cleanUp(() => anchored.stop());
  let warmRate = 0;
  for (const round of ["first", "second"]) {
    say(`warm-up, ${round} of two`);
    const warmStart = performance.now();
    await senders.run(() => signal.aborted);
    await drain(senders, anchored, signal);
    warmRate = (o.devices * WARM_UP) / ((anchored.lastAt - warmStart) / 1000);
    if (round === "first") await prepare(WARM_UP);
  }
  const perSecond = o.rate === undefined ? 2 * warmRate : (o.rate / READINGS) * 1.05;
  const count = Math.ceil((perSecond * o.seconds) / o.devices) + 1;
  say(`preparing ${count * o.devices} packs; the warm-up took ${Math.round(warmRate * READINGS)} readings a second`);
  await prepare(count);
  const perCore = baseline();

  const processes: Record<string, number> = {
    ...city.run.processes,
    ...city.run.chain.pids,
    ...(city.run.postgres ? { postgres: city.run.postgres.pid } : {}),
    devices: process.pid,
  };
  const used = (): Record<string, Usage> =>
    Object.fromEntries(Object.entries(processes).map(([name, pid]) => [name, usage(pid, pid !== process.pid)]));
  const sentBefore = senders.sent.packs;
  const resentBefore = senders.sent.resent;
  anchored.reset();
  say(`offering packs for ${o.seconds} s`);
  const before = used();
  const started = performance.now();
  await senders.run(() => signal.aborted || performance.now() - started >= o.seconds * 1000, o.rate);
  const offered = (performance.now() - started) / 1000;
  await drain(senders, anchored, signal);
  const after = used();
  const loadAfter = load();
  const sent = senders.sent.packs - sentBefore;
  const seconds = (anchored.lastAt - started) / 1000;
  const sorted = anchored.latencies.sort((a, b) => a - b);
  const quantile = (q: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? NaN);
  const readingsPerSecond = Math.round(anchored.readings / seconds);
  const each = (pick: (name: string) => number) =>
    Object.fromEntries(Object.keys(processes).map((name) => [name, Number(pick(name).toFixed(1))]));
  return {
    readingsPerSecond,
    lost: sent * READINGS - anchored.readings,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    gasPerReading: Number((Number(anchored.gas) / anchored.readings).toFixed(2)),
    seconds: Number(seconds.toFixed(1)),
    askedSeconds: o.seconds,
    offeredSeconds: Number(offered.toFixed(1)),
    readings: anchored.readings,
    packs: anchored.packs,
    epochs: anchored.epochs,
    strangers: anchored.strangers,
    resent: senders.sent.resent - resentBefore,
    refused: senders.sent.refused.length,
    ...(senders.sent.refused[0] === undefined ? {} : { firstRefusal: senders.sent.refused[0] }),
    network: o.network,
    operators: o.operators,
    devices: o.devices,
    readingsPerPack: READINGS,
    window: o.window,
    offeredReadingsPerSecond: o.rate ?? "as fast as receipts allow",
    cpuSecondsPerProcess: each((name) => (after[name] as Usage).cpuSeconds - (before[name] as Usage).cpuSeconds),
    memoryMbPerProcess: each((name) => (after[name] as Usage).memoryMb),
    baseline: { what: "ES256 verifications a second by Node, one thread, city idle", perSecond: perCore },
    ratioToBaseline: Number((readingsPerSecond / perCore).toFixed(2)),
    machine: { ...machine(), loadBefore, loadAfter },
  };
}

/** Waits until everything that was sent is anchored, or nothing more comes. */
async function drain(senders: Senders, anchored: Anchored, signal: AbortSignal): Promise<void> {
  let missing = anchored.missing();
  let since = performance.now();
  while (anchored.missing() > 0 && performance.now() - since < DRAIN_MS) {
    signal.throwIfAborted();
    await sleep(20);
    senders.resend();
    if (anchored.missing() === missing) continue;
    missing = anchored.missing();
    since = performance.now();
  }
}

type Figures = Awaited<ReturnType<typeof measure>>;

function print(f: Figures): void {
  const number = (n: number) => n.toLocaleString("en");
  const list = (record: Record<string, number>) =>
    Object.entries(record)
      .map(([name, value]) => `${name} ${number(value)}`)
      .join(", ");
  const { machine: m } = f;
  const rows: [string, string][] = [
    ["readings a second", number(f.readingsPerSecond)],
    ["lost", number(f.lost)],
    ["sent to anchored", `p50 ${number(f.p50Ms)} ms, p99 ${number(f.p99Ms)} ms`],
    ["gas a reading", String(f.gasPerReading)],
    ["readings", `${number(f.readings)} in ${number(f.packs)} packs and ${f.epochs} epochs, ${f.seconds} s`],
    ["CPU seconds", list(f.cpuSecondsPerProcess)],
    ["memory (MB)", list(f.memoryMbPerProcess)],
    ["baseline", `${number(f.baseline.perSecond)} ${f.baseline.what}; readings/baseline ${f.ratioToBaseline}`],
    ["machine", `${m.cores} cores, ${m.model}, ${number(m.memoryMb)} MB; load before ${m.loadBefore.join(" ")}`],
  ];
  if (f.refused > 0) rows.push(["refused", `${f.refused}: ${f.firstRefusal}`]);
  if (f.resent > 0) rows.push(["sent again", number(f.resent)]);
  if (f.offeredSeconds < 0.95 * f.askedSeconds)
    rows.push(["note", `the packs lasted ${f.offeredSeconds} s: the run was more than twice as fast as its warm-up`]);
  for (const [name, value] of rows) process.stdout.write(`${name.padEnd(20)}${value}\n`);
}

async function main(): Promise<number> {
  const o = options();
  if (o === undefined) {
    process.stdout.write(HELP);
    return 0;
  }
  const stop = new AbortController();
  const works: (() => Promise<void>)[] = [];
  const interrupt = () => stop.abort(new Error("interrupted"));
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  const root = mkdtempSync(join(tmpdir(), "msec-load-"));
  try {
    const figures = await measure(o, root, stop.signal, (work) => works.unshift(work));
    if (o.json) writeFileSync(o.json, `${JSON.stringify(figures, null, 2)}\n`);
    print(figures);
    return figures.lost === 0 && figures.strangers === 0 ? 0 : 1;
  } finally {
    for (const work of works) await work().catch((error: Error) => process.stderr.write(`${error.message}\n`));
    rmSync(root, { recursive: true, force: true });
  }
}

main().then(
  (code) => process.exit(code),
  (error: Error) => {
    process.stderr.write(`load: ${error.message}\n`);
    if (error instanceof UsageError) process.stderr.write(HELP);
    process.exit(error instanceof UsageError ? 2 : 1);
  },
);
