import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeBundle, encodeBundle, FLAG, type Hex, MODE, ProtocolError, verify } from "@msec/core";
import { isManager, NetworkFolder, readPlan } from "@msec/quorum";
import { writeJson } from "@msec/service";
import { csvOf, headerOf, Operators, type StreamInfo, TradeError } from "@msec/trade";
import { type Network } from "./city/chain.ts";
import { type City, up } from "./city/up.ts";
import { checkContracts } from "./contracts.ts";
import { ownCsvPlan } from "./city/own-csv.ts";
import { cityPlans } from "./city/plans.ts";
import { buy, type Purchase, type Shop } from "./market/buy.ts";
import { listOffers } from "./market/offers.ts";
import { bold, dim, good, print, time } from "./output.ts";
import { seriesOf, svgPlot, textPlot } from "./plot.ts";
import { Problem } from "./problem.ts";
import { verifyFile } from "./verify.ts";

const MANIFEST_MS = 60_000;

/** What one step of a demonstration showed. */
export interface Step {
  step: string;
  shown: string;
  seconds: number;
}

export class Story {
  readonly steps: Step[] = [];
  readonly #quiet: boolean;
  #since = Date.now();

  constructor(quiet = false) {
    this.#quiet = quiet;
  }

  tell = (step: string, shown: string): void => {
    const seconds = (Date.now() - this.#since) / 1000;
    this.#since = Date.now();
    this.steps.push({ step, shown, seconds: Number(seconds.toFixed(1)) });
    if (!this.#quiet) print(`${good("✓")} ${bold(step)}  ${shown} ${dim(`${seconds.toFixed(1)} s`)}`);
  };
}

/** The shop of a city's buyer. */
export function shopOf(city: City, progress: Shop["progress"]): Shop {
  return {
    contracts: city.contracts,
    provider: city.provider,
    deployment: city.run.deployment,
    operators: new Operators(city.run.operators.map((o) => o.url)),
    buyer: city.people.buyer,
    purchases: city.layout.purchases,
    subscriptions: city.layout.subscriptions,
    progress,
  };
}

/** Waits until a stream has so many slots anchored, and one more after them. */
export async function awaitSlots(shop: Shop, streamId: Hex, slots: number, timeoutMs = 120_000): Promise<StreamInfo> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    try {
      const info = await shop.operators.stream(streamId);
      const ended =
        info.preimage.mode === MODE.dataset &&
        info.head !== null &&
        info.pending === 0 &&
        (await isEnded(shop, streamId));
      if (
        info.preimage.mode === MODE.dataset
          ? ended
          : info.firstSlot !== null && (info.lastSlot ?? 0) > info.firstSlot + slots
      )
        return info;
    } catch (error) {
      if (!(error instanceof TradeError)) throw error;
    }
    if (Date.now() > end)
      throw new Problem(
        `after ${timeoutMs / 1000} s too little of the stream is anchored: see the logs of its device and operators`,
      );
    await sleep(300);
  }
}

async function isEnded(shop: Shop, streamId: Hex): Promise<boolean> {
  const page = await shop.operators.window(streamId, 0, 0);
  const last = page.packs[page.packs.length - 1];
  return last !== undefined && (headerOf(last).flags & FLAG.end) !== 0;
}

/** Writes a purchase for people and for verifiers: bought.csv, bought.svg, proof.json. */
export function writePurchase(out: string, purchase: Purchase): void {
  const { report, bundle } = purchase;
  mkdirSync(out, { recursive: true });
  const { schema } = bundle.stream;
  writeFileSync(join(out, "bought.csv"), csvOf(schema, report.rows));
  const series = seriesOf(schema, report.rows);
  const first = series[0]?.points[0]?.tMs ?? 0;
  const subtitle = `${report.readings} readings from ${time(first)}; proved complete by epoch ${report.epoch.number}`;
  writeFileSync(join(out, "bought.svg"), svgPlot(report.name, subtitle, series));
  writeFileSync(join(out, "proof.json"), encodeBundle(bundle));
}

/** Buys a stretch of one stream and tells what each step showed. */
export async function purchaseStory(
  shop: Shop,
  streamId: Hex,
  slots: number,
  out: string,
  story: Story,
): Promise<Purchase> {
  const info = await awaitSlots(shop, streamId, slots);
  const head = info.head as { seq: number };
  story.tell(
    "measured and anchored",
    `${info.preimage.name}: ${head.seq} packs signed and encrypted on the device, checked by ${shop.operators.urls.length} operators, on the chain`,
  );
  const offer = (await listOffers(shop.contracts)).find((o) => o.streamId === streamId && o.open);
  if (!offer) throw new Problem(`no open offer for ${info.preimage.name}`);
  const from = info.firstSlot as number;
  const to = info.preimage.mode === MODE.dataset ? 0 : from + slots - 1;
  const purchase = await buy(shop, offer, info.preimage.mode === MODE.dataset ? 0 : from, to);
  const { report } = purchase;
  story.tell(
    "opened and verified",
    `${report.readings} readings in ${report.packs} packs: every one hashes to what the device signed, nothing left out; ${report.emptySlots} empty slots, ${report.gaps} gaps, ${report.recorded} packs of recorded data; ${purchase.seconds.toFixed(1)} s after the purchase`,
  );
  writePurchase(out, purchase);
  return purchase;
}

/** Shows that a bundle with one byte changed, or one pack left out, is refused. */
function showRefusals(bundle: Purchase["bundle"], story: Story): void {
  const attempts: [string, (b: Purchase["bundle"]) => void][] = [
    ["one pack left out", (b) => void b.packs.splice(Math.floor(b.packs.length / 2), 1)],
    [
      "one byte changed",
      (b) => {
        const pack = b.packs[0];
        if (!pack?.content) return;
        const bytes = Buffer.from(pack.content, "base64");
        bytes[20] = (bytes[20] as number) ^ 1;
        pack.content = bytes.toString("base64");
      },
    ],
  ];
  const refused = attempts.map(([name, change]) => {
    const copy = decodeBundle(encodeBundle(bundle)) as Purchase["bundle"];
    change(copy);
    try {
      verify(copy);
    } catch (error) {
      if (error instanceof ProtocolError) return `${name}: refused (${error.message})`;
      throw error;
    }
    throw new Problem(`a bundle with ${name} was accepted: this must not happen`);
  });
  story.tell("what does not get through", refused.join("; "));
}

export interface DemoOptions {
  out: string;
  csv?: string;
  network?: Network;
  quiet?: boolean;
}

function chainIn({ run: { chain } }: City): string {
  if (chain.network !== "quorum") return "chain";
  const managers = Object.keys(chain.pids).filter(isManager).length;
  return `four GoQuorum validators, ${managers} of them with a privacy manager`;
}

/** The contracts of a city beside its manifest, this build and the table of roles. Refuses what differs. */
async function contractsStory(city: City, story: Story): Promise<void> {
  // Written beside everything else.
  for (const end = Date.now() + MANIFEST_MS; !existsSync(city.layout.manifest) && Date.now() < end; ) await sleep(200);
  const { contracts, differences } = await checkContracts(city.run.chain.rpc, city.layout.manifest);
  const [first] = differences;
  if (first) throw new Problem(`the contracts are not those of this build: ${JSON.stringify(first)}`);
  story.tell("the same contracts", `${contracts} contracts have this build's bytecode, and roles as the table says`);
}

/** One pass in a city of its own, which is gone afterwards; the results stay in `out`. */
export async function demo(options: DemoOptions): Promise<Record<string, unknown>> {
  const out = resolve(options.out);
  mkdirSync(out, { recursive: true });
  const own = options.csv === undefined ? undefined : await ownCsvPlan(resolve(options.csv));
  const plans = own ? [own.plan] : cityPlans({ park: 28_800, home: 240 });
  const story = new Story(options.quiet);
  const root = mkdtempSync(join(tmpdir(), "msec-demo-"));
  const started = Date.now();
  let city: City | undefined;
  const interrupt = () => {
    void (city?.stop() ?? Promise.resolve()).finally(() => {
      rmSync(root, { recursive: true, force: true });
      process.exit(1);
    });
  };
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  try {
    city = await up(root, plans, {
      progress: () => undefined,
      ...(options.network ? { network: options.network } : {}),
    });
    story.tell(
      "a city of its own",
      `${chainIn(city)}, database, broker, ${city.run.operators.length} operators, ${city.run.markets.length} deliverers, ${city.devices.length} device${city.devices.length === 1 ? "" : "s"}`,
    );
    if (own)
      story.tell(
        "your file",
        `${own.rows} rows${own.ignored.length ? `; not numbers, so not sold: ${own.ignored.join(", ")}` : ""}`,
      );
    const shop = shopOf(city, story.tell);
    const streamId = (city.devices[0] as City["devices"][number]).streams[0]?.streamId as Hex;
    const purchase = await purchaseStory(shop, streamId, 48, out, story);
    showRefusals(purchase.bundle, story);
    const { basis } = await verifyFile(join(out, "proof.json"), { rpc: [city.run.chain.rpc], offline: false });
    story.tell("checked against the chain", basis[0] as string);
    await contractsStory(city, story);
    if (city.run.chain.network === "quorum") {
      const { nodes } = readPlan(new NetworkFolder(city.layout.network));
      const validators = join(out, "validators.json");
      writeJson(
        validators,
        nodes.filter(({ validator }) => validator).map(({ address }) => address),
      );
      const sealed = await verifyFile(join(out, "proof.json"), { rpc: [], offline: true, validators });
      story.tell("checked without it", sealed.basis[0] as string);
    }
    if (!options.quiet) {
      print();
      for (const line of textPlot(seriesOf(purchase.bundle.stream.schema, purchase.report.rows))) print(line);
      print();
    }
    const { report } = purchase;
    const { rows: _, claims: __, ...shown } = report;
    const summary = {
      ok: true,
      seconds: Number(((Date.now() - started) / 1000).toFixed(1)),
      steps: story.steps,
      deal: purchase.dealId,
      transaction: purchase.tx,
      price: purchase.deal.price.toString(),
      secondsToVerifiedData: Number(purchase.seconds.toFixed(1)),
      report: shown,
    };
    writeFileSync(join(out, "report.json"), `${JSON.stringify(summary, null, 2)}\n`);
    return summary;
  } finally {
    await city?.stop();
    rmSync(root, { recursive: true, force: true });
  }
}
