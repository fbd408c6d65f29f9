"use client";
import { useFormatter, useTranslations } from "next-intl";
import { LEAST_JUDGES } from "@msec/trade";
import { type IndexedEvent } from "@/lib/indexer.ts";
import { Link } from "@/i18n/navigation.ts";
import { Ago } from "@/ui/ago.tsx";
import { Hash } from "@/ui/hex.tsx";
import { type DealStory } from "./types.ts";
import { type Dispute } from "./use-dispute.ts";
import { type OpenedState } from "./use-opened.ts";

type Mark = "done" | "active" | "failed" | "ahead";
const MARKS: Record<Mark, string> = { done: "✓", active: "…", failed: "!", ahead: "" };

/** Why a price came back: IEscrow.Refund. */
export const REFUNDS = ["late", "declined", "erased", "consent", "wrongKey", "unopenable"] as const;

interface Step {
  key: string;
  mark: Mark;
  title: string;
  event?: IndexedEvent | undefined;
}

/** The two phases of a complaint, each with its end and how far it has come. */
function useJudging(dispute: Dispute | undefined): Step[] {
  const t = useTranslations("deal.step");
  const format = useFormatter();
  if (!dispute) return [];
  const { found, phase, until } = dispute;
  const at = (ms: number) => format.dateTime(ms, { dateStyle: "medium", timeStyle: "medium" });
  const judges = found.seats.filter(({ mayJudge }) => mayJudge).length;
  const given = found.seats.filter(({ committed }) => committed).length;
  const shown = found.seats.filter(({ perMille }) => perMille !== null).length;
  const open = found.open;
  const votes: Mark = open && phase === "commit" ? "active" : given > 0 ? "done" : "failed";
  const shows: Mark =
    open && phase === "commit"
      ? "ahead"
      : open && phase === "reveal"
        ? "active"
        : shown >= LEAST_JUDGES
          ? "done"
          : "failed";
  return [
    { key: "votes", mark: votes, title: t("votes", { given, judges, until: at(until.commit) }) },
    { key: "shown", mark: shows, title: t("shown", { shown, given, until: at(until.reveal) }) },
  ];
}

/** Paid, delivered, verified, ended: what happened, when, and in which transaction. */
export function Timeline({
  story,
  opened,
  dispute,
}: {
  story: DealStory;
  opened: OpenedState;
  dispute: Dispute | undefined;
}) {
  const t = useTranslations("deal");
  const judging = useJudging(dispute);
  const of = (...names: string[]) =>
    story.events.find(({ contract, name }) => contract === "Escrow" && names.includes(name));
  const delivered = of("Delivered");
  const disputed = of("Disputed");
  const ended = of("Released", "Refunded", "Resolved");
  const verified: Mark =
    opened.step === "opened"
      ? "done"
      : opened.step === "fault" || opened.step === "failed"
        ? "failed"
        : delivered && opened.step !== "not-kept"
          ? "active"
          : "ahead";
  const refunded = story.state === "refunded";
  const steps: Step[] = [
    { key: "paid", mark: "done", title: t("step.paid"), event: of("DealOpened") },
    {
      key: "delivered",
      mark: delivered ? "done" : ended ? "failed" : "active",
      title: t(delivered ? "step.delivered" : ended ? "step.notDelivered" : "step.deliver"),
      event: delivered,
    },
    {
      key: "verified",
      mark: verified,
      title: t(verified === "done" ? "step.verified" : verified === "failed" ? "step.notVerified" : "step.verify"),
    },
    ...(disputed ? [{ key: "disputed", mark: "done" as const, title: t("step.disputed"), event: disputed }] : []),
    ...judging,
    {
      key: "ended",
      mark: ended ? (refunded ? "failed" : "done") : delivered ? "active" : "ahead",
      title: refunded
        ? t("step.refunded", { reason: t(`refund.${REFUNDS[story.refund ?? 0] ?? "late"}`) })
        : t(
            story.state === "resolved"
              ? ended?.args.ruled
                ? "step.resolved"
                : "step.stands"
              : ended
                ? "step.released"
                : disputed
                  ? "step.rule"
                  : "step.release",
          ),
      event: ended,
    },
  ];
  return (
    <section className="card" aria-labelledby="timeline">
      <h2 id="timeline">{t("timeline")}</h2>
      <ol className="steps">
        {steps.map(({ key, mark, title, event }) => (
          <li key={key} className={mark} data-step={key} data-mark={mark}>
            <span className="mark" aria-hidden="true">
              {MARKS[mark]}
            </span>
            <div>
              <p className="strong">
                <span className="hidden-text">{t(`mark.${mark}`)} </span>
                {title}
              </p>
              {event ? (
                <p className="soft small">
                  <Ago ms={event.at * 1000} /> · {t("block", { block: event.block })} ·{" "}
                  <Hash value={event.tx} label={t("tx")} />
                </p>
              ) : null}
            </div>
          </li>
        ))}
      </ol>
      <p>
        <Link href={`/trace?deal=${story.dealId}`} prefetch={false}>
          {t("follow")}
        </Link>
      </p>
    </section>
  );
}
