import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cover, type Hex, readThing, type SampleKeys, type SignedThing, type StreamPreimage } from "@msec/core";
import { stateOf } from "@msec/market";
import { complaintDigest, dealOf, nodesOf, PHASE } from "@msec/trade";
import { type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Judge } from "../../apps/cli/src/city/layout.ts";
import { castVote, showVote } from "../../apps/cli/src/dispute/vote.ts";
import { keysOf } from "../support/anchored.ts";
import { accessibilityProblems, missingChromium, problemsEverywhere, TestBrowser } from "../support/browser.ts";
import { csvFile, openPlan, TestCity, until } from "../support/city.ts";
import { deliverCall, delivery, funded, offerOf, panelKnown, senderOf } from "../support/deal.ts";
import { livePlan, subscriptionOffer } from "../support/subscription.ts";
import { TestWallet } from "../support/wallet.ts";

// What goes beyond a purchase from an offer: requests and who fills them, offers published and closed, subscriptions, a
// purchase opened where it was not bought. A buyer and a seller, each with a browser and a wallet of their own.

const missing = missingChromium();
if (missing) console.log(`skipped: ${missing}`);
const built = existsSync(fileURLToPath(new URL("../../apps/marketplace/.next/BUILD_ID", import.meta.url)));

describe.skipIf(missing)("trade in the browser", () => {
  let t: TestCity;
  let browsers: { buyer: TestBrowser; seller: TestBrowser };
  let wallets: { buyer: TestWallet; seller: TestWallet };
  let buyer: Page;
  let seller: Page;
  let site: string;
  let square: Hex;
  let live: Hex;
  let requested: Hex;

  beforeAll(async () => {
    if (!built) throw new Error("the pages are not built: npm run setup does it, or node apps/marketplace/build.mjs");
    t = await TestCity.up(
      (root) => [openPlan("square", csvFile(root, "square.csv", 12_000, 1_000).file, 60, "max"), livePlan(root)],
      // Whose one process is killed.
      { pages: true, network: "embedded", caseSeconds: { commit: 45, reveal: 45 } },
    );
    site = t.city.run.marketplace as string;
    [square, live] = [t.streamOf("square"), t.streamOf("live")];
    const { rpc, chainId } = t.city.run.chain;
    const { people } = t.city;
    wallets = {
      buyer: new TestWallet(rpc, chainId, people.buyer.key),
      seller: new TestWallet(rpc, chainId, people.city.key),
    };
    browsers = { buyer: await TestBrowser.open(), seller: await TestBrowser.open() };
    buyer = await browsers.buyer.page(wallets.buyer);
    seller = await browsers.seller.page(wallets.seller);
    await until(
      "a hundred packs are anchored",
      async () => {
        const { head } = await t.get<{ head: { seq: number } | null }>(1, `/streams/${square}`);
        return (head?.seq ?? 0) > 100;
      },
      100_000,
    );
    for (const page of [buyer, seller]) await connect(page);
  });

  const connect = async (page: Page) => {
    await page.goto(`${site}/en`);
    await page.getByRole("button", { name: "Connect" }).click();
    await page.getByRole("button", { name: "Test Wallet" }).click();
    await page.getByRole("button", { name: "Connect", exact: true }).waitFor({ state: "detached" });
  };

  afterEach(async ({ task }) => {
    if (task.result?.state === "fail")
      for (const page of [buyer, seller].filter((one) => one.url().startsWith("http")))
        console.log(`${page.url()} says:\n${await page.locator("main").innerText()}`);
    for (const { wrongs } of Object.values(browsers)) expect(wrongs.splice(0)).toEqual([]);
  });

  afterAll(async () => {
    for (const browser of Object.values(browsers ?? {})) await browser.close();
    for (const wallet of Object.values(wallets ?? {})) wallet.close();
    await t?.stop();
  });

  const picture = async (page: Page, name: string) => {
    const folder = process.env.MSEC_BROWSER_PICTURES;
    if (folder) await page.screenshot({ path: join(folder, `${name}.png`) });
  };

  /** Asks for the newest pack of the square, at most for this much. */
  const ask = async (amount: string) => {
    await buyer.goto(`${site}/en/streams/${square}`);
    await buyer.getByRole("button", { name: "The newest pack" }).click();
    await buyer.getByLabel("At most (MSEC)").fill(amount);
    await buyer.getByRole("button", { name: "Leave the request" }).click();
    await buyer.getByTestId("asked").waitFor();
  };

  test("a day is chosen on the calendar, another one with it", async () => {
    await buyer.goto(`${site}/en/streams/${square}`);
    const days = buyer.getByRole("group", { name: "Days that were measured" }).locator("button[data-fill]");
    const full = days.filter({ hasNot: buyer.locator("[data-fill='0']") }).and(buyer.locator("[data-fill='4']"));
    await full.first().click();
    await expect.poll(() => days.and(buyer.locator("[aria-pressed='true']")).count()).toBe(1);
    expect(await full.first().getAttribute("aria-label")).toMatch(/\d+ packs, [\d,]+ readings/);
  });

  test("a request is left with a market, without a transaction, and seen by everybody", async () => {
    const before = wallets.buyer.asked.filter((method) => method === "eth_sendTransaction").length;
    await ask("0.5");
    expect(wallets.buyer.asked.filter((method) => method === "eth_sendTransaction")).toHaveLength(before);
    await buyer.getByRole("link", { name: "To the requests" }).click();
    await buyer.getByRole("region", { name: "Your requests" }).locator('[data-request="open"]').waitFor();
    await picture(buyer, "requests");
  });

  test("the owner of the stream fills it in one transaction, and the buyer's browser verifies what comes", async () => {
    await seller.goto(`${site}/en/requests`);
    const mine = seller.getByRole("region", { name: "You can fill these" });
    await mine.getByRole("button", { name: "Fill it" }).click();
    await expect.poll(() => mine.count()).toBe(0);
    const link = buyer.getByRole("link", { name: "To the purchase" });
    await link.click();
    await buyer.getByTestId("verified").waitFor();
    requested = buyer.url().split("/").pop() as Hex;
    const { Marketplace } = t.city.contracts;
    const [settled] = await Marketplace.queryFilter(Marketplace.filters.Settled(requested), 0);
    expect(settled).toBeDefined();
  });

  test("where nothing was kept the wallet makes the keys again; another account can't", async () => {
    const elsewhere = await TestBrowser.open();
    try {
      const { rpc, chainId } = t.city.run.chain;
      const own = new TestWallet(rpc, chainId, t.city.people.buyer.key);
      const page = await elsewhere.page(own);
      await connect(page);
      await page.goto(`${site}/en/deals/${requested}`);
      await page.getByRole("button", { name: "Make the keys again with this wallet" }).click();
      await page.getByTestId("verified").waitFor();
      own.close();
      expect(elsewhere.wrongs).toEqual([]);
    } finally {
      await elsewhere.close();
    }
    await seller.goto(`${site}/en/deals/${requested}`);
    await seller.getByText("Only its buyer can open what was bought").waitFor();
  });

  test("a request that was cancelled is nobody's to fill", async () => {
    await ask("0.4");
    await buyer.goto(`${site}/en/requests`);
    const own = buyer.getByRole("region", { name: "Your requests" });
    await own.locator('[data-request="open"]').getByRole("button", { name: "Cancel it" }).click();
    await own.locator('[data-request="cancelled"]').waitFor();
    await seller.goto(`${site}/en/requests`);
    await seller.getByText("Nobody asks for anything just now").waitFor();
    const { Marketplace } = t.city.contracts;
    expect(await Marketplace.queryFilter(Marketplace.filters.RequestCancelled(wallets.buyer.address), 0)).toHaveLength(
      1,
    );
  });

  test("a deliverer who lies about a key is shown up in the browser, and its bond is the buyer's", async () => {
    const liar = await funded(t, 6_000n);
    const { preimage } = await t.get<{ preimage: StreamPreimage }>(1, `/streams/${square}`);
    const terms = { deliverer: liar.address, deliverSeconds: 60, complainSeconds: 60 };
    const offer = await offerOf(t, preimage, square, terms);
    await until(
      "the indexer has the offer",
      async () => (await fetch(`${t.city.run.indexer}/offers/${offer.offerId}`)).ok,
    );
    await buyer.goto(`${site}/en/offers/${offer.offerId}`);
    await buyer.getByRole("button", { name: "The newest pack" }).click();
    await buyer.getByRole("button", { name: /^Pay/ }).click();
    await buyer.waitForURL(/deals\/0x/);
    const id = buyer.url().split("/").pop() as Hex;
    const { Escrow } = t.city.contracts;
    const [opened] = await Escrow.queryFilter(Escrow.filters.DealOpened(id), 0);
    const deal = dealOf(opened!.args.deal);
    const keys = await keysOf(t, 1, square, deal.fromSlot, deal.toSlot);
    const node = keys[0] as { key: Uint8Array };
    node.key = node.key.map((byte, i) => (i === 3 ? byte ^ 1 : byte));
    const masked = delivery(t, { id, nodes: nodesOf(opened!.args.nodes) }, keys);
    await senderOf(t, liar).transact({
      to: t.city.run.deployment.addresses.Escrow,
      data: await deliverCall(t, { id, deal }, masked),
    });
    await buyer.getByText("A key does not open what the device committed to").waitFor();
    await buyer.getByRole("button", { name: "Prove it to the escrow" }).click();
    await buyer.getByText("a key was proved wrong").first().waitFor();
    expect(await Escrow.queryFilter(Escrow.filters.WrongKeyProved(id), 0)).toHaveLength(1);
    expect(await Escrow.bondOf(liar.address, offer.token)).toBe(1_000n);
  });

  test("a complaint about quality: what it means is said before, the panel's phases are shown, its ruling shares the price", async () => {
    const about = "The sensor stood in a cellar.";
    const { preimage } = await t.get<{ preimage: StreamPreimage }>(1, `/streams/${square}`);
    const deliverer = t.city.people.deliverers[0]?.address as Hex;
    await panelKnown(t, 60);
    const offer = await offerOf(t, preimage, square, { deliverer, deliverSeconds: 60, complainSeconds: 120 });
    await until(
      "the indexer has the offer",
      async () => (await fetch(`${t.city.run.indexer}/offers/${offer.offerId}`)).ok,
    );
    await buyer.goto(`${site}/en/offers/${offer.offerId}`);
    await buyer.getByRole("button", { name: "The newest pack" }).click();
    await buyer.getByRole("button", { name: /^Pay/ }).click();
    await buyer.getByTestId("verified").waitFor();
    const id = buyer.url().split("/").pop() as Hex;
    const { Escrow } = t.city.contracts;
    const [opened] = await Escrow.queryFilter(Escrow.filters.DealOpened(id), 0);
    const { price, fee } = dealOf(opened!.args.deal);

    const card = buyer.getByRole("region", { name: "Is the data not what was promised?" });
    await card.getByText("5 organisations that have no part in this deal").waitFor();
    await card.getByLabel("What is wrong with the data?").fill(about);
    await picture(buyer, "complaint");
    expect(await accessibilityProblems(buyer)).toEqual([]);
    await card.getByRole("button", { name: /^Complain for/ }).click();
    await buyer.locator("[data-phase='commit']").waitFor();
    const [disputed] = await Escrow.queryFilter(Escrow.filters.Disputed(id), 0);
    expect(disputed?.args.complaint).toBe(complaintDigest(about));

    const votes = { "operator-2": 400, "operator-3": 1000, "registrar-1": 600 };
    const judge = (name: string) => t.city.people.judges.find(({ organisation }) => organisation === name) as Judge;
    for (const [name, perMille] of Object.entries(votes))
      await castVote(t.shop(), t.city.layout, judge(name), id, perMille);
    await buyer.locator('[data-step="votes"]').getByText("3 of 5 have").waitFor();
    await buyer.getByText("None: it has a part in the deal").waitFor();
    await buyer.locator("[data-phase='reveal']").waitFor();
    for (const name of Object.keys(votes)) await showVote(t.shop(), t.city.layout, judge(name), id);
    // Who delivered presses the button.
    await buyer.locator("[data-phase='over']").waitFor();
    const toBuyer = ((price - fee) * 600n) / 1000n;
    const [end] = await Escrow.queryFilter(Escrow.filters.Resolved(id), 0);
    expect([end?.args.ruled, end?.args.toBuyer, end?.args.toSeller]).toEqual([true, toBuyer, price - fee - toBuyer]);
    await buyer.getByText("60% of the seller’s part goes back to the buyer").waitFor();
    expect(await buyer.locator("[data-share='buyer']").innerText()).toBe(`${Number(toBuyer) / 1e6} MSEC`);
    await buyer.locator('[data-step="ended"]').getByText("The panel has decided").waitFor();
    await picture(buyer, "ruling");
    await buyer.reload();
    await buyer.getByText(about).waitFor();

    const { MSecToken } = t.city.contracts;
    const [held, owed] = await Promise.all([
      MSecToken.balanceOf(wallets.buyer.address),
      Escrow.creditOf(wallets.buyer.address, offer.token),
    ]);
    await buyer.getByRole("button", { name: /^Take out/ }).click();
    await until(
      "what is owed was taken out",
      async () => (await Escrow.creditOf(wallets.buyer.address, offer.token)) === 0n,
    );
    expect(await MSecToken.balanceOf(wallets.buyer.address)).toBe(held + owed);
    for (const locale of ["en", "es", "ja"]) {
      await buyer.goto(`${site}/${locale}/deals/${id}`);
      await buyer.locator("[data-phase='over']").waitFor();
      expect(await accessibilityProblems(buyer)).toEqual([]);
    }
  });

  test("the chain ends in the middle: the page says so, loses nothing, and goes on when it is back", async () => {
    browsers.buyer.expectError(/50[0-9]|Failed to load resource/);
    browsers.seller.expectError(/50[0-9]|Failed to load resource/);
    await buyer.goto(`${site}/en/streams/${square}`);
    await buyer.getByRole("button", { name: "The newest pack" }).click();
    await buyer.getByLabel("At most (MSEC)").waitFor();
    await t.kill("chain");
    await buyer.getByLabel("At most (MSEC)").fill("0.3");
    await until(
      "the request is left",
      async () => {
        if (await buyer.getByTestId("asked").isVisible()) return true;
        const leave = buyer.getByRole("button", { name: "Leave the request" });
        if (await leave.isEnabled().catch(() => false)) await leave.click({ timeout: 2_000 }).catch(() => undefined);
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        return false;
      },
      90_000,
    );
    await seller.goto(`${site}/en/requests`);
    const mine = seller.getByRole("region", { name: "You can fill these" });
    await mine.getByRole("button", { name: "Fill it" }).click();
    await expect.poll(() => mine.count()).toBe(0);
    await buyer.goto(`${site}/en/requests`);
    await buyer.getByRole("region", { name: "Your requests" }).locator('[data-request="filled"]').nth(1).waitFor();
  });

  test("a citizen without a wallet keeps a key behind a passkey, and signs a request with it", async () => {
    const alone = await TestBrowser.open();
    try {
      const page = await alone.page();
      const devtools = await page.context().newCDPSession(page);
      await devtools.send("WebAuthn.enable");
      await devtools.send("WebAuthn.addVirtualAuthenticator", {
        options: {
          protocol: "ctap2",
          ctap2Version: "ctap2_1",
          transport: "internal",
          hasResidentKey: true,
          hasUserVerification: true,
          hasPrf: true,
          isUserVerified: true,
          automaticPresenceSimulation: true,
        },
      });
      await page.goto(`${site}/en/streams/${square}`);
      await page.getByRole("button", { name: "Connect", exact: true }).click();
      await page.getByRole("button", { name: "Make a key in this browser" }).click();
      await page.getByRole("button", { name: "Use a passkey instead" }).click();
      const kept = await until("the key is kept", () =>
        page.evaluate(() => localStorage.getItem("msec.vault") ?? undefined),
      );
      expect(kept).toMatch(/passkey/);
      const { address } = JSON.parse(kept) as { address: Hex };
      await page.getByRole("button", { name: new RegExp(address.slice(0, 6)) }).waitFor();
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: "The newest pack" }).click();
      await page.getByLabel("At most (MSEC)").fill("0.01");
      await page.getByRole("button", { name: "Leave the request" }).click();
      await until("everything is agreed to", async () => {
        if (await page.getByTestId("asked").isVisible()) return true;
        const agree = page.getByRole("button", { name: "Agree" });
        if (await agree.isEnabled().catch(() => false)) await agree.click({ timeout: 2_000 }).catch(() => undefined);
        return false;
      });
      const found = await fetch(`${t.city.run.markets[0]?.url}/orders?maker=${address}`);
      expect(((await found.json()) as { items: unknown[] }).items).toHaveLength(1);
      expect(alone.wrongs).toEqual([]);
    } catch (error) {
      for (const page of alone.context.pages()) console.log(await page.locator("body").innerText());
      throw error;
    } finally {
      await alone.close();
    }
  });

  test("an offer is published in three steps, and closed; only by the owner", async () => {
    await buyer.goto(`${site}/en/publish/${square}`);
    await buyer.getByText("Another account owns this stream's device").waitFor();
    await seller.goto(`${site}/en/my-data`);
    const card = seller.locator('[data-stream="square/air"]');
    await card.getByRole("link", { name: "Sell it…" }).click();
    const next = seller.getByRole("button", { name: "Next" });
    await seller.getByLabel("Price of a reading (MSEC)").fill("-1");
    expect(await next.isDisabled()).toBe(true);
    await seller.getByLabel("Price of a reading (MSEC)").fill("0.0005");
    await next.click();
    await seller.getByRole("textbox", { name: "Licence" }).fill("For research. No attempt to identify people.");
    await next.click();
    await picture(seller, "publish");
    await seller.getByRole("button", { name: "Publish the offer" }).click();
    await seller.getByTestId("published").waitFor();
    const { Marketplace } = t.city.contracts;
    const published = await Marketplace.queryFilter(Marketplace.filters.OfferPublished(undefined, square), 0);
    const newest = published.at(-1)?.args;
    expect(newest?.terms.unitPrice).toBe(500n);
    await seller.getByRole("link", { name: "To my data" }).click();
    const offer = seller.locator(`[data-offer="${newest?.offerId}"]`);
    await offer.getByRole("button", { name: "Close" }).click();
    await expect.poll(() => offer.count()).toBe(0);
    expect((await Marketplace.offer(newest?.offerId ?? "")).state).toBe(2n);
  });

  test("the owner shows a period to everybody: opened and verified without a wallet, until it is taken back", async () => {
    const alone = await TestBrowser.open();
    try {
      const visitor = await alone.page();
      await visitor.goto(`${site}/en/streams/${square}`);
      await visitor.getByRole("heading", { name: "As it comes in" }).waitFor();
      expect(await visitor.getByTestId("sample").count()).toBe(0);
      const given = () => t.get<{ sample: SampleKeys | null }>(1, `/streams/${square}/sample`);
      expect(await given()).toEqual({ sample: null });

      await seller.goto(`${site}/en/publish/${square}`);
      const form = seller.getByRole("region", { name: "Let people look before they buy" });
      const sent = wallets.seller.asked.filter((method) => method === "eth_sendTransaction").length;
      await form.getByRole("button", { name: "Show it to everybody" }).click();
      await form.getByText("4 of 4 operators have it.").waitFor();
      expect(wallets.seller.asked.filter((method) => method === "eth_sendTransaction")).toHaveLength(sent);

      await visitor.reload();
      await visitor.getByRole("button", { name: "Open the sample" }).click();
      await visitor.getByTestId("verified").waitFor();
      await visitor.getByTestId("readings").getByRole("row").nth(1).waitFor();
      await picture(visitor, "sample");
      // The keys are those of the sample's slots, and of no others.
      const { fromSlot, toSlot, nodes } = (await given()).sample as SampleKeys;
      expect(nodes.map(({ depth, firstSlot }) => ({ depth, firstSlot }))).toEqual(cover(fromSlot, toSlot));

      await seller.reload();
      await form.getByRole("button", { name: "Take it back" }).click();
      await form.getByText("4 of 4 operators have it.").waitFor();
      expect(await given()).toEqual({ sample: null });
    } finally {
      expect(alone.wrongs).toEqual([]);
      await alone.close();
    }
  });

  test("the owner says where it is measured: it stands on the map, until the place is taken back", async () => {
    const placeOf = async () => {
      const { thing } = await t.get<{ thing: SignedThing | null }>(1, `/streams/${square}`);
      return thing ? readThing(square, thing.document).place : undefined;
    };
    expect(await placeOf()).toBeUndefined();
    const sent = wallets.seller.asked.filter((method) => method === "eth_sendTransaction").length;
    await seller.goto(`${site}/en/my-data`);
    await seller.getByRole("link", { name: "Where it is measured" }).first().waitFor();
    await seller.goto(`${site}/en/publish/${square}`);
    const form = seller.getByRole("region", { name: "Where it is measured" });
    await form.getByLabel("Latitude, longitude").fill("43.4728; -3.8002");
    await form.getByText("Two numbers with a comma between them").waitFor();
    expect(await form.getByRole("button", { name: "Put it on the map" }).isDisabled()).toBe(true);
    await form.getByLabel("Latitude, longitude").fill("43.4728, -3.8002");
    await form.getByLabel("What people call the place").fill("Las Llamas <b>");
    await form.getByRole("button", { name: "Put it on the map" }).click();
    await form.getByText("4 of 4 operators have it.").waitFor();
    expect(await placeOf()).toEqual({ latitude: 43.4728, longitude: -3.8002, name: "Las Llamas <b>" });
    expect(wallets.seller.asked.filter((method) => method === "eth_sendTransaction")).toHaveLength(sent);
    await until("the map has it", async () => {
      const { items } = (await (await fetch(`${t.city.run.indexer}/places`)).json()) as {
        items: { streamId: Hex; latitude: number; place: string | null }[];
      };
      return items.some((item) => item.streamId === square && item.latitude === 43.4728 && item.place !== null);
    });
    await seller.reload();
    await form.getByRole("button", { name: "Take the place back" }).click();
    await form.getByText("4 of 4 operators have it.").waitFor();
    expect(await placeOf()).toBeUndefined();
  });

  test("a live stream is subscribed to; each batch is verified; more is added, it pauses, goes on and ends", async () => {
    const { preimage } = await t.get<{ preimage: StreamPreimage }>(1, `/streams/${live}`);
    await subscriptionOffer(t, preimage, live, t.city.people.deliverers[0]?.address as Hex);
    await until("the indexer has it", async () => {
      const response = await fetch(`${t.city.run.indexer}/events?contract=Subscription&name=OfferPublished`);
      const { items } = (await response.json()) as { items: { args: { offer: { slotPrice: string } } }[] };
      return items.some(({ args }) => args.offer.slotPrice === "100");
    });
    await buyer.goto(`${site}/en/streams/${live}`);
    const form = buyer.locator("form").filter({ hasText: "batches of 4 slots" });
    await form.getByLabel("Deposit (MSEC)").fill("0.1");
    await form.getByRole("button", { name: "Subscribe" }).click();
    await buyer.waitForURL(/subscriptions\/0x/);
    const id = buyer.url().split("/").pop() as Hex;
    const { contracts } = t.city;
    expect((await stateOf(contracts, id)).phase).toBe(PHASE.active);
    await buyer.locator("[data-batch]").first().getByTestId("verified").waitFor();
    await picture(buyer, "subscription");
    const press = async (name: string, phase: string) => {
      await buyer.getByRole("button", { name, exact: true }).click();
      await buyer.locator(`[data-phase="${phase}"]`).waitFor();
    };
    const before = (await stateOf(contracts, id)).balance;
    await buyer.getByLabel("Add to the deposit (MSEC)").fill("0.2");
    await press("Add", "active");
    await until("the deposit has grown", async () => (await stateOf(contracts, id)).balance > before);
    await press("Pause", "held");
    expect((await stateOf(contracts, id)).phase).toBe(PHASE.held);
    // What was measured before the pause may still be on its way: until then both are refused, with the reason.
    const again = async (name: string, done: () => Promise<boolean>) => {
      await until(
        `“${name}” is taken`,
        async () => {
          if (await done()) return true;
          const button = buyer.getByRole("button", { name, exact: true });
          if (await button.isEnabled().catch(() => false))
            await button.click({ timeout: 2_000 }).catch(() => undefined);
          await new Promise((resolve) => setTimeout(resolve, 1_000));
          return false;
        },
        90_000,
      );
    };
    await again("Go on", async () => (await stateOf(contracts, id)).phase === PHASE.active);
    await again("End it", async () => (await stateOf(contracts, id)).phase === PHASE.ended);
    const out = buyer.getByRole("button", { name: /^Take out/ });
    await out.click();
    await until("it is paid out", async () => {
      const token = t.city.run.deployment.addresses.MSecToken;
      return (await contracts.Subscription.creditOf(wallets.buyer.address, token)) === 0n;
    });
    await buyer.goto(`${site}/en/deals`);
    await buyer.getByRole("link", { name: /^Subscription, \d+ batch/ }).waitFor();
  });

  test("nonsense in an address is told, and no market is reached beside its book", async () => {
    browsers.buyer.expectError(/404|400/);
    for (const path of ["/streams/0x12", `/streams/0x${"12".repeat(32)}`, "/publish/zero", "/subscriptions/nothing"]) {
      await buyer.goto(`${site}/en${path}`);
      await buyer
        .getByText(/Nothing is here|not|expected/i)
        .first()
        .waitFor();
    }
    for (const path of ["/api/markets/0/metrics", "/api/markets/9/orders", "/api/markets/0/orders/../status"])
      expect((await fetch(`${site}${path}`)).status === 200 && !path.includes("..")).toBe(false);
    const forged = { method: "POST", body: "{}", headers: { "content-type": "application/json" } };
    expect((await fetch(`${site}/api/markets/0/orders`, forged)).status, "no origin").toBe(403);
    const foreign = { ...forged, headers: { ...forged.headers, origin: "http://evil.example" } };
    expect((await fetch(`${site}/api/markets/0/orders`, foreign)).status).toBe(403);
    const own = { ...forged, headers: { ...forged.headers, origin: site } };
    expect((await fetch(`${site}/api/markets/0/orders`, own)).status).toBe(400);
  });

  test("nothing of it shuts anybody out: WCAG 2.2 AA in each language and theme", async () => {
    await seller.goto("about:blank");
    const subscription = (
      await t.city.contracts.Subscription.queryFilter(t.city.contracts.Subscription.filters.Subscribed(), 0)
    ).at(-1);
    const routes = [
      `/streams/${square}`,
      `/streams/${live}`,
      "/requests",
      `/publish/${square}`,
      `/subscriptions/${subscription?.args.subscriptionId}`,
    ];
    const ready = () => buyer.locator("main h1").waitFor();
    expect(await problemsEverywhere(buyer, site, routes, ready)).toEqual([]);
  });
});
