import { type Hex } from "@msec/core";
import { casePhase, type CasePhase, PASSED, resolveCall, STATE } from "@msec/trade";
import { type Account, type Judge } from "../city/layout.ts";
import { short, time } from "../output.ts";
import { Problem } from "../problem.ts";
import { caseWindows, type Court, dealById, newestBlock, transactAs } from "./deal.ts";

/** A place on the panel of a case. */
export interface Seat {
  seat: number;
  member: Hex;
  organisation: string;
  /** Not where a party is of its organisation. */
  mayJudge: boolean;
  committed: boolean;
  /** The vote, once it was shown. */
  perMille: number | null;
}

/** A deal before the panel. */
export interface Case {
  /** Of the deal, and so of the case. */
  id: Hex;
  /** Digest of the complaint's text. */
  complaint: Hex;
  phase: CasePhase;
  /** Unix milliseconds; later where the chain stands still. */
  commitUntil: number;
  revealUntil: number;
  /** Without a ruling by then the sale stands. */
  rulingUntil: number;
  seats: Seat[];
  /** Per mille that goes back to the buyer, once that is ruled. */
  ruling: number | null;
}

/** Every case that is not over, oldest first. */
export async function openCases(court: Court, judges: readonly Judge[]): Promise<Case[]> {
  const { Escrow } = court.contracts;
  const disputed = await Escrow.queryFilter(Escrow.filters.Disputed(), 0);
  const ended = await Escrow.queryFilter(Escrow.filters.Resolved(), 0);
  const over = new Set(ended.map(({ args }) => args.dealId));
  const open = disputed.filter(({ args }) => !over.has(args.dealId));
  return Promise.all(open.map(({ args }) => caseById(court, args.dealId, judges)));
}

/** @throws Problem where the deal is not before the panel. */
export async function caseById(court: Court, id: string, judges: readonly Judge[]): Promise<Case> {
  const { Arbitration, Escrow } = court.contracts;
  const escrow = court.deployment.addresses.Escrow;
  const { status } = await dealById(court, id);
  const state = status.state & ~PASSED;
  if (state === STATE.resolved) throw new Problem(`case ${id} is over: the deal has ended`);
  if (state !== STATE.disputed) throw new Problem(`nobody complained of deal ${id}: see msec panel`, 2);
  const [windows, opened, complaints, committed, revealed] = await Promise.all([
    caseWindows(court.contracts),
    Arbitration.caseOf(escrow, id),
    Escrow.queryFilter(Escrow.filters.Disputed(id), 0),
    Arbitration.queryFilter(Arbitration.filters.Committed(escrow, id), 0),
    Arbitration.queryFilter(Arbitration.filters.Revealed(escrow, id), 0),
  ]);
  const [members] = await Arbitration.panelAt(opened.panel);
  const seats = members.map((member, seat): Seat => {
    const address = member.toLowerCase() as Hex;
    const shown = revealed.find(({ args }) => Number(args.seat) === seat);
    return {
      seat,
      member: address,
      organisation: judges.find((judge) => judge.address === address)?.organisation ?? short(address),
      mayJudge: ((opened.excluded >> BigInt(seat)) & 1n) === 0n,
      committed: committed.some(({ args }) => Number(args.seat) === seat),
      perMille: shown ? Number(shown.args.perMille) : null,
    };
  });
  const phase = casePhase(status, revealed.length, windows, await newestBlock(court));
  const until = (seconds: number) => status.at + seconds * 1000;
  return {
    id: id as Hex,
    complaint: complaints[0]?.args.complaint as Hex,
    phase,
    commitUntil: until(windows.commitSeconds),
    revealUntil: until(windows.caseSeconds),
    rulingUntil: until(windows.rulingSeconds),
    seats,
    ruling: phase === "ruled" ? Number((await Arbitration.ruling(escrow, id)).perMille) : null,
  };
}

/** Ends a case: by the ruling, or as a sale where there is none in time. Deliverers do so by themselves; anyone may. */
export async function resolveCase(court: Court, by: Account, id: string, judges: readonly Judge[]): Promise<Case> {
  const found = await caseById(court, id, judges);
  if (found.phase === "commit" || found.phase === "reveal")
    throw new Problem(`the panel has until ${time(found.revealUntil)}: then there is a ruling, or there will be none`);
  if (found.phase === "unruled")
    throw new Problem(
      `too few judges have shown a vote: the sale stands, and can be ended at ${time(found.rulingUntil)}`,
    );
  const { deal, status } = await dealById(court, id);
  const { functionName, args } = resolveCall(deal, status);
  await transactAs(court, by, "Escrow", court.contracts.Escrow.interface.encodeFunctionData(functionName, args));
  return found;
}
