import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Hex } from "@msec/core";
import { statusOf } from "@msec/market";
import { readJson, writeJson } from "@msec/service";
import { STATE, type StreamInfo } from "@msec/trade";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Judge } from "../../apps/cli/src/city/layout.ts";
import { complain, type Complaint, complaintTerms } from "../../apps/cli/src/dispute/complain.ts";
import { withdrawCredit } from "../../apps/cli/src/dispute/deal.ts";
import { caseById, openCases, resolveCase } from "../../apps/cli/src/dispute/docket.ts";
import { castVote, commitmentOf, showVote, type Vote, voteFile } from "../../apps/cli/src/dispute/vote.ts";
import { buy, type Purchase } from "../../apps/cli/src/market/buy.ts";
import { csvFile, msec, openPlan, TestCity, until } from "../support/city.ts";
import { offerOf, panelKnown, refusal } from "../support/deal.ts";
import { ask, indexedAsOnChain } from "../support/indexed.ts";

// A real city and its panel: a buyer complains of quality, organisations outside the deal judge or stay silent.

// Its commands are processes of their own, on a machine that may have other work.
const CASE = { commit: 70, reveal: 50 };
const ABOUT = "The sensor stood in a cellar: 19.5 degrees at noon in August.";

let t: TestCity;
let judged: Purchase;
let silent: Purchase;
let complaint: Complaint;
/** What everybody had before the panel ruled. */
let before: Record<string, bigint>;

beforeAll(async () => {
  t = await TestCity.up((root) => [openPlan("park", csvFile(root, "park.csv", 600, 1000).file, 10, 60)], {
    software: true,
    caseSeconds: CASE,
  });
  const stream = t.streamOf("park");
  const { preimage, firstSlot } = await until("twenty slots are anchored", async () => {
    const info = await t.get<StreamInfo>(1, `/streams/${stream}`);
    return (info.lastSlot ?? 0) > (info.firstSlot ?? Infinity) + 20 && info;
  });
  const first = firstSlot as number;
  const sold = { deliverer: t.city.people.deliverers[0]?.address as Hex, deliverSeconds: 60 };
  const told: string[] = [];
  await panelKnown(t, sold.deliverSeconds);
  const patient = await offerOf(t, preimage, stream, { ...sold, complainSeconds: 120 });
  judged = await buy(t.shop(told), patient, first + 1, first + 7);
  expect(told.join("\n"), "said before paying").toMatch(/complaints.*5 organisations outside this deal/);
  silent = await buy(t.shop(), patient, first + 2, first + 5);
});

afterAll(() => t?.stop());

const member = (name: string): Judge => t.city.people.judges.find(({ organisation }) => organisation === name) as Judge;
const vote = (name: string, perMille: number) =>
  castVote(t.shop(), t.city.layout, member(name), judged.dealId, perMille);
const show = (name: string) => showVote(t.shop(), t.city.layout, member(name), judged.dealId);
const here = () => ["--dir", t.root];
const token = () => t.city.run.deployment.addresses.MSecToken;
const credit = (who: Hex) => t.city.contracts.Escrow.creditOf(who, token());

async function holdings(): Promise<Record<string, bigint>> {
  const { buyer, city, deliverers, judges } = t.city.people;
  const accounts = [buyer, city, ...judges].map(({ address }) => address);
  const credits = await Promise.all(accounts.map(async (who): Promise<[string, bigint]> => [who, await credit(who)]));
  const deliverer = deliverers[0]?.address as Hex;
  return { ...Object.fromEntries(credits), [deliverer]: await t.city.contracts.Escrow.bondOf(deliverer, token()) };
}

const invariantsHold = () =>
  until("the board shows every invariant to hold", async () => {
    const { invariants, accessDifferences } = await ask<{
      invariants: { id: string; verdict: string }[];
      accessDifferences: unknown[];
    }>(t, "/audit");
    return accessDifferences.length === 0 && invariants.every(({ verdict }) => verdict === "holds");
  });

describe("a complaint about quality", () => {
  test("who may complain, until when, and what it costs is said before; others are told why not", async () => {
    const terms = await complaintTerms(t.shop(), judged.dealId);
    const { deal } = judged;
    expect(terms).toMatchObject({ cost: deal.price / 10n, most: deal.price - deal.fee, judges: 5 });
    expect(terms).toMatchObject({ commitSeconds: 70, caseSeconds: 120, rulingSeconds: 240 });
    const stranger = { ...t.shop(), buyer: t.city.people.citizen };
    await expect(complaintTerms(stranger, judged.dealId)).rejects.toThrow(/only its buyer .* may complain/);
    await expect(complain(t.shop(), judged.dealId, " ")).rejects.toThrow("--about TEXT");
    await expect(castVote(t.shop(), t.city.layout, member("operator-2"), judged.dealId, 1)).rejects.toThrow(
      /nobody complained of deal/,
    );
    const unknown = await msec(["dispute", `0x${"ab".repeat(32)}`, "--json", ...here()]);
    expect(unknown.code).toBe(2);
    expect(unknown.out).toContain("knows no deal");
  });

  test("the buyer puts it before the panel; its stake is the escrow's, the text stays with the buyer", async () => {
    const { buyer } = t.city.people;
    const held = await t.city.contracts.MSecToken.balanceOf(buyer.address);
    complaint = await complain(t.shop(), judged.dealId, ABOUT);
    expect(await t.city.contracts.MSecToken.balanceOf(buyer.address)).toBe(held - complaint.cost);
    expect(readFileSync(complaint.file, "utf8")).toBe(ABOUT);
    // The CLI's way for the other deal, of which no judge will say a word.
    const other = await msec(["dispute", silent.dealId, "--about", "It is noise.", "--json", ...here()]);
    expect(other.code, other.out).toBe(0);
    before = await holdings();
    await expect(complain(t.shop(), judged.dealId, ABOUT)).rejects.toThrow("the panel judges it already");
  });

  test("members vote in secret, once; an organisation of a party is refused, by the contract too", async () => {
    const { Arbitration, Escrow } = t.city.run.deployment.addresses;
    const open = await openCases(t.shop(), t.city.people.judges);
    expect(open.map(({ id, phase }) => [id, phase])).toEqual([
      [judged.dealId, "commit"],
      [silent.dealId, "commit"],
    ]);
    expect(open[0]?.complaint).toBe(complaint.complaint);
    const party = member("operator-1");
    await expect(vote("operator-1", 0)).rejects.toThrow("operator-1 may not judge this case");
    const seat = open[0]?.seats.find(({ organisation }) => organisation === "operator-1");
    const forced = t.city.contracts.Arbitration.interface.encodeFunctionData("commit", [
      ...([
        Escrow,
        judged.dealId,
        seat?.seat as number,
        commitmentOf(Escrow, judged.dealId, party.address, { perMille: 0, salt: complaint.complaint }),
      ] as const),
    ]);
    expect(await refusal(t, party.address, Arbitration, forced)).toMatch(/Arbitration_NotYourSeat/);

    // As after a kill between keeping the vote and sending it: it goes out as it was kept, and no other does.
    const file = voteFile(t.city.layout, member("operator-2"), judged.dealId);
    const kept: Vote = { perMille: 700, salt: `0x${"5a".repeat(32)}` };
    mkdirSync(dirname(file), { recursive: true });
    writeJson(file, kept);
    await expect(vote("operator-2", 200)).rejects.toThrow("a vote of 700 by operator-2 may be on its way");
    await vote("operator-2", 700);
    expect(readJson<Vote>(file)).toEqual(kept);
    expect(
      await t.city.contracts.Arbitration.commitmentOf(
        Escrow,
        judged.dealId,
        member("operator-2").address,
        kept.perMille,
        kept.salt,
      ),
    ).toBe(commitmentOf(Escrow, judged.dealId, member("operator-2").address, kept));
    await vote("operator-3", 300);
    await vote("registrar-1", 1000);
    await expect(vote("operator-3", 300)).rejects.toThrow("a vote can't be changed");
    await expect(show("operator-3")).rejects.toThrow(/votes are shown from .* on, not before/);
    await expect(resolveCase(t.shop(), party, judged.dealId, [])).rejects.toThrow(/the panel has until/);

    const listed = await msec(["panel", "--json", ...here()]);
    expect(listed.code, listed.out).toBe(0);
    const [first] = JSON.parse(listed.out) as {
      id: Hex;
      seats: { organisation: string; committed: boolean; perMille: null }[];
    }[];
    expect(
      first?.seats
        .filter(({ committed }) => committed)
        .map(({ organisation }) => organisation)
        .sort(),
    ).toEqual([...["operator-2", "operator-3", "registrar-1"]]);
    expect(
      first?.seats.every(({ perMille }) => perMille === null),
      "no vote is known yet",
    ).toBe(true);
  });

  test("votes are shown, and the lower median shares the seller's part; the judges have the stake", async () => {
    await until("votes are shown", async () => (await caseById(t.shop(), judged.dealId, [])).phase === "reveal");
    await expect(vote("operator-4", 0)).rejects.toThrow(/the time to vote was over/);
    await expect(show("operator-4")).rejects.toThrow("operator-4 has not voted");
    await show("operator-2");
    await show("operator-3");
    const last = await msec(["panel", "reveal", judged.dealId, "--as", "registrar-1", "--json", ...here()]);
    expect(last.code, last.out).toBe(0);
    expect(await show("operator-2"), "again: nothing is sent").toMatchObject({ perMille: 700 });
    await invariantsHold();

    // Nobody presses a button: the deliverer's process does, once it helps.
    const { deal, dealId } = judged;
    await until(
      "the ruling is paid out",
      async () => (await statusOf(t.city.contracts, dealId))?.state === STATE.resolved,
      90_000,
    );
    const after = await holdings();
    const gained = (who: Hex) => (after[who] as bigint) - (before[who] as bigint);
    const { buyer, city, deliverers } = t.city.people;
    const sellersPart = deal.price - deal.fee;
    const toBuyer = (sellersPart * 700n) / 1000n;
    const share = complaint.cost / 3n;
    expect(gained(buyer.address)).toBe(toBuyer + complaint.cost - 3n * share);
    expect(gained(city.address)).toBe(sellersPart - toBuyer);
    expect(gained(deliverers[0]?.address as Hex), "bond and fee").toBe(deal.bond + deal.fee);
    for (const name of ["operator-2", "operator-3", "registrar-1"]) expect(gained(member(name).address)).toBe(share);
    expect(gained(member("operator-4").address), "who did not judge").toBe(0n);
    await expect(caseById(t.shop(), dealId, [])).rejects.toThrow("is over");

    const judge = member("operator-2");
    expect(await withdrawCredit(t.shop(), judge, token())).toBe(share);
    expect(await t.city.contracts.MSecToken.balanceOf(judge.address)).toBe(share);
    const paid = await msec(["withdraw", "--json", ...here()]);
    expect(JSON.parse(paid.out)).toMatchObject({ paid: String(after[buyer.address]) });
    expect(await credit(buyer.address)).toBe(0n);
  });

  test("a judge tells the buyer's text from another; the account is one of the panel's", async () => {
    const text = join(t.city.layout.purchases, silent.dealId, "complaint.txt");
    const other = import.meta.filename;
    const said = await msec(["panel", "read", silent.dealId, text, "--json", ...here()]);
    expect(said.code, said.out).toBe(0);
    expect((await msec(["panel", "read", silent.dealId, other, "--json", ...here()])).code).toBe(1);
    const nobody = await msec(["panel", "vote", silent.dealId, "--per-mille", "5", "--as", "nobody", ...here()]);
    expect(nobody.code).toBe(2);
    expect(nobody.out).toMatch(/--as takes a member of the panel, operator-1, .*registrar-2, not nobody/);
  });

  test("a panel that stays silent: the sale stands by time alone, and the stake comes back", async () => {
    const { buyer, city } = t.city.people;
    const { deal, dealId } = silent;
    const seller = await credit(city.address);
    await until(
      "the case has ended",
      async () => (await statusOf(t.city.contracts, dealId))?.state === STATE.resolved,
      300_000,
    );
    const { Escrow } = t.city.contracts;
    const [end] = await Escrow.queryFilter(Escrow.filters.Resolved(dealId), 0);
    expect(end?.args.ruled).toBe(false);
    expect(await credit(city.address)).toBe(seller + deal.price - deal.fee);
    expect(await credit(buyer.address)).toBe(deal.price / 10n);
    const none = await msec(["panel", ...here()]);
    expect([none.code, none.out.trim()]).toEqual([0, "no case is open"]);
  }, 360_000);

  test("auditors see nothing amiss: contracts as in the manifest, every invariant holds, the indexer tells of both", async () => {
    const checked = await msec(["contracts", "--rpc", t.city.run.chain.rpc, "--json", ...here()]);
    expect(checked.code, checked.out).toBe(0);
    await invariantsHold();
    await indexedAsOnChain(t);
  });
});
