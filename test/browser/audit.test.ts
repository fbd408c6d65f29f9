import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Hex } from "@msec/core";
import { Sender } from "@msec/chain";
import { AbiCoder, keccak256, Wallet } from "ethers";
import { type Page } from "playwright-core";
import { createSiweMessage } from "viem/siwe";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { missingChromium, problemsEverywhere, TestBrowser } from "../support/browser.ts";
import { csvFile, openPlan, TestCity, until } from "../support/city.ts";
import { ask } from "../support/indexed.ts";
import { TestWallet } from "../support/wallet.ts";

// The auditors' pages and the operators' incidents in a real browser, on a running city.

const missing = missingChromium();
if (missing) console.log(`skipped: ${missing}`);
const built = existsSync(fileURLToPath(new URL("../../apps/marketplace/.next/BUILD_ID", import.meta.url)));

interface Audit {
  block: number;
  contracts: { name: string; address: string; verdict: string }[];
  invariants: { id: string; verdict: string; reason: string | null; figures: { name: string; value: string }[] }[];
}

describe.skipIf(missing)("auditors and operators", () => {
  let t: TestCity;
  let browser: TestBrowser;
  let wallet: TestWallet;
  let page: Page;
  let site: string;
  let stream: Hex;
  let dealId: Hex;

  beforeAll(async () => {
    if (!built) throw new Error("the pages are not built: npm run setup does it, or node apps/marketplace/build.mjs");
    t = await TestCity.up((root) => [openPlan("square", csvFile(root, "square.csv", 4_000, 1_000).file, 60, "max")], {
      pages: true,
      // Whose state can be set.
      network: "embedded",
    });
    site = t.city.run.marketplace as string;
    stream = t.streamOf("square");
    const { rpc, chainId } = t.city.run.chain;
    wallet = new TestWallet(rpc, chainId, t.city.people.buyer.key);
    browser = await TestBrowser.open();
    page = await browser.page(wallet);
    await until(
      "fifty packs are anchored",
      async () => {
        const { head } = await t.get<{ head: { seq: number } | null }>(1, `/streams/${stream}`);
        return (head?.seq ?? 0) > 50;
      },
      100_000,
    );
    await until("the indexer knows the offer", async () => {
      const { items } = await ask<{ items: { description: unknown }[] }>(t, "/offers");
      return items[0]?.description;
    });
  });

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
    await browser?.close();
    wallet?.close();
    await t?.stop();
  });

  const audit = () => ask<Audit>(t, "/audit");
  const figuresOf = async (id: string) => {
    const found = (await audit()).invariants.find((one) => one.id === id);
    return {
      ...found,
      figures: Object.fromEntries(found?.figures.map(({ name, value }) => [name, BigInt(value)]) ?? []),
    };
  };
  const rule = (id: string) => page.locator(`[data-invariant="${id}"]`);
  const verdict = (id: string) => rule(id).locator("[data-verdict]").getAttribute("data-verdict");

  test("auditors: every contract is this build's, every rule holds, with the figures of the chain", async () => {
    await until("the manifest is written", async () =>
      (await audit()).contracts.every((one) => one.verdict === "holds"),
    );
    await page.goto(`${site}/en`);
    await page.getByRole("link", { name: "Audit" }).click();
    await page.getByRole("heading", { name: "Check the city's claims" }).waitFor();
    await page.getByText(/^All \d+ claims hold/).waitFor();
    for (const [name, address] of Object.entries(t.city.run.deployment.addresses)) {
      const row = page.locator(`[data-contract="${name}"]`);
      expect(await row.locator("[data-verdict]").getAttribute("data-verdict"), name).toBe("holds");
      expect(await row.locator(`code[title="${address}"]`).count(), name).toBe(1);
    }
    const { balance } = (await figuresOf("escrow-covered")).figures;
    expect(balance).toBe(await t.city.contracts.MSecToken.balanceOf(t.city.run.deployment.addresses.Escrow));
    const supply = Number(await t.city.contracts.MSecToken.totalSupply()) / 1e6;
    const shown = await rule("supply").locator('[data-figure="supply"]').innerText();
    expect(Number(shown.replace(/[^\d.]/g, ""))).toBe(supply);
    await page.getByText("One account holds").waitFor();
    await picture("auditors");
  });

  test("an auditor puts the same questions to a node of their own", async () => {
    await page.getByRole("button", { name: "Connect" }).click();
    await page.getByRole("button", { name: "Test Wallet" }).click();
    await rule("supply").getByText("How it was found out").click();
    const before = wallet.asked.filter((method) => method === "eth_call").length;
    await rule("supply").getByRole("button", { name: "Ask the wallet's own node" }).click();
    await rule("supply").getByText("The wallet's node gives the same").waitFor();
    expect(wallet.asked.filter((method) => method === "eth_call").length).toBeGreaterThan(before);
    await rule("supply").getByRole("button", { name: "Ask again from this browser" }).click();
    await rule("supply").getByText("This site's node gives the same").waitFor();
  });

  test("money of a purchase is seen in the escrow, deal by deal", async () => {
    await page.goto(`${site}/en`);
    await page.getByRole("link", { name: "square/air" }).click();
    await page.getByRole("button", { name: "Check this period" }).click();
    await page.getByRole("button", { name: /^Pay/ }).click();
    await page.waitForURL(/deals\/0x/);
    dealId = page.url().split("/").pop() as Hex;
    const [opened] = await t.city.contracts.Escrow.queryFilter(t.city.contracts.Escrow.filters.DealOpened(dealId), 0);
    const price = opened?.args.deal.price as bigint;
    const { verdict: judged, figures } = await until("the audit has the deal", async () => {
      const found = await figuresOf("escrow-covered");
      return found.figures.price === price && found.figures.words === 1n && found;
    });
    expect(judged).toBe("holds");
    expect(figures.wordsAgree).toBe(1n);
    expect(figures.balance).toBe(figures.held);
    expect((await figuresOf("escrow-books")).verdict).toBe("holds");
    await page.getByTestId("verified").waitFor();
  });

  test("tokens that somebody sends to the escrow are a surplus, and no violation", async () => {
    const { addresses, chainId } = t.city.run.deployment;
    await page.goto(`${site}/en/auditors`);
    await until("it holds", async () => (await verdict("escrow-covered")) === "holds");
    await new Sender(t.city.people.buyer.key, t.city.provider, chainId).transact({
      to: addresses.MSecToken,
      data: t.city.contracts.MSecToken.interface.encodeFunctionData("transfer", [addresses.Escrow, 1_500_000n]),
    });
    await rule("escrow-covered").getByText("more than is owed").waitFor();
    expect(await rule("escrow-covered").locator('[data-figure="surplus"]').innerText()).toBe("1.50 MSEC");
    expect(await verdict("escrow-covered")).toBe("holds");
    expect(await verdict("escrow-books")).toBe("holds");
  });

  test("a rule that is broken is shown so, and becomes an incident", async () => {
    const { MSecToken, Escrow } = t.city.run.deployment.addresses;
    const { provider } = t.city;
    const slot = balanceSlot(Escrow);
    const before = await provider.getStorage(MSecToken, slot);
    expect(BigInt(before)).toBe(await t.city.contracts.MSecToken.balanceOf(Escrow));
    const set = (word: string) => provider.send("anvil_setStorageAt", [MSecToken, slot, word]);
    await set(`0x${"00".repeat(31)}07`);
    try {
      await until("it is broken", async () => (await verdict("escrow-covered")) === "broken");
      await rule("escrow-covered").getByText("Tokens are missing").waitFor();
      await page.getByText(/claims? does? not hold|claims? do not hold/).waitFor();
      await picture("auditors-broken");
    } finally {
      await set(before);
    }
    await until("it holds again", async () => (await verdict("escrow-covered")) === "holds");
  });

  test("while the indexer is away nothing is shown as if it were of now", async () => {
    browser.expectError(/502|503|Bad Gateway/);
    await t.city.processes.halt("indexer");
    await page.getByTestId("stale").waitFor();
    expect(await verdict("escrow-covered")).toBe("stale");
    await picture("auditors-stale");
    t.city.processes.resume("indexer");
    await until("it is of now again", async () => (await verdict("escrow-covered")) === "holds");
  });

  test("one reading is followed from its device to the deal, and checked on the way", async () => {
    await page.goto(`${site}/en/trace?deal=${dealId}`);
    const trace = page.getByTestId("trace");
    await trace.getByText("Proved in this browser").waitFor();
    const mark = (stage: string) => trace.locator(`[data-stage="${stage}"]`).getAttribute("data-mark");
    for (const stage of ["device", "pack", "content", "epoch", "committee", "block"])
      expect(await mark(stage), stage).toBe("done");
    await trace.locator('[data-stage="deals"]').getByRole("link").waitFor();
    expect(await trace.locator('[data-stage="deals"] a').getAttribute("href")).toMatch(dealId);
    await picture("trace");
    // The epoch's hash that is shown is the chain's.
    const text = await trace.locator('[data-stage="epoch"]').innerText();
    const number = Number((/epoch ([\d,]+)/.exec(text)?.[1] ?? "").replaceAll(",", ""));
    const hash = await t.city.contracts.DataAnchor.epochHash(number);
    await trace.locator('[data-stage="block"] summary').click();
    expect(await trace.locator('[data-stage="block"] code').first().getAttribute("title")).toBe(hash);
    await trace.locator('[data-stage="pack"] summary').click();
    const digest = await trace.locator('[data-stage="pack"] code').first().getAttribute("title");
    await page.goto(`${site}/en/trace?pack=${digest}`);
    await trace.getByText("Proved in this browser").waitFor();
  });

  test("a trace of nothing says why, and one by time finds the slot", async () => {
    browser.expectError(/404/);
    await page.goto(`${site}/en/trace?pack=0x${"00".repeat(32)}`);
    await page.getByText("No operator knows such a pack").waitFor();
    await page.goto(`${site}/en/trace`);
    await page.getByLabel("When (UTC)").fill("2024-01-01T00:10");
    await page.getByRole("form", { name: "By stream and time" }).getByRole("button", { name: "Follow" }).click();
    await page.getByTestId("trace").getByText("Proved in this browser").waitFor();
    expect(new URL(page.url()).searchParams.get("slot")).toBe(String(Date.UTC(2024, 0, 1, 0, 10) / 60_000));
  });

  test("operators: one that is away is an incident, which only an organisation's account takes on", async () => {
    await page.goto(`${site}/en/operators`);
    const incident = page.locator('[data-incident="away operator-3"]:not([data-state="over"])');
    browser.expectError(/502|403|Bad Gateway/);
    await t.city.processes.halt("operator-3");
    await incident.waitFor();
    expect(await incident.getAttribute("data-state")).toBe("open");

    // The buyer's account is of no organisation.
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("of no organisation").waitFor();
    expect(await incident.getByRole("button", { name: "Take it on" }).count()).toBe(0);
    const refused = await page.evaluate(async () => {
      const { items } = (await (await fetch("/api/incidents")).json()) as { items: { id: number }[] };
      const response = await fetch(`/api/incidents/${items[0]?.id}/acknowledgement`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ note: "mine" }),
      });
      return [response.status, ((await response.json()) as { code: string }).code];
    });
    expect(refused).toEqual([403, "no-organisation"]);
    await page.getByRole("button", { name: "Sign out" }).click();

    await wallet.become(t.city.people.operators[0]?.key as Hex);
    wallet.rejectNext = true;
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("Not signed: nothing has changed").waitFor();
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("operator-1", { exact: true }).first().waitFor();
    // Scripts see nothing of the session.
    expect(await page.evaluate(() => document.cookie)).not.toContain("msec-session");
    await incident.getByLabel("What is done about it").fill("<b>restarting</b> it");
    await incident.getByRole("button", { name: "Take it on" }).click();
    await until("it is taken on", async () => (await incident.getAttribute("data-state")) === "acknowledged");
    await incident.getByText("Taken on by operator-1: “<b>restarting</b> it”").waitFor();
    await picture("incidents");
    await page.reload();
    await incident.getByText("Taken on by operator-1").waitFor();

    t.city.processes.resume("operator-3");
    await incident.waitFor({ state: "detached" });
    await page.getByText(/that (is|are) over/).click();
    await page.locator('[data-incident="away operator-3"][data-state="over"]').getByText("operator-1:").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("button", { name: "Sign in" }).waitFor();
  });

  test("what is not a sign-in of this site, of now, and of that account is refused", async () => {
    // No page asks meanwhile.
    await page.goto("about:blank");
    const origin = new URL(site).origin;
    const signer = new Wallet(t.city.people.operators[1]?.key as Hex);
    const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
      fetch(`${site}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", origin, ...headers },
        body: JSON.stringify(body),
      });
    const nonce = async () => ((await (await post("/api/session/nonce", {})).json()) as { nonce: string }).nonce;
    const message = async (change: Partial<Parameters<typeof createSiweMessage>[0]> = {}) =>
      createSiweMessage({
        ...{ address: signer.address as Hex, chainId: t.city.run.chain.chainId, version: "1", nonce: await nonce() },
        ...{ domain: new URL(site).host, uri: origin },
        ...{ issuedAt: new Date(), expirationTime: new Date(Date.now() + 60_000) },
        ...change,
      });
    const signIn = async (text: string, by = signer, headers = {}) => {
      const response = await post("/api/session", { message: text, signature: await by.signMessage(text) }, headers);
      return { status: response.status, code: ((await response.json()) as { code?: string }).code, response };
    };
    const good = await message();
    const first = await signIn(good);
    expect(first.status).toBe(200);
    const cookie = first.response.headers.get("set-cookie") ?? "";
    expect(cookie).toMatch(/HttpOnly; SameSite=Strict/);
    expect(await signIn(good)).toMatchObject({ status: 401, code: "nonce" });
    for (const [code, change] of [
      ["domain", { domain: "evil.example" }],
      ["domain", { uri: "https://evil.example" }],
      ["chain", { chainId: 1 }],
      ["nonce", { nonce: "0123456789abcdef0123" }],
      ["time", { expirationTime: new Date(Date.now() - 1_000) }],
    ] as const)
      expect(await signIn(await message(change)), code).toMatchObject({ status: 401, code });
    const other = new Wallet(t.city.people.buyer.key);
    expect(await signIn(await message(), other)).toMatchObject({ status: 401, code: "signature" });

    // From a page of another site, with the session's cookie all the same.
    const session = { cookie: cookie.split(";")[0] as string };
    const foreign = { origin: "https://evil.example", ...session };
    expect(await signIn(await message(), signer, foreign)).toMatchObject({ status: 403, code: "origin" });
    const { items } = (await (await fetch(`${site}/api/incidents`)).json()) as {
      items: { id: number; endedAtMs: number | null }[];
    };
    const over = items.find(({ endedAtMs }) => endedAtMs !== null);
    const path = `/api/incidents/${over?.id}/acknowledgement`;
    expect((await post(path, { note: "x" }, foreign)).status).toBe(403);
    expect((await post(path, { note: "x" }, { origin: "null", ...session })).status).toBe(403);
    expect((await post(path, { note: "x" })).status).toBe(401);
    expect((await post(path, { note: "" }, session)).status).toBe(400);
    expect((await post("/api/incidents/99999/acknowledgement", { note: "x" }, session)).status).toBe(404);
    // That one is over.
    expect((await post(path, { note: "x" }, session)).status).toBe(409);
    const out = await fetch(`${site}/api/session`, { method: "DELETE", headers: { origin, ...session } });
    expect(out.status).toBe(200);
    expect((await post(path, { note: "x" }, session)).status).toBe(401);
  });

  test("every page of auditors and operators is accessible in every language and theme", async () => {
    const ready: Record<string, string> = {
      "/auditors": '[data-invariant="devices"]',
      "/trace": "#trace-stream option",
      [`/trace?deal=${dealId}`]: '[data-testid="trace"]',
      "/operators": '[data-testid="incidents"] summary',
    };
    const problems = await problemsEverywhere(page, site, Object.keys(ready), async (route) => {
      await page
        .locator(ready[route] as string)
        .first()
        .waitFor({ state: "attached" });
      for (const details of await page.locator("main details").all())
        await details.evaluate((node) => ((node as HTMLDetailsElement).open = true));
    });
    expect(problems).toEqual([]);
  });
});

/** Where the token keeps an account's balance. */
const balanceSlot = (owner: Hex) => keccak256(AbiCoder.defaultAbiCoder().encode(["address", "uint256"], [owner, 0]));
