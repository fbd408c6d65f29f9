import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Deal, type Hex } from "@msec/core";
import {
  complaintBond,
  complaintDigest,
  disputeCall,
  isClosed,
  LEAST_JUDGES,
  panelTime,
  partiesOf,
  PASSED,
  STATE,
} from "@msec/trade";
import { type Shop } from "../market/buy.ts";
import { time, tokens } from "../output.ts";
import { Problem } from "../problem.ts";
import { caseWindows, dealById, type FoundDeal, newestBlock, transactAs } from "./deal.ts";

/** What a complaint about the quality of a delivered deal comes to. */
export interface ComplaintTerms {
  deal: Hex;
  /** Units: the judges', whatever they rule. */
  cost: bigint;
  /** Units: the most that can come back, price less fee. */
  most: bigint;
  /** Organisations outside the deal. */
  judges: number;
  /** Unix milliseconds; later where the chain stands still. */
  complainUntil: number;
  commitSeconds: number;
  caseSeconds: number;
  /** Without a ruling so many seconds after the complaint, the sale stands and the cost comes back. */
  rulingSeconds: number;
}

export interface Complaint extends ComplaintTerms {
  complaint: Hex;
  transaction: Hex;
  /** The text, which the panel is to be given. */
  file: string;
}

const WHY_NOT: Record<number, string> = {
  [STATE.funded]: "nothing was delivered yet: there is nothing to complain of",
  [STATE.released]: "the time to complain is over: the seller was paid",
  [STATE.refunded]: "the price was paid back already",
  [STATE.disputed]: "the panel judges it already: see msec panel",
  [STATE.resolved]: "the panel's time for it is over: see msec withdraw for what is owed",
};

/** What it would cost to complain now, who would judge and until when. A {@link Problem} where nobody can, any more. */
export async function complaintTerms(shop: Shop, id: string): Promise<ComplaintTerms> {
  return termsOf(shop, id as Hex, await dealById(shop, id));
}

async function termsOf(shop: Shop, id: Hex, { deal, status }: FoundDeal): Promise<ComplaintTerms> {
  const { contracts, buyer } = shop;
  if (deal.buyer !== buyer.address)
    throw new Problem(`only its buyer ${deal.buyer} may complain of this deal, not ${buyer.address}`);
  const why = WHY_NOT[status.state & ~PASSED];
  if (why) throw new Problem(why);
  const complainUntil = status.at + deal.complainSeconds * 1000;
  if (isClosed(status, deal.complainSeconds, await newestBlock(shop)))
    throw new Problem(`the time to complain was over at ${time(complainUntil)}`);
  const judges = Number(await contracts.Arbitration.judgesFor(partiesOf(deal), panelTime(deal, status)));
  if (judges < LEAST_JUDGES)
    throw new Problem(
      `nobody can judge this deal: ${judges} organisations outside it were on the panel when it was bought, ${LEAST_JUDGES} are needed`,
    );
  const windows = await caseWindows(contracts);
  return { deal: id, cost: complaintBond(deal), most: deal.price - deal.fee, judges, complainUntil, ...windows };
}

/** Takes a delivered deal to the panel. The text stays with the buyer; the chain has its digest. */
export async function complain(shop: Shop, id: string, text: string): Promise<Complaint> {
  if (text.trim() === "") throw new Problem("say what is wrong with the data: --about TEXT", 2);
  const found = await dealById(shop, id);
  const terms = await termsOf(shop, id as Hex, found);
  await allow(shop, found.deal, terms.cost);
  const complaint = complaintDigest(text);
  const folder = join(shop.purchases, id);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, "complaint.txt");
  writeFileSync(file, text, { mode: 0o600 });
  const call = disputeCall(found.deal, found.status, complaint);
  const data = shop.contracts.Escrow.interface.encodeFunctionData(call.functionName, call.args);
  return { ...terms, complaint, file, transaction: await transactAs(shop, shop.buyer, "Escrow", data) };
}

/** Lets the escrow take what the complaint costs. */
async function allow(shop: Shop, deal: Deal, cost: bigint): Promise<void> {
  const { contracts, deployment, buyer } = shop;
  const { MSecToken } = contracts;
  const { Escrow: escrow } = deployment.addresses;
  const held = await MSecToken.balanceOf(buyer.address);
  if (held < cost)
    throw new Problem(`a complaint costs ${tokens(cost)}, the account ${deal.buyer} holds ${tokens(held)}`);
  if ((await MSecToken.allowance(buyer.address, escrow)) >= cost) return;
  await transactAs(shop, buyer, "MSecToken", MSecToken.interface.encodeFunctionData("approve", [escrow, cost]));
}
