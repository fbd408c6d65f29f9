import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describeError } from "@msec/chain";
import { type Hex, toHex } from "@msec/core";
import { readJson, writeJson } from "@msec/service";
import { AbiCoder, keccak256 } from "ethers";
import { type Judge, type Layout } from "../city/layout.ts";
import { time } from "../output.ts";
import { Problem } from "../problem.ts";
import { type Court, transactAs } from "./deal.ts";
import { type Case, caseById, type Seat } from "./docket.ts";

/** A vote that nobody else may see before it is shown. */
export interface Vote {
  /** How much of the seller's part goes back to the buyer, 0 to 1000. */
  perMille: number;
  /** 32 random bytes: without them the vote could be guessed, and can't be shown. */
  salt: Hex;
}

/** Where a member keeps its vote on a case. */
export const voteFile = (layout: Layout, { organisation }: Judge, id: string): string =>
  join(layout.judge(organisation), "votes", `${id}.json`);

/** As `Arbitration.commitmentOf`, without telling an endpoint. */
export const commitmentOf = (court: Hex, id: Hex, judge: Hex, { perMille, salt }: Vote): Hex =>
  keccak256(
    AbiCoder.defaultAbiCoder().encode(
      ["address", "bytes32", "address", "uint16", "bytes32"],
      [court, id, judge, perMille, salt],
    ),
  ) as Hex;

function seatOf({ seats }: Case, { address, organisation }: Judge): Seat {
  const seat = seats.find(({ member }) => member === address);
  if (!seat) throw new Problem(`${organisation} was not on the panel when this deal was bought`);
  if (!seat.mayJudge) throw new Problem(`${organisation} may not judge this case: a party of the deal is of it`);
  return seat;
}

/**
 * Commits a member's vote. It is kept before it is sent, and one that was kept is sent again as it was: the chain may have
 * taken it already.
 */
export async function castVote(
  court: Court,
  layout: Layout,
  judge: Judge,
  id: string,
  perMille: number,
): Promise<Case> {
  const { Arbitration } = court.contracts;
  const { Escrow: escrow, Arbitration: arbitration } = court.deployment.addresses;
  const found = await caseById(court, id, [judge]);
  const seat = seatOf(found, judge);
  if (seat.committed)
    throw new Problem(`${judge.organisation} has voted; a vote can't be changed. It is shown with msec panel reveal`);
  if (found.phase !== "commit") throw new Problem(`the time to vote was over at ${time(found.commitUntil)}`);
  const file = voteFile(layout, judge, id);
  const kept = readJson<Vote>(file);
  if (kept && kept.perMille !== perMille)
    throw new Problem(
      `a vote of ${kept.perMille} by ${judge.organisation} may be on its way already: vote with --per-mille ${kept.perMille}`,
    );
  const vote = kept ?? { perMille, salt: toHex(new Uint8Array(randomBytes(32))) };
  const commitment = commitmentOf(escrow, found.id, judge.address, vote);
  const data = Arbitration.interface.encodeFunctionData("commit", [escrow, id, seat.seat, commitment]);
  if (!kept) {
    // What the contract refuses is not kept, so that it binds nobody.
    await court.provider.call({ from: judge.address, to: arbitration, data }).catch((error: unknown) => {
      throw new Problem(`the panel's contract does not take the vote: ${describeError(error)}`);
    });
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeJson(file, vote);
  }
  await transactAs(court, judge, "Arbitration", data);
  return found;
}

/** Shows a member's vote. Resolves to it; nothing is sent where it was shown before. */
export async function showVote(court: Court, layout: Layout, judge: Judge, id: string): Promise<Vote> {
  const { Arbitration } = court.contracts;
  const found = await caseById(court, id, [judge]);
  const seat = seatOf(found, judge);
  const file = voteFile(layout, judge, id);
  if (!seat.committed) throw new Problem(`${judge.organisation} has not voted on this case`);
  if (!existsSync(file))
    throw new Problem(
      `the vote of ${judge.organisation} was kept in ${file}, which is gone: it can't be shown without`,
    );
  const vote = readJson<Vote>(file) as Vote;
  if (seat.perMille !== null) return vote;
  if (found.phase === "commit") throw new Problem(`votes are shown from ${time(found.commitUntil)} on, not before`);
  if (found.phase !== "reveal") throw new Problem(`the time to show votes was over at ${time(found.revealUntil)}`);
  const data = Arbitration.interface.encodeFunctionData("reveal", [
    court.deployment.addresses.Escrow,
    id,
    seat.seat,
    vote.perMille,
    vote.salt,
  ]);
  await transactAs(court, judge, "Arbitration", data);
  return vote;
}
