"use client";
import { type Hex } from "@msec/core";
import { medianOf } from "@msec/trade";
import { useFormatter, useTranslations } from "next-intl";
import { useEffect, useState } from "react";
import { useCity } from "@/features/city/context.tsx";
import { Amount } from "@/ui/amount.tsx";
import { saveBlob } from "@/ui/save.ts";
import { keptComplaint } from "./complaint-text.ts";
import { type DealStory, isOver } from "./types.ts";
import { type Dispute } from "./use-dispute.ts";

/** A complaint before the panel: who judges, until when, what was voted, and what came of it. */
export function CaseCard({ story, dispute, mine }: { story: DealStory; dispute: Dispute; mine: boolean }) {
  const t = useTranslations("deal.case");
  const format = useFormatter();
  const { organisations, chainId } = useCity();
  const { found, phase, until } = dispute;
  const [text, setText] = useState<string>();
  useEffect(() => setText(keptComplaint(chainId, story.dealId as Hex)), [chainId, story.dealId]);
  const at = (ms: number) => format.dateTime(ms, { dateStyle: "medium", timeStyle: "medium" });
  const percent = (perMille: number) => format.number(perMille / 1000, { style: "percent", maximumFractionDigits: 1 });
  const votes = found.seats.flatMap(({ perMille }) => perMille ?? []);
  const end = story.events.find(({ contract, name }) => contract === "Escrow" && name === "Resolved");
  const said = {
    commit: () => t("commit", { until: at(until.commit) }),
    reveal: () => t("reveal", { until: at(until.reveal) }),
    ruled: () => t("ruled", { share: percent(medianOf(votes)) }),
    unruled: () => t("unruled", { until: at(until.ruling) }),
    lapsed: () => t("lapsed"),
  };
  return (
    <section className="card" aria-labelledby="case" data-phase={isOver(story) ? "over" : phase}>
      <h2 id="case">{t("title")}</h2>
      {end ? (
        <>
          <p className={end.args.ruled ? "note" : "note good"}>
            {end.args.ruled ? t("ruled", { share: percent(medianOf(votes)) }) : t("stands")}
          </p>
          <dl className="facts">
            <dt>{t("toBuyer")}</dt>
            <dd data-share="buyer">
              <Amount units={end.args.toBuyer as string} />
            </dd>
            <dt>{t("toSeller")}</dt>
            <dd data-share="seller">
              <Amount units={end.args.toSeller as string} />
            </dd>
            <dt>{t("stake")}</dt>
            <dd>
              <Amount units={found.stake} />{" "}
              <span className="soft small">{t(end.args.ruled ? "stakeJudges" : "stakeBack")}</span>
            </dd>
          </dl>
        </>
      ) : (
        <p role="status">{said[phase]()}</p>
      )}
      <table className="names">
        <caption className="hidden-text">{t("judges")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("judge")}</th>
            <th scope="col">{t("vote")}</th>
          </tr>
        </thead>
        <tbody>
          {found.seats.map(({ member, organisation, mayJudge, committed, perMille }) => (
            <tr key={member}>
              <th scope="row">{organisations[organisation as Hex] ?? `${organisation.slice(0, 10)}…`}</th>
              <td>
                {perMille !== null
                  ? t("voteFor", { share: percent(perMille) })
                  : t(mayJudge ? (committed ? "given" : "notGiven") : "party")}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {mine && text !== undefined ? (
        <>
          <p className="sheet">{text}</p>
          <button
            type="button"
            className="button small"
            onClick={() => saveBlob(new Blob([text], { type: "text/plain" }), "complaint.txt")}
          >
            {t("saveText")}
          </button>
        </>
      ) : null}
      {mine && !end ? <p className="soft small">{t("giveText")}</p> : null}
    </section>
  );
}
