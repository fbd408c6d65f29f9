import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Hex } from "@msec/core";
import { type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { missingChromium, TestBrowser } from "../support/browser.ts";
import { csvFile, openPlan, TestCity, until } from "../support/city.ts";
import { TestWallet } from "../support/wallet.ts";

// The pages of a city whose chain is four GoQuorum validators: the same as on the embedded chain, and the chain's own seals
// beside every proof.

const missing = missingChromium();
if (missing) console.log(`skipped: ${missing}`);
const built = existsSync(fileURLToPath(new URL("../../apps/marketplace/.next/BUILD_ID", import.meta.url)));

describe.skipIf(missing)("the marketplace on GoQuorum", () => {
  let t: TestCity;
  let browser: TestBrowser;
  let wallet: TestWallet;
  let page: Page;
  let site: string;

  beforeAll(async () => {
    if (!built) throw new Error("the pages are not built: npm run setup does it, or node apps/marketplace/build.mjs");
    t = await TestCity.up((root) => [openPlan("square", csvFile(root, "square.csv", 6_000, 1_000).file, 60, "max")], {
      network: "quorum",
      pages: true,
    });
    site = t.city.run.marketplace as string;
    const { rpc, chainId } = t.city.run.chain;
    wallet = new TestWallet(rpc, chainId, t.city.people.buyer.key);
    browser = await TestBrowser.open();
    page = await browser.page(wallet);
    const stream = t.streamOf("square");
    await until(
      "fifty packs are anchored",
      async () => ((await t.get<{ head: { seq: number } | null }>(1, `/streams/${stream}`)).head?.seq ?? 0) > 50,
    );
    await until("the indexer knows the offer", async () => {
      const response = await fetch(`${t.city.run.indexer}/offers`);
      return ((await response.json()) as { items: { description: unknown }[] }).items[0]?.description;
    });
  });
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") console.log(`${page.url()} says:\n${await page.locator("main").innerText()}`);
    expect(browser.wrongs.splice(0)).toEqual([]);
  });
  afterAll(async () => {
    await browser?.close();
    wallet?.close();
    await t?.stop();
  });

  it("a purchase is paid for, delivered, and verified down to the validators' seals", async () => {
    await page.goto(`${site}/en`);
    await page.getByRole("button", { name: "Connect" }).click();
    await page.getByRole("button", { name: "Test Wallet" }).click();
    await page.getByRole("link", { name: "square/air" }).click();
    await page.getByRole("button", { name: "Check this period" }).click();
    await page.getByRole("button", { name: /^Pay/ }).click();
    await page.getByTestId("verified").waitFor();
    await page.getByText("The chain itself certifies the epoch: 3 of its 4 validators sealed the block.").waitFor();
    const dealId = page.url().split("/").pop() as Hex;
    const { Escrow } = t.city.contracts;
    expect(await Escrow.queryFilter(Escrow.filters.Delivered(dealId), 0)).toHaveLength(1);
  });

  it("its proof is verified by its seals wherever it is dropped, and another one's seals prove nothing", async () => {
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Proof" }).click();
    const text = readFileSync(await (await download).path(), "utf8");
    const drop = async (content: string) => {
      await page.goto(`${site}/en/verify`);
      await page
        .getByLabel(/proof/i)
        .setInputFiles({ name: "proof.json", mimeType: "application/json", buffer: Buffer.from(content) });
    };
    await drop(text);
    await page.getByText("3 of its 4 validators sealed the block").waitFor();
    const forged = JSON.parse(text) as { certificate: { epochs: { header: string }[] } };
    for (const epoch of forged.certificate.epochs) {
      const header = Buffer.from(epoch.header, "base64");
      header[40] = (header[40] as number) ^ 1;
      epoch.header = header.toString("base64");
    }
    await drop(JSON.stringify(forged));
    await page.getByTestId("not-proved").waitFor();
  });

  it("operators see who seals the chain's blocks, and when last", async () => {
    await page.goto(`${site}/en/operators`);
    const rows = page.locator("[data-validator]");
    await expect.poll(() => rows.filter({ hasText: /Sealed block/ }).count()).toBe(4);
    const shown = await rows.evaluateAll((all) => all.map((row) => row.getAttribute("data-validator")));
    expect(shown.sort()).toEqual((await t.status(1)).validators?.map(({ address }) => address).sort());
  });
});
