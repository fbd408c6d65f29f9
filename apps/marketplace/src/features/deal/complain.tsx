"use client";
import { complaintBond, complaintDigest, dealOf, disputeCall, isClosed, LEAST_JUDGES } from "@msec/trade";
import { type Hex } from "@msec/core";
import { useTranslations } from "next-intl";
import { useId, useState } from "react";
import { useBlock } from "wagmi";
import { useCity } from "@/features/city/context.tsx";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { useTx } from "@/features/tx/use-tx.ts";
import { Amount } from "@/ui/amount.tsx";
import { useDuration } from "@/ui/duration.ts";
import { keepComplaint } from "./complaint-text.ts";
import { statusOf } from "./status.ts";
import { type DealStory } from "./types.ts";
import { useJudges, useWindows } from "./use-dispute.ts";

/** For the buyer, while there is time: what is wrong with the data put before the panel, and what that comes to. */
export function Complain({ story }: { story: DealStory }) {
  const t = useTranslations("deal.quality");
  const city = useCity();
  const duration = useDuration();
  const field = useId();
  const { data: block } = useBlock({ watch: true });
  const deal = dealOf(story.deal);
  const { data: judges } = useJudges(story, deal);
  const { data: windows } = useWindows(true);
  const allow = useTx();
  const dispute = useTx();
  const [text, setText] = useState("");
  const status = statusOf(story);
  const newest = block && { number: Number(block.number), timestamp: Number(block.timestamp) };
  if (!newest || !windows || judges === undefined || isClosed(status, deal.complainSeconds, newest)) return null;
  const cost = complaintBond(deal);
  const busy = [allow, dispute].some(({ state }) => ["simulating", "signing", "submitted"].includes(state.step));
  const send = async () => {
    const said = text.trim();
    const allowed = await allow.send({
      contract: "MSecToken",
      functionName: "approve",
      args: [city.addresses.Escrow, cost],
      what: "allow",
    });
    if (!allowed) return;
    keepComplaint(city.chainId, story.dealId as Hex, said);
    await dispute.send({
      contract: "Escrow",
      ...disputeCall(deal, status, complaintDigest(said)),
      what: "dispute",
    });
  };
  return (
    <section className="card" aria-labelledby="complain">
      <h2 id="complain">{t("title")}</h2>
      {judges < LEAST_JUDGES ? (
        <p className="soft">{t("nobody", { judges, least: LEAST_JUDGES })}</p>
      ) : (
        <form
          className="stack"
          onSubmit={(event) => {
            event.preventDefault();
            void send();
          }}
        >
          <p>{t("who", { judges })}</p>
          <dl className="facts">
            <dt>{t("cost")}</dt>
            <dd>
              <Amount units={cost} /> <span className="soft small">{t("costHint")}</span>
            </dd>
            <dt>{t("most")}</dt>
            <dd>
              <Amount units={deal.price - deal.fee} /> <span className="soft small">{t("mostHint")}</span>
            </dd>
            <dt>{t("howLong")}</dt>
            <dd>
              {t("windows", {
                commit: duration(windows.commitSeconds),
                reveal: duration(windows.caseSeconds - windows.commitSeconds),
              })}
            </dd>
            <dt>{t("without")}</dt>
            <dd>{t("withoutHint", { ruling: duration(windows.rulingSeconds) })}</dd>
          </dl>
          <div className="field">
            <label htmlFor={field}>{t("about")}</label>
            <span className="hint" id={`${field}-hint`}>
              {t("aboutHint")}
            </span>
            <textarea
              id={field}
              className="input"
              rows={3}
              maxLength={10_000}
              aria-describedby={`${field}-hint`}
              value={text}
              disabled={busy}
              onChange={(event) => setText(event.target.value)}
            />
          </div>
          <button type="submit" className="button danger" disabled={busy || text.trim() === ""}>
            {t("send")} <Amount units={cost} />
          </button>
          <TxStatus state={dispute.state.step === "idle" ? allow.state : dispute.state} />
        </form>
      )}
    </section>
  );
}
