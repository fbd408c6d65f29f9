import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Hex } from "@msec/core";
import { type CasePhase, complaintDigest } from "@msec/trade";
import { type Command, Option } from "commander";
import { type Account, type Judge, people } from "../city/layout.ts";
import { type Common, type Session, withSession } from "../context.ts";
import { bad, bold, dim, good, print, table, time, tokens } from "../output.ts";
import { Problem } from "../problem.ts";
import { complain, type ComplaintTerms, complaintTerms } from "./complain.ts";
import { withdrawCredit } from "./deal.ts";
import { type Case, caseById, openCases, resolveCase, type Seat } from "./docket.ts";
import { castVote, showVote, voteFile } from "./vote.ts";

const PHASE: Record<CasePhase, (found: Case) => string> = {
  commit: ({ commitUntil }) => `votes are given until ${time(commitUntil)}`,
  reveal: ({ revealUntil }) => `votes are shown until ${time(revealUntil)}`,
  ruled: ({ ruling }) => `ruled: ${ruling} of 1000 to the buyer`,
  unruled: ({ rulingUntil }) => `no ruling: the sale stands, from ${time(rulingUntil)} on`,
  lapsed: () => "no ruling in time: the sale stands",
};

const duration = (seconds: number): string => {
  const [unit, name] =
    seconds % 86_400 === 0 ? [86_400, "days"] : seconds % 60 === 0 ? [60, "minutes"] : [1, "seconds"];
  return `${seconds / unit} ${name}`;
};

function showTerms({ cost, most, judges, commitSeconds, caseSeconds, rulingSeconds }: ComplaintTerms): void {
  print(`  it costs       ${tokens(cost)}, which is the judges', whatever they rule`);
  print(`  may come back  up to ${tokens(most)}: the price without the deliverer's fee`);
  print(`  who judges     ${judges} organisations that have no part in the deal; at least 3 must, their median counts`);
  print(
    `  how long       ${duration(commitSeconds)} to vote, then ${duration(caseSeconds - commitSeconds)} to show votes`,
  );
  print(`  without ruling after ${duration(rulingSeconds)} the sale stands, and what the complaint cost comes back`);
}

function voteOf({ mayJudge, committed, perMille }: Seat): string {
  if (!mayJudge) return "none: a party is of it";
  if (perMille !== null) return `${perMille} of 1000 to the buyer`;
  return committed ? "given, not shown" : "not given";
}

function judgeNamed(session: Session, name: string): Judge {
  const { judges } = people(session.layout);
  const found = judges.find(({ organisation }) => organisation === name);
  if (found) return found;
  const names = judges.map(({ organisation }) => organisation).join(", ");
  throw new Problem(`--as takes a member of the panel, ${names}, not ${name}`, 2);
}

function perMilleOf(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 1000)
    throw new Problem(`--per-mille takes a whole number from 0 (to the seller) to 1000 (all back), not ${text}`, 2);
  return value;
}

/** Complaints about quality: of the buyer, and of the organisations that judge them. */
export function disputeCommands(program: Command): void {
  const common = (parent: Command, name: string, description: string, isDefault = false): Command =>
    parent
      .command(name, { isDefault })
      .description(description)
      .addOption(new Option("--dir <DIR>", "folder of the city").default(".msec/city").env("MSEC_DIR"))
      .addOption(new Option("--json", "print JSON for scripts"))
      .exitOverride();
  const asMember = () =>
    new Option("--as <MEMBER>", "the organisation that judges, such as operator-3").makeOptionMandatory();

  common(program, "dispute", "complain of the quality of what was bought; without --about: what that would come to")
    .argument("<DEAL>", "the deal, as msec buy --json prints it")
    .option("--about <TEXT>", "what is wrong with the data; puts it before the panel")
    .action((id: string, options: Common & { about?: string }) =>
      options.about === undefined
        ? withSession(
            options,
            (session) => complaintTerms(session, id),
            (terms) => {
              print(`A complaint can be made until ${time(terms.complainUntil)}, with --about TEXT`);
              showTerms(terms);
            },
          )
        : withSession(
            options,
            (session) => complain(session, id, options.about as string),
            (made) => {
              print(good(`the panel judges the deal ${id}`));
              showTerms(made);
              print(`  give the panel ${made.file} and the proof.json of the purchase: the chain has only a digest`);
              print(dim("  how it stands: msec panel; what is owed in the end is taken out with msec withdraw"));
            },
          ),
    );

  common(program, "withdraw", "take out what the escrow owes: refunds, rulings, what a sale or a judgement earned")
    .option("--as <MEMBER>", "a member of the panel instead of the buyer")
    .action((options: Common & { as?: string }) =>
      withSession(
        options,
        async (session) => {
          const who: Account = options.as === undefined ? session.buyer : judgeNamed(session, options.as);
          const paid = await withdrawCredit(session, who, session.deployment.addresses.MSecToken);
          return { account: who.address, paid };
        },
        ({ account, paid }) =>
          print(paid === 0n ? `nothing is owed to ${account}` : good(`${tokens(paid)} were paid to ${account}`)),
      ),
    );

  const panel = program
    .command("panel")
    .description("complaints before the panel: list them, vote, show a vote, end a case")
    .exitOverride();

  common(panel, "list", "open cases with their phase and times; what msec panel does by itself", true).action(
    (options: Common) =>
      withSession(
        options,
        (session) => openCases(session, people(session.layout).judges),
        (cases) => {
          if (cases.length === 0) print("no case is open");
          for (const found of cases) {
            print(`${bold(found.id)}  ${PHASE[found.phase](found)}`);
            table(
              ["judge", "vote"],
              found.seats.map((seat) => [seat.organisation, voteOf(seat)]),
            );
          }
        },
      ),
  );

  common(panel, "read", "whether a text is what the buyer complained of: exit 0 if it is, 1 if not")
    .argument("<CASE>", "the deal")
    .argument("<FILE>", "complaint.txt, as the buyer gave it")
    .action((id: string, file: string, options: Common) =>
      withSession(
        options,
        async (session) => {
          const { complaint } = await caseById(session, id, []);
          const same = complaintDigest(textOf(file)) === complaint;
          if (!same) process.exitCode = 1;
          return { same, complaint };
        },
        ({ same }) => print(same ? good("this is the complaint") : bad("this is not what the buyer complained of")),
      ),
    );

  common(panel, "vote", "give a member's vote; nobody sees it until it is shown")
    .argument("<CASE>", "the deal")
    .requiredOption("--per-mille <N>", "how much of the seller's part goes back to the buyer: 0 nothing, 1000 all")
    .addOption(asMember())
    .action((id: string, options: Common & { perMille: string; as: string }) => {
      const perMille = perMilleOf(options.perMille);
      return withSession(
        options,
        async (session) => {
          const judge = judgeNamed(session, options.as);
          const { commitUntil, revealUntil } = await castVote(session, session.layout, judge, id, perMille);
          const file = voteFile(session.layout, judge, id);
          return { case: id as Hex, member: judge.organisation, perMille, file, revealFrom: commitUntil, revealUntil };
        },
        ({ member, file, revealFrom, revealUntil }) => {
          print(good(`${member} has voted; a vote that is not shown does not count`));
          print(`  show it between ${time(revealFrom)} and ${time(revealUntil)}: msec panel reveal`);
          print(dim(`  until then it is kept in ${file}, and can't be shown without`));
        },
      );
    });

  common(panel, "reveal", "show a vote that was given")
    .argument("<CASE>", "the deal")
    .addOption(asMember())
    .action((id: string, options: Common & { as: string }) =>
      withSession(
        options,
        async (session) => {
          const judge = judgeNamed(session, options.as);
          const { perMille } = await showVote(session, session.layout, judge, id);
          return { case: id as Hex, member: judge.organisation, perMille };
        },
        ({ member, perMille }) => print(good(`${member} has shown its vote: ${perMille} of 1000 to the buyer`)),
      ),
    );

  common(panel, "resolve", "end a case by its ruling, or as a sale without one; deliverers do so by themselves")
    .argument("<CASE>", "the deal")
    .addOption(asMember())
    .action((id: string, options: Common & { as: string }) =>
      withSession(
        options,
        async (session) => {
          const { judges } = people(session.layout);
          const { ruling } = await resolveCase(session, judgeNamed(session, options.as), id, judges);
          return { case: id as Hex, ruling };
        },
        ({ ruling }) =>
          print(good(ruling === null ? "ended: the sale stands" : `ended: ${ruling} of 1000 to the buyer`)),
      ),
    );
}

function textOf(file: string): string {
  try {
    return readFileSync(resolve(file), "utf8");
  } catch (error) {
    throw new Problem(`cannot read ${file}: ${(error as Error).message}`, 2);
  }
}
