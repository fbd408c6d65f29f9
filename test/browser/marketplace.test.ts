import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeBundle, type Hex, purposeHash, verify } from "@msec/core";
import { statusOf } from "@msec/market";
import { STATE } from "@msec/trade";
import { type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { RESEARCH } from "../../apps/cli/src/city/consent.ts";
import { missingChromium, problemsEverywhere, TestBrowser, vitals, weigh, writeFigures } from "../support/browser.ts";
import { csvFile, msec, openPlan, TestCity, until } from "../support/city.ts";
import { TestWallet } from "../support/wallet.ts";

// The marketplace in a real browser, with a wallet whose key is not in it, on a running city.

/** The map with the one stream on it. */
const MAP = '.map canvas[data-streams="1"]';

const missing = missingChromium();
if (missing) console.log(`skipped: ${missing}`);
const built = existsSync(fileURLToPath(new URL("../../apps/marketplace/.next/BUILD_ID", import.meta.url)));

const figures: Record<string, number> = {};

describe.skipIf(missing)("the marketplace", () => {
  let t: TestCity;
  let browser: TestBrowser;
  let wallet: TestWallet;
  let page: Page;
  let site: string;
  let stream: Hex;
  let dealId: Hex;
  let proof: string;

  beforeAll(async () => {
    if (!built) throw new Error("the pages are not built: npm run setup does it, or node apps/marketplace/build.mjs");
    const place = { latitude: 43.4623, longitude: -3.81, accuracy: 10, name: "Plaza Porticada" };
    t = await TestCity.up(
      (root) => [
        {
          ...openPlan("square", csvFile(root, "square.csv", 12_000, 1_000).file, 60, "max"),
          thing: { place, model: "Air quality station" },
        },
      ],
      { pages: true },
    );
    site = t.city.run.marketplace as string;
    stream = t.streamOf("square");
    const { rpc, chainId } = t.city.run.chain;
    wallet = new TestWallet(rpc, chainId, t.city.people.buyer.key);
    browser = await TestBrowser.open();
    page = await browser.page(wallet);
    await until(
      "a hundred packs are anchored",
      async () => {
        const { head } = await t.get<{ head: { seq: number } | null }>(1, `/streams/${stream}`);
        return (head?.seq ?? 0) > 100;
      },
      100_000,
    );
    await until("the indexer knows the offer and its place", async () => {
      const response = await fetch(`${t.city.run.indexer}/offers`);
      const [offer] = ((await response.json()) as { items: { description: unknown; thing: unknown }[] }).items;
      return offer?.description && offer.thing;
    });
  });

  /** A picture for the documents, where they are asked for. */
  const picture = async (name: string) => {
    const folder = process.env.MSEC_BROWSER_PICTURES;
    if (folder) await page.screenshot({ path: join(folder, `${name}.png`) });
  };

  afterEach(async ({ task }) => {
    if (task.result?.state === "fail" && page.url().startsWith("http"))
      console.log(`${page.url()} says:\n${await page.locator("main").innerText()}`);
    expect(browser.wrongs.splice(0)).toEqual([]);
  });

  afterAll(async () => {
    writeFigures(figures);
    await browser?.close();
    wallet?.close();
    await t?.stop();
  });

  test("the first view is small", async () => {
    const fresh = await browser.page();
    const { kilobytes } = await weigh(fresh, `${site}/en`, MAP);
    await fresh.close();
    figures.firstViewCompressedKilobytes = kilobytes;
    expect(kilobytes).toBeLessThanOrEqual(250);
  });

  test("a browser that asks for an icon by itself gets it", async () => {
    const { status, headers } = await fetch(`${site}/favicon.ico`);
    expect([status, headers.get("content-type")]).toEqual([200, "image/svg+xml"]);
  });

  test("from the first page to verified data: few clicks, one transaction", async () => {
    let clicks = 0;
    const click = async (role: "button" | "link", name: string | RegExp) => {
      clicks++;
      await page.getByRole(role, { name }).click();
    };
    await page.goto(`${site}/en`);
    await click("button", "Connect");
    await click("button", "Test Wallet");
    await page.locator(MAP).waitFor();
    await picture("home");
    await click("link", "square/air");
    await click("button", "Check this period");
    const pay = page.getByRole("button", { name: /^Pay/ });
    await pay.waitFor();
    await picture("offer");
    await click("button", /^Pay/);
    await page.getByTestId("verified").waitFor();
    expect(clicks).toBeLessThanOrEqual(6);
    expect(wallet.asked.filter((method) => method === "eth_sendTransaction")).toHaveLength(1);

    dealId = page.url().split("/").pop() as Hex;
    const opened = await t.city.contracts.Escrow.queryFilter(t.city.contracts.Escrow.filters.DealOpened(dealId), 0);
    const delivered = await t.city.contracts.Escrow.queryFilter(t.city.contracts.Escrow.filters.Delivered(dealId), 0);
    expect(opened).toHaveLength(1);
    expect(delivered).toHaveLength(1);
    // A figure, since a busy machine delivers later.
    figures.blocksFromPaymentToKeys = (delivered[0]?.blockNumber ?? NaN) - (opened[0]?.blockNumber ?? NaN);
    await expect.poll(() => page.locator('[data-step="verified"]').getAttribute("data-mark")).toBe("done");
    await picture("deal");
  });

  test("the saved proof is one that others can verify, and the table shows what was measured", async () => {
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Proof" }).click();
    proof = readFileSync(await (await download).path(), "utf8");
    const file = join(t.root, "saved.json");
    writeFileSync(file, proof);
    const { code, out } = await msec(["verify", file, "--offline"]);
    expect(out).toMatch(/proved|verified/i);
    expect(code).toBe(0);
    const report = verify(decodeBundle(proof));
    await expect.poll(() => page.locator('[data-testid="readings"] tbody tr').count()).toBe(24);
    if (report.kind === "window") expect(report.rows.length).toBeGreaterThan(24);
  });

  test("its readings leave as CSV, exactly", async () => {
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "CSV" }).click();
    const lines = readFileSync(await (await download).path(), "utf8")
      .trim()
      .split("\r\n");
    const report = verify(decodeBundle(proof));
    expect(report.kind).toBe("window");
    expect(lines.length - 1).toBe(report.kind === "window" ? report.readings / 2 : 0);
    expect(lines[0]).toMatch(/^time,/);
  });

  test("after a reload the purchase is there, verified again", async () => {
    await page.reload();
    await page.getByTestId("verified").waitFor();
  });

  test("a signature that is declined changes nothing, and says so", async () => {
    await page.goto(`${site}/en`);
    await page.getByRole("link", { name: "square/air" }).click();
    await page.getByRole("button", { name: "Check this period" }).click();
    const pay = page.getByRole("button", { name: /^Pay/ });
    await pay.waitFor();
    const before = await t.city.contracts.MSecToken.balanceOf(wallet.address);
    wallet.rejectNext = true;
    await pay.click();
    await until("it can be paid again", () => pay.isEnabled());
    expect(await t.city.contracts.MSecToken.balanceOf(wallet.address)).toBe(before);
  });

  test("once the time to complain is over the seller is paid, and the deal can be rated once", async () => {
    await page.goto(`${site}/en/deals/${dealId}`);
    // The deliverer presses the button, too.
    const over = page.getByRole("heading", { name: "Rate the seller" });
    const release = page.getByRole("button", { name: "Pay the seller" });
    await release.or(over).first().waitFor();
    await release.click({ timeout: 2_000 }).catch(() => undefined);
    await over.waitFor();
    expect((await statusOf(t.city.contracts, dealId))?.state).toBe(STATE.released);
    await page.getByLabel("Quality").selectOption("100");
    await page.getByRole("button", { name: "Send the rating" }).click();
    await page.getByText("your rating is on the chain").waitFor();
    const { Reputation } = t.city.contracts;
    const rated = await Reputation.queryFilter(Reputation.filters.Rated(), 0);
    expect(rated.map(({ args }) => args.dealId)).toEqual([dealId]);
  });

  test("a file is verified where it is, and a forged one proves nothing", async () => {
    await page.goto(`${site}/en/verify`);
    const give = (name: string, text: string) =>
      page.getByLabel("Choose or drop a proof").setInputFiles({
        name,
        mimeType: "application/json",
        buffer: Buffer.from(text),
      });
    await give("proof.json", proof);
    await page.getByTestId("verified").waitFor();
    await page.getByText("chain holds exactly these epochs").waitFor();
    const forged = JSON.parse(proof) as { packs: { content: string }[] };
    const content = Buffer.from(forged.packs[0]?.content ?? "", "base64");
    content[20] = (content[20] as number) ^ 1;
    (forged.packs[0] as { content: string }).content = content.toString("base64");
    for (const text of [JSON.stringify(forged), proof.slice(0, -200), "{}", "not JSON"]) {
      await give("forged.json", text);
      await page.getByTestId("not-proved").waitFor();
      expect(await page.getByTestId("verified").count()).toBe(0);
    }
  });

  test("verification in the browser is quick", async () => {
    await page.goto(`${site}/en`);
    await page.getByRole("link", { name: "square/air" }).click();
    await page.getByRole("button", { name: "Last 7 days" }).click();
    await page.getByRole("button", { name: "Check this period" }).click();
    await page.getByRole("button", { name: /^Pay/ }).click();
    await page.getByTestId("verified").waitFor();
    const text = await page.getByText("readings a second").innerText();
    figures.verifiedReadingsPerSecond = Number((/([\d,]+) readings/.exec(text)?.[1] ?? "0").replaceAll(",", ""));
    expect(figures.verifiedReadingsPerSecond).toBeGreaterThan(0);
  });

  test("how the first pages come up is measured, and nothing on them jumps", async () => {
    const offer = await t.city.contracts.Marketplace.queryFilter(
      t.city.contracts.Marketplace.filters.OfferPublished(),
      0,
    );
    const pages = { home: "", offer: `/offers/${offer[0]?.args.offerId}`, deal: `/deals/${dealId}` };
    for (const [name, path] of Object.entries(pages)) {
      const fresh = await browser.page(wallet);
      const seen = await vitals(fresh, `${site}/en${path}`);
      await fresh.close();
      figures[`${name}LargestPaintMilliseconds`] = Math.round(seen.largestPaintMilliseconds);
      figures[`${name}BlockingMilliseconds`] = Math.round(seen.blockingMilliseconds);
      figures[`${name}LayoutShift`] = Number(seen.layoutShift.toFixed(3));
      expect(seen.largestPaintMilliseconds, `${name}: something was painted`).toBeGreaterThan(0);
      // What web.dev calls good.
      expect(seen.layoutShift, `${name}: what was there stays where it was`).toBeLessThanOrEqual(0.1);
    }
  });

  test("operators: one that is away is shown so, and again when it is back", async () => {
    await page.goto(`${site}/en/operators`);
    const card = page.locator('[data-operator="operator-3"]');
    await until("operator 3 is well", async () => (await card.getAttribute("data-healthy")) === "true");
    browser.expectError(/502|Bad Gateway/);
    await t.city.processes.halt("operator-3");
    await card.getByText("Does not answer").waitFor();
    await picture("operators");
    t.city.processes.resume("operator-3");
    await until("operator 3 is well again", async () => (await card.getAttribute("data-healthy")) === "true");
  });

  test("another account in the wallet: its owner sees who bought, withdraws, consents again, and erases with receipts", async () => {
    await page.goto(`${site}/en/my-data`);
    await page.getByText("No device of this account is enrolled").waitFor();
    await wallet.become(t.city.people.city.key);
    const card = page.locator('[data-stream="square/air"]');
    await card.getByText("You own the device").waitFor();
    await until("it is shown who bought", async () => (await card.getByText(/[\d,]+ readings?$/).count()) > 0);

    const { ConsentRegistry } = t.city.contracts;
    const purpose = purposeHash(RESEARCH);
    const mayBuy = () => ConsentRegistry.authorised(stream, purpose, t.city.people.buyer.address);
    expect(await mayBuy()).toBe(true);
    await card.getByRole("button", { name: "Withdraw", exact: true }).click();
    await until("consent is gone", async () => !(await mayBuy()));
    await card.getByText("without your consent nothing is sold").waitFor();
    await card.getByRole("button", { name: /Let anyone have it/ }).click();
    await until("consent is back", mayBuy);

    await card.getByText("Erase a period or everything").click();
    const info = await t.get<{ firstSlot: number }>(1, `/streams/${stream}`);
    const at = (slot: number) => new Date(slot * 60_000).toISOString().slice(0, 16);
    await card.getByLabel("From (UTC)").fill(at(info.firstSlot));
    await card.getByLabel("To (UTC)").fill(at(info.firstSlot + 2));
    await card.getByRole("button", { name: "See what goes" }).click();
    await card.getByText("can never be opened again").waitFor();
    await card.getByRole("button", { name: "Erase for ever" }).click();
    await card.locator('[data-erasure="complete"]').waitFor();
    const { fromSlot, toSlot } = await ConsentRegistry.erasureAt(stream, 1);
    expect([Number(fromSlot), Number(toSlot)]).toEqual([info.firstSlot, info.firstSlot + 1]);
    expect(Number(await ConsentRegistry.completeAt(stream, 1))).toBeGreaterThan(0);
    await picture("my-data");
    await wallet.become(t.city.people.buyer.key);
  });

  test("without a wallet a key is made in this browser, and signs only with its passphrase", async () => {
    const alone = await browser.page();
    await alone.goto(`${site}/en`);
    await alone.getByRole("button", { name: "Connect" }).click();
    await alone.getByRole("button", { name: "Make a key in this browser" }).click();
    await alone.getByLabel("Passphrase", { exact: true }).fill("short");
    await alone.getByRole("button", { name: "Make the key" }).click();
    await alone.getByText("Too short").waitFor();
    await alone.getByLabel("Passphrase", { exact: true }).fill("four words are enough");
    await alone.getByLabel("The same once more").fill("four words are enough");
    await alone.getByRole("button", { name: "Make the key" }).click();
    const kept = await until("the key is kept", () =>
      alone.evaluate(() => localStorage.getItem("msec.vault") ?? undefined),
    );
    const { address, wrapped } = JSON.parse(kept) as { address: Hex; wrapped: string };
    expect(Buffer.from(wrapped, "base64")).toHaveLength(48);
    await alone.getByRole("button", { name: new RegExp(address.slice(0, 6)) }).waitFor();
    await alone.evaluate(() => localStorage.removeItem("msec.vault"));
    await alone.close();
  });

  test("what is not for anybody is not handed on", async () => {
    // No page asks meanwhile: it would be limited with the rest.
    await page.goto("about:blank");
    const rpc = (body: unknown, headers: Record<string, string> = {}) =>
      fetch(`${site}/api/rpc`, {
        method: "POST",
        headers: { "content-type": "application/json", origin: site, ...headers },
        body: JSON.stringify(body),
      });
    const call = (method: string) => ({ jsonrpc: "2.0", id: 1, method, params: [] });
    expect((await rpc(call("eth_blockNumber"))).status).toBe(200);
    expect((await rpc(call("anvil_setBalance"))).status).toBe(403);
    expect((await rpc([call("eth_blockNumber"), call("debug_traceTransaction")])).status).toBe(403);
    expect((await rpc(call("eth_blockNumber"), { origin: "https://elsewhere.example" })).status).toBe(403);
    for (const path of ["operators/0/peer/propose", "operators/0/keys", "operators/9/status", "markets/0/health"])
      expect((await fetch(`${site}/api/${path}`)).status, path).toBe(404);
    expect((await fetch(`${site}/api/index/..%2f..%2fmetrics`)).status).toBe(404);
    const burst = await Promise.all(Array.from({ length: 300 }, () => fetch(`${site}/api/markets/0/status`)));
    expect(burst.some(({ status }) => status === 429)).toBe(true);
    await until("the limit lets go again", async () => (await fetch(`${site}/api/markets/0/status`)).ok);
  });

  test("pages run their own scripts and no others", async () => {
    const response = await fetch(`${site}/en`);
    const policy = response.headers.get("content-security-policy") ?? "";
    expect(policy).toMatch(/default-src 'none'/);
    expect(policy).not.toMatch(/'unsafe-inline'|'unsafe-eval'/);
    expect(policy).toMatch(/frame-ancestors 'none'/);
    const nonce = /'nonce-([^']+)'/.exec(policy)?.[1] as string;
    const inline = [...(await response.text()).matchAll(/<script(?![^>]*\bsrc=)[^>]*>/g)].map(([tag]) => tag);
    for (const tag of inline) expect(tag).toContain(nonce);
  });

  test("every page is accessible in every language and theme", async () => {
    await page.goto(`${site}/en`);
    const offer = await page.evaluate(async () => {
      const response = await fetch("/api/index/offers");
      return ((await response.json()) as { items: { offerId: string }[] }).items[0]?.offerId;
    });
    const routes = ["", `/offers/${offer}`, "/deals", `/deals/${dealId}`, "/my-data", "/operators", "/verify"];
    const ready = () => page.getByRole("heading", { level: 1 }).waitFor();
    expect(await problemsEverywhere(page, site, routes, ready)).toEqual([]);
  });
});
