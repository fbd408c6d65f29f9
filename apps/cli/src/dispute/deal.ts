import { type Contracts, describeError, Sender } from "@msec/chain";
import { type Deal, type Hex } from "@msec/core";
import { statusOf } from "@msec/market";
import { type BlockTime, type CaseWindows, dealOf, type Known } from "@msec/trade";
import { type Account } from "../city/layout.ts";
import { type Shop } from "../market/buy.ts";
import { Problem } from "../problem.ts";

/** The chain and the contracts on it. */
export type Court = Pick<Shop, "contracts" | "provider" | "deployment">;

export interface FoundDeal {
  deal: Deal;
  status: Known;
}

/** A deal as the chain has it now. */
export async function dealById({ contracts: { Escrow }, contracts }: Court, id: string): Promise<FoundDeal> {
  if (!/^0x[0-9a-f]{64}$/.test(id))
    throw new Problem(`${id} is no deal: 0x and 64 digits, as msec buy --json prints`, 2);
  const [opened] = await Escrow.queryFilter(Escrow.filters.DealOpened(id), 0);
  const status = await statusOf(contracts, id as Hex);
  if (!opened || !status) throw new Problem(`the escrow knows no deal ${id}`, 2);
  return { deal: dealOf(opened.args.deal), status };
}

export async function newestBlock({ provider }: Court): Promise<BlockTime> {
  const block = await provider.getBlock("latest");
  if (!block) throw new Problem("the chain shows no block: is it up? see msec status");
  return block;
}

export async function caseWindows({ Arbitration, Escrow }: Contracts): Promise<CaseWindows> {
  const [commitSeconds, caseSeconds, rulingSeconds] = await Promise.all([
    Arbitration.commitSeconds(),
    Arbitration.caseSeconds(),
    Escrow.rulingSeconds(),
  ]);
  return {
    commitSeconds: Number(commitSeconds),
    caseSeconds: Number(caseSeconds),
    rulingSeconds: Number(rulingSeconds),
  };
}

/** Sends as somebody, waits for the block, and says why where the contract refuses. */
export async function transactAs(
  { provider, deployment }: Court,
  { key }: Account,
  contract: "Arbitration" | "Escrow" | "MSecToken",
  data: string,
): Promise<Hex> {
  const sender = new Sender(key, provider, deployment.chainId);
  const receipt = await sender.transact({ to: deployment.addresses[contract], data }).catch((error: unknown) => {
    throw new Problem(`the chain does not take it: ${describeError(error)}`);
  });
  return receipt.hash as Hex;
}

/** Takes out what the escrow owes an account. Returns how much that was. */
export async function withdrawCredit(court: Court, account: Account, token: Hex): Promise<bigint> {
  const { Escrow } = court.contracts;
  const owed = await Escrow.creditOf(account.address, token);
  if (owed > 0n) await transactAs(court, account, "Escrow", Escrow.interface.encodeFunctionData("withdraw", [token]));
  return owed;
}
