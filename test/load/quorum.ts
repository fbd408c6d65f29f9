import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { PrivacyManager } from "@msec/chain";
import {
  downNetwork,
  findBinary,
  initNetwork,
  isManager,
  type NetworkPlan,
  type NodePlan,
  privacyOf,
  profileOf,
  type RunningNetwork,
  upNetwork,
} from "@msec/quorum";
import { managersElsewhere } from "../support/managers-elsewhere.ts";
import { caliperRun } from "./caliper.ts";
import { load, machine, residentMb } from "./machine.ts";
import { median, type Member, privateRun, publicRun, sendRun } from "./transactions.ts";

// What four GoQuorum validators on this machine take in a second, three of them with a privacy manager of ours.

const HELP = `usage: node test/load/quorum.ts [options]

Puts up a GoQuorum network of its own (GOQUORUM_BIN) and measures public and private transactions, memory, Caliper's round,
and readings anchored by a whole city on such a network.

  --seconds N     how long public transactions are offered, each round (default 30)
  --rate N        public transactions offered a second (default 450)
  --senders N     accounts that send them, signed ahead (default 8)
  --rounds N      rounds of the public and of each private run; medians are told (default 3)
  --json FILE     writes the figures as JSON
  --help          this

MSEC_PRIVACY_MANAGER_URL="Q2T-URL THIRDPARTY-URL,Q2T-URL THIRDPARTY-URL" names two or more Tesseras: then private transactions
of such a network with them, and what they send, are measured in the same run, and the ratios told.
`;

const NETWORK = { chainId: 20_261, validators: 4, observers: 0, blockSeconds: 1 };
const MEMBERS = 3;
const AT_ONCE = [1, 8, 16];
const PRIVATE_SECONDS = 10;
const SENDS_AT_ONCE = [1, 16];
const SEND_SECONDS = 5;
const CALIPER = { rate: 100, seconds: 20, workers: 2 };
const CITY_SECONDS = 20;

class UsageError extends Error {}

const say = (line: string) => process.stderr.write(`${line}\n`);

interface Options {
  seconds: number;
  rate: number;
  senders: number;
  rounds: number;
  json: string | undefined;
}

async function memberOf(plan: NetworkPlan, n: number): Promise<Member> {
  const node = plan.nodes[n - 1] as NodePlan;
  const { q2t, thirdParty } = privacyOf(node) as NonNullable<ReturnType<typeof privacyOf>>;
  const manager = new PrivacyManager(q2t, thirdParty);
  return { profile: profileOf(plan, node), manager, key: (await manager.keys())[0] as string };
}

/** Private transactions of two parties, and what one's manager sends to the other's. */
async function privatelyOn(plan: NetworkPlan, rounds: number) {
  const [a, b] = [await memberOf(plan, 1), await memberOf(plan, 2)];
  const transactions = [];
  for (const atOnce of AT_ONCE) {
    const each = [];
    for (let n = 0; n < rounds; n++) each.push(await privateRun(a, b, atOnce, PRIVATE_SECONDS));
    say(`private transactions, ${atOnce} at once: ${each.join(", ")} a second`);
    transactions.push({ atOnce, perSecond: median(each), rounds: each });
  }
  say("what the privacy managers send");
  const sends = [];
  for (const atOnce of SENDS_AT_ONCE)
    sends.push({ atOnce, perSecond: await sendRun(a.manager, b.key, atOnce, SEND_SECONDS) });
  return { version: await a.manager.version(), transactions, sends };
}

type Privately = Awaited<ReturnType<typeof privatelyOn>>;

/** The same on a network of other managers, where some are named, and how many times theirs ours is. */
async function beside(root: string, ours: Privately, rounds: number) {
  const tesseras = managersElsewhere().slice(0, MEMBERS);
  if (tesseras.length < 2) return undefined;
  const plan = await initNetwork(root, { ...NETWORK, members: tesseras.length, tesseras });
  const running = await upNetwork(root, say);
  try {
    const theirs = await privatelyOn(plan, rounds);
    const ratios = (of: "transactions" | "sends") =>
      ours[of].map(({ atOnce, perSecond }, i) => ({
        atOnce,
        ratio: Number((perSecond / (theirs[of][i] as { perSecond: number }).perSecond).toFixed(2)),
      }));
    return { ...theirs, ratios: { transactions: ratios("transactions"), sends: ratios("sends") } };
  } finally {
    await running.stop();
  }
}

async function onNetwork(o: Options, { plan, pids }: RunningNetwork) {
  const profiles = plan.nodes.map((node) => profileOf(plan, node));
  say("warm-up");
  await publicRun(profiles, { rate: 100, seconds: 5, senders: o.senders });
  const rounds: Awaited<ReturnType<typeof publicRun>>[] = [];
  for (let n = 1; n <= o.rounds; n++) {
    const round = await publicRun(profiles, o);
    say(`public transactions, round ${n} of ${o.rounds}: ${round.perSecond} a second, p50 ${round.p50Ms} ms`);
    rounds.push(round);
  }
  const of = (pick: (r: (typeof rounds)[number]) => number) => median(rounds.map(pick));
  const privately = await privatelyOn(plan, o.rounds);
  const memory = Object.entries(pids()).map(([name, pid]) => [name, residentMb(pid)] as const);
  say(`Caliper: ${CALIPER.rate} transactions a second for ${CALIPER.seconds} s`);
  const caliper = await caliperRun(profiles[0] as (typeof profiles)[0], CALIPER).catch((error: Error) => ({
    failed: error.message,
  }));
  return {
    public: {
      perSecond: of((r) => r.perSecond),
      p50Ms: of((r) => r.p50Ms),
      p95Ms: of((r) => r.p95Ms),
      lost: rounds.reduce((sum, r) => sum + r.lost, 0),
      rounds,
    },
    private: privately,
    nodeMemoryMb: Object.fromEntries(memory.filter(([name]) => !isManager(name))),
    managerMemoryMb: Object.fromEntries(memory.filter(([name]) => isManager(name))),
    caliper,
  };
}

interface CityFigures {
  readingsPerSecond: number;
  lost: number;
  p50Ms: number;
  p99Ms: number;
}

/** The whole city with its four operators on such a network, as `load.ts` measures it. */
function city(root: string): CityFigures {
  const file = join(root, "city.json");
  const script = fileURLToPath(new URL("load.ts", import.meta.url));
  const { status } = spawnSync(
    process.execPath,
    [
      ...["--disable-warning=ExperimentalWarning", script, "--network", "quorum", "--operators", "4"],
      ...["--seconds", String(CITY_SECONDS), "--json", file],
    ],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  if (status !== 0) throw new Error(`the city's load ended with ${status}`);
  return JSON.parse(readFileSync(file, "utf8")) as CityFigures;
}

async function measure(o: Options, version: string) {
  const loadBefore = load();
  const root = mkdtempSync(join(tmpdir(), "msec-load-quorum-"));
  const [network, other] = [join(root, "network"), join(root, "other")];
  const down = async () => {
    for (const one of [network, other]) if (existsSync(one)) await downNetwork(one);
    rmSync(root, { recursive: true, force: true });
  };
  const interrupt = () => void down().finally(() => process.exit(130));
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  try {
    await initNetwork(network, { ...NETWORK, members: MEMBERS });
    const running = await upNetwork(network, say);
    const figures = await onNetwork(o, running);
    await running.stop();
    const others = await beside(other, figures.private, o.rounds);
    say("the whole city on such a network");
    return {
      goQuorum: version,
      validators: NETWORK.validators,
      privacyManagers: MEMBERS,
      blockSeconds: NETWORK.blockSeconds,
      senders: o.senders,
      ...figures,
      ...(others ? { tessera: others } : {}),
      city: city(root),
      machine: { ...machine(), loadBefore, loadAfter: load() },
    };
  } finally {
    await down();
  }
}

type Figures = Awaited<ReturnType<typeof measure>>;

const privateRows = (of: string, p: Privately): [string, string][] => [
  ...p.transactions.map((t): [string, string] => ["private", `${t.perSecond} a second, ${t.atOnce} at once${of}`]),
  ...p.sends.map((t): [string, string] => ["manager's sends", `${t.perSecond} a second, ${t.atOnce} at once${of}`]),
];

function tesseraRows(t: Figures["tessera"]): [string, string][] {
  if (!t) return [];
  const told = (of: "transactions" | "sends") => t.ratios[of].map((r) => `${r.ratio} at ${r.atOnce}`).join(", ");
  return [
    ...privateRows(`, Tessera ${t.version}`, t),
    ["ratio to it", `private ${told("transactions")}; sends ${told("sends")}`],
  ];
}

function print(f: Figures): void {
  const list = (record: Record<string, number>) =>
    Object.entries(record)
      .map(([name, mb]) => `${name} ${mb}`)
      .join(", ");
  const { caliper: c } = f;
  const rows: [string, string][] = [
    ["network", `GoQuorum ${f.goQuorum}, ${f.validators} validators, a block each ${f.blockSeconds} s`],
    [
      "public",
      `${f.public.perSecond} a second by ${f.senders} senders, p50 ${f.public.p50Ms} ms, p95 ${f.public.p95Ms} ms, lost ${f.public.lost}`,
    ],
    ...privateRows("", f.private),
    ...tesseraRows(f.tessera),
    ["nodes (MB)", list(f.nodeMemoryMb)],
    ["managers (MB)", list(f.managerMemoryMb)],
    [
      "Caliper",
      "perSecond" in c
        ? `${c.perSecond} a second of ${c.sendPerSecond} sent, average ${c.averageMs} ms, ${c.failed} failed (${c.workers} workers)`
        : `did not run: ${c.failed.split("\n")[0]}`,
    ],
    ["the whole city", `${f.city.readingsPerSecond} readings a second, p50 ${f.city.p50Ms} ms, lost ${f.city.lost}`],
    ["machine", `${f.machine.cores} cores, ${f.machine.model}; load before ${f.machine.loadBefore.join(" ")}`],
  ];
  for (const [name, value] of rows) process.stdout.write(`${name.padEnd(20)}${value}\n`);
}

function options(): Options | undefined {
  const text = { type: "string" } as const;
  let values: Partial<Record<"seconds" | "rate" | "senders" | "rounds" | "json", string>> & { help?: boolean };
  try {
    ({ values } = parseArgs({
      options: { seconds: text, rate: text, senders: text, rounds: text, json: text, help: { type: "boolean" } },
    }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (values.help) return undefined;
  const whole = (name: "seconds" | "rate" | "senders" | "rounds", fallback: number, most: number) => {
    const n = Number(values[name] ?? fallback);
    if (!Number.isInteger(n) || n < 1 || n > most)
      throw new UsageError(`--${name} takes a whole number from 1 to ${most}, not ${values[name]}`);
    return n;
  };
  return {
    seconds: whole("seconds", 30, 600),
    rate: whole("rate", 450, 2_000),
    senders: whole("senders", 8, 64),
    rounds: whole("rounds", 3, 20),
    json: values.json,
  };
}

async function main(): Promise<number> {
  const o = options();
  if (!o) {
    process.stdout.write(HELP);
    return 0;
  }
  const binary = findBinary();
  if ("missing" in binary) {
    process.stdout.write(`skipped: ${binary.missing}\n`);
    return 0;
  }
  const figures = await measure(o, binary.version);
  if (o.json) writeFileSync(o.json, `${JSON.stringify(figures, null, 2)}\n`);
  print(figures);
  return figures.public.lost === 0 && figures.city.lost === 0 ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (error: Error) => {
    process.stderr.write(`load:quorum: ${error.message}\n`);
    if (error instanceof UsageError) process.stderr.write(HELP);
    process.exit(error instanceof UsageError ? 2 : 1);
  },
);
