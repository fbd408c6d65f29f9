import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeBundle } from "@msec/core";
import { anchorAll, committee, TestStream, windowBundle } from "../../packages/core/test/city.ts";

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

const missing = !existsSync(CHROMIUM);
if (missing) console.log(`skipped: there is no ${CHROMIUM}; install Debian's chromium or set CHROMIUM_PATH`);

/** What the page offers to the test. */
interface InPage {
  mismatches(file: unknown): string[];
  verify(bundle: unknown): { packs: number; readings: number };
  decodeBundle(text: string): unknown;
}

async function bundleForBrowsers(): Promise<string> {
  const result = await build({
    stdin: {
      contents: `export { mismatches } from "./vectors/operations.ts"; export { verify, decodeBundle } from "./src/index.ts";`,
      resolveDir: core,
      loader: "ts",
    },
    bundle: true,
    write: false,
    format: "iife",
    globalName: "msec",
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
      ["/core.js", ["text/javascript", await bundleForBrowsers()]],
      ["/window.bundle.json", ["application/json", largeWindow()]],
      ...vectors.map((name): [string, [string, string]] => [
        `/vectors/${name}`,
        ["application/json", readFileSync(join(core, "vectors", name), "utf8")],
      ]),
    ]);
    server = createServer((request, response) => {
      const file = files.get(request.url ?? "");
      response.writeHead(file ? 200 : 404, { "content-type": `${file?.[0] ?? "text/plain"}; charset=utf-8` });
      response.end(file?.[1]);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    context = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args: FLAGS });
    page = await context.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
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
});
