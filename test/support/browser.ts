import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { type TestWallet } from "./wallet.ts";

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
/** Longer than anything takes that comes at all: a page waits for a chain, operators and a worker. */
const PATIENCE_MS = 90_000;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Why there is no browser to test with; undefined where there is one. */
export const missingChromium = (): string | undefined =>
  existsSync(CHROMIUM) ? undefined : `there is no ${CHROMIUM}; install Debian's chromium or set CHROMIUM_PATH`;

/** A browser with a fresh profile, which notes what pages must not do: errors on the console, requests off this machine. */
export class TestBrowser {
  readonly #profile: string;
  readonly context: BrowserContext;
  /** What a page did that no page may; a test expects it to be empty. */
  readonly wrongs: string[] = [];
  /** Console errors that a test brings about on purpose. */
  readonly #expected: RegExp[] = [];

  private constructor(profile: string, context: BrowserContext) {
    this.#profile = profile;
    this.context = context;
  }

  static async open(): Promise<TestBrowser> {
    const profile = mkdtempSync(join(tmpdir(), "msec-chromium-"));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: CHROMIUM,
      args: FLAGS,
      viewport: { width: 1280, height: 900 },
      acceptDownloads: true,
    });
    context.setDefaultTimeout(PATIENCE_MS);
    return new TestBrowser(profile, context);
  }

  /** From here on an error on the console that fits is what a test wants. */
  expectError(pattern: RegExp): void {
    this.#expected.push(pattern);
  }

  async page(wallet?: TestWallet): Promise<Page> {
    const page = await this.context.newPage();
    page.on("console", (message) => {
      if (message.type() !== "error") return;
      const text = message.text();
      if (!this.#expected.some((pattern) => pattern.test(text)))
        this.wrongs.push(`${page.url()}: ${text} (${message.location().url})`);
    });
    page.on("pageerror", (error) => this.wrongs.push(`${page.url()}: ${error.message}`));
    page.on("request", (request) => {
      const { protocol, hostname } = new URL(request.url());
      const local = hostname === "localhost" || hostname === "127.0.0.1";
      if (protocol.startsWith("http") && !local) this.wrongs.push(`a request to ${hostname}`);
    });
    await wallet?.into(page);
    return page;
  }

  async close(): Promise<void> {
    await this.context.close();
    rmSync(this.#profile, { recursive: true, force: true });
  }
}

/** What of WCAG 2.2 AA a page breaks, a line a rule. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  await page.evaluate(`${axe};0`);
  return page.evaluate(async () => {
    const { run } = (window as unknown as { axe: { run: (options: object) => Promise<{ violations: Violation[] }> } })
      .axe;
    interface Violation {
      id: string;
      help: string;
      nodes: { html: string }[];
    }
    const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
    const { violations } = await run({ runOnly: rules });
    return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes[0]?.html.slice(0, 200)}`);
  });
}

/** What of WCAG 2.2 AA these pages of a site break, in each language and theme, a line a rule; `ready` waits until a page has come. */
export async function problemsEverywhere(
  page: Page,
  site: string,
  routes: readonly string[],
  ready: (route: string) => Promise<unknown>,
): Promise<string[]> {
  const wrong: string[] = [];
  for (const colorScheme of ["light", "dark"] as const) {
    // Before the page comes: colours that change are seen half changed.
    await page.emulateMedia({ colorScheme });
    for (const locale of ["en", "es", "ja"])
      for (const route of routes) {
        await page.goto(`${site}/${locale}${route}`);
        await ready(route);
        for (const problem of await accessibilityProblems(page))
          wrong.push(`${colorScheme} ${locale}${route}: ${problem}`);
      }
  }
  await page.emulateMedia({ colorScheme: null });
  return wrong;
}

/** How a page came up: milliseconds to its largest paint, of blocked main thread beyond 50 a task, and its layout shift. */
export interface Vitals {
  largestPaintMilliseconds: number;
  blockingMilliseconds: number;
  layoutShift: number;
}

const QUIET_MS = 2_000;

/** What Lighthouse would look at, of a page without a cache. */
export async function vitals(page: Page, url: string): Promise<Vitals> {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Network.setCacheDisabled", { cacheDisabled: true });
  await page.addInitScript(() => {
    const seen = { largestPaintMilliseconds: 0, blockingMilliseconds: 0, layoutShift: 0 };
    Object.assign(window, { testVitals: seen });
    const watch = (
      type: string,
      take: (entry: PerformanceEntry & { value?: number; hadRecentInput?: boolean }) => void,
    ) => new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true });
    watch("largest-contentful-paint", ({ startTime }) => (seen.largestPaintMilliseconds = startTime));
    watch("longtask", ({ duration }) => (seen.blockingMilliseconds += Math.max(0, duration - 50)));
    watch("layout-shift", ({ value = 0, hadRecentInput }) => (seen.layoutShift += hadRecentInput ? 0 : value));
  });
  await page.goto(url, { waitUntil: "load" });
  await page.waitForTimeout(QUIET_MS);
  const seen = await page.evaluate(() => (window as unknown as { testVitals: Vitals }).testVitals);
  await devtools.detach();
  return seen;
}

/** Bytes that came over the network for a page until its last part stands, compressed as they came. What it asks again and again counts once. */
export async function weigh(page: Page, url: string, last: string): Promise<{ kilobytes: number }> {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Network.enable");
  await devtools.send("Network.setCacheDisabled", { cacheDisabled: true });
  const asked = new Map<string, string>();
  const weights = new Map<string, number>();
  devtools.on("Network.requestWillBeSent", ({ requestId, request: { url: to, postData = "" } }) => {
    asked.set(requestId, `${to} ${postData.replace(/"id":\d+/g, "")}`);
  });
  devtools.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    const what = asked.get(requestId) ?? requestId;
    if (!weights.has(what)) weights.set(what, encodedDataLength);
  });
  await page.goto(url, { waitUntil: "networkidle" });
  await page.locator(last).waitFor();
  await page.waitForLoadState("networkidle");
  await devtools.detach();
  return { kilobytes: Math.round([...weights.values()].reduce((sum, bytes) => sum + bytes, 0) / 1024) };
}

/** Adds what was measured to the file that is asked for. */
export function writeFigures(figures: Record<string, number>): void {
  console.log(
    Object.entries(figures)
      .map(([name, value]) => `${name} ${value}`)
      .join(", "),
  );
  const file = process.env.MSEC_BROWSER_JSON;
  if (!file) return;
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as object) : {};
  writeFileSync(file, `${JSON.stringify({ ...before, ...figures }, null, 2)}\n`);
}
