import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeBundle, streamOf, toHex } from "@msec/core";
import { csvOf, type Offer } from "@msec/trade";
import { anchorAll, committee, TestStream, windowBundle } from "../../packages/core/test/city.ts";
import { answerOf, DEPLOYED, listen } from "../../packages/trade/test/operator.ts";

// The protocol in a real browser: every vector, and how fast a window is verified there.

const CHROMIUM = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];
const core = fileURLToPath(new URL("../../packages/core/", import.meta.url));
const vectors = readdirSync(join(core, "vectors")).filter((name) => name.endsWith(".json"));
const SLOT = 29_000_000;
const PACKS = 200;

const CORE = `export { mismatches } from "./vectors/operations.ts"; export { verify, decodeBundle } from "./src/index.ts";`;
const TRADE = `export { purchase } from "./purchase.ts"; export * from "@msec/trade";`;
const API = "/api/operators/0";
/** A window that a worker buys. */
const sold = new TestStream().fill(SLOT, 150);

const missing = !existsSync(CHROMIUM);
if (missing) console.log(`skipped: there is no ${CHROMIUM}; install Debian's chromium or set CHROMIUM_PATH`);

/** What the page offers to the test. */
interface InPage {
  mismatches(file: unknown): string[];
  verify(bundle: unknown): { packs: number; readings: number };
  decodeBundle(text: string): unknown;
}

async function bundleForBrowsers(contents: string, resolveDir: string, globalName: string): Promise<string> {
  const result = await build({
    stdin: { contents, resolveDir, loader: "ts" },
    bundle: true,
    write: false,
    format: "iife",
    globalName,
    platform: "browser",
    target: "es2022",
    metafile: true,
  });
  const inputs = Object.keys(result.metafile.inputs);
  expect(inputs.some((name) => name.endsWith("native/web.ts"))).toBe(true);
  expect(inputs.some((name) => name.endsWith("native/node.ts") || name.startsWith("node:"))).toBe(false);
  return result.outputFiles[0]?.text as string;
}

/** A window of packs of 100 readings, as it is saved. */
function largeWindow(): string {
  const stream = new TestStream();
  for (let k = 0; k <= PACKS; k++)
    stream.add(
      Array.from({ length: 100 }, (_, i) => ({
        n: i % 2 ? "CO" : "T",
        u: i % 2 ? "mg/m3" : "Cel",
        v: ((k * 100 + i) % 997) / 10,
        tMs: (SLOT + k) * 60_000 + i * 10,
      })),
    );
  return encodeBundle(windowBundle(stream, anchorAll(stream, committee()), SLOT, SLOT + PACKS - 1));
}

describe.skipIf(missing)("in a browser", () => {
  let server: Server;
  let context: BrowserContext;
  let page: Page;
  const profile = mkdtempSync(join(tmpdir(), "msec-chromium-"));

  beforeAll(async () => {
    const files = new Map<string, [type: string, body: string]>([
      ["/", ["text/html", `<!doctype html><meta charset="utf-8"><title>core</title><script src="/core.js"></script>`]],
      ["/core.js", ["text/javascript", await bundleForBrowsers(CORE, core, "msec")]],
      ["/trade.js", ["text/javascript", await bundleForBrowsers(TRADE, import.meta.dirname, "trade")]],
      ["/window.bundle.json", ["application/json", largeWindow()]],
      ...vectors.map((name): [string, [string, string]] => [
        `/vectors/${name}`,
        ["application/json", readFileSync(join(core, "vectors", name), "utf8")],
      ]),
    ]);
    const answer = answerOf(sold, anchorAll(sold, committee()));
    const listening = await listen((request, response, body) => {
      const path = request.url ?? "";
      const file = files.get(path);
      const found = path.startsWith(API) ? answer(path.slice(API.length), body) : undefined;
      const type = found ? "application/json" : (file?.[0] ?? "text/plain");
      response.writeHead(file || found ? 200 : 404, { "content-type": `${type}; charset=utf-8` });
      response.end(found ? JSON.stringify(found) : file?.[1]);
    });
    server = listening.server;
    context = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args: FLAGS });
    page = await context.newPage();
    await page.goto(`${listening.url}/`);
  });

  afterAll(async () => {
    await context?.close();
    server?.close();
    rmSync(profile, { recursive: true, force: true });
  });

  test.each(vectors.filter((name) => !name.includes("bundle")))("%s", async (name) => {
    const wrong = await page.evaluate(async (path) => {
      const { mismatches } = (globalThis as unknown as { msec: InPage }).msec;
      const file = (await (await fetch(path)).json()) as { cases: unknown[] };
      return { wrong: mismatches(file), cases: file.cases.length };
    }, `/vectors/${name}`);
    expect(wrong.wrong).toEqual([]);
    expect(wrong.cases).toBeGreaterThan(1);
  });

  test("verifies a window, and says how fast", async () => {
    const result = await page.evaluate(async () => {
      const { verify, decodeBundle } = (globalThis as unknown as { msec: InPage }).msec;
      const text = await (await fetch("/window.bundle.json")).text();
      const times: number[] = [];
      let report = { packs: 0, readings: 0 };
      for (let i = 0; i < 4; i++) {
        const start = performance.now();
        report = verify(decodeBundle(text));
        times.push(performance.now() - start);
      }
      return { packs: report.packs, readings: report.readings, times, agent: navigator.userAgent };
    });
    expect(result).toMatchObject({ packs: PACKS, readings: PACKS * 100 });
    const [first, ...warm] = result.times as [number, ...number[]];
    const rate = (ms: number) => Math.round(result.readings / (ms / 1000)).toLocaleString("en");
    console.log(`${result.agent}: ${rate(first)} readings/s the first time, ${rate(Math.min(...warm))} warm`);
  });

  test("buys a window in a worker, by paths of its own origin, and writes the rows that the device measured", async () => {
    const account = (byte: string) => `0x${byte.repeat(20)}` as const;
    const offer = {
      ...{ offerId: toHex(new Uint8Array(32)), streamId: sold.id, stream: streamOf(sold.preimage), open: true },
      ...{ seller: account("5e"), deliverer: account("d1"), fallbackDeliverer: account("d2") },
      ...{ token: DEPLOYED.addresses.MSecToken, feePerMille: 50, deliverSeconds: 60, complainSeconds: 60 },
      ...{ fromSlot: 0, toSlot: 0xffffffff, terms: toHex(new Uint8Array(32)) },
    };
    const found = await page.evaluate(
      ({ api, deployed, offer, slots, seed }) => {
        // Amounts are bigints, which a test can't hand to a page.
        const work = `importScripts("${location.origin}/trade.js");
          const offer = { ...${JSON.stringify(offer)}, unitPrice: 10n, bond: 0n };
          trade.purchase("${api}", ${JSON.stringify(deployed)}, offer, ${slots}, "${seed}").then(
            (done) => postMessage(done), (error) => postMessage({ error: String(error) }));`;
        return new Promise<Record<string, unknown>>((resolve, reject) => {
          const worker = new Worker(URL.createObjectURL(new Blob([work], { type: "text/javascript" })));
          worker.onmessage = ({ data }) => resolve(data as Record<string, unknown>);
          worker.onerror = ({ message }) => reject(new Error(message));
        });
      },
      {
        api: API,
        deployed: DEPLOYED,
        offer: offer satisfies Omit<Offer, "unitPrice" | "bond">,
        slots: [SLOT + 1, SLOT + 140].join(),
        seed: toHex(sold.seed),
      },
    );
    expect(found).toMatchObject({ packs: 140, readings: 140, price: "1400" });
    const rows = Array.from({ length: 140 }, (_, i) => {
      const tMs = (SLOT + 1 + i) * 60_000 + 500;
      return { n: "CO", u: "mg/m3", v: 1 + (i + 1) / 10, tMs };
    });
    expect(found.csv).toBe(csvOf(sold.preimage.schema, rows));
    const told = found.told as string[];
    for (const step of ["loaded 100/140", "loaded 140/140", "checked 140/140", "opened 140/140", "verified 140/140"])
      expect(told).toContain(step);
  });
});
