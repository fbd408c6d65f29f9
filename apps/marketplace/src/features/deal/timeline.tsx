"use client";
import { useTranslations } from "next-intl";
import { Link } from "@/i18n/navigation.ts";
import { Ago } from "@/ui/ago.tsx";
import { Hash } from "@/ui/hex.tsx";
import { type DealStory } from "./types.ts";
import { type OpenedState } from "./use-opened.ts";

type Mark = "done" | "active" | "failed" | "ahead";
const MARKS: Record<Mark, string> = { done: "✓", active: "…", failed: "!", ahead: "" };

/** Why a price came back: IEscrow.Refund. */
export const REFUNDS = ["late", "declined", "erased", "consent", "wrongKey", "unopenable"] as const;

/** Paid, delivered, verified, ended: what happened, when, and in which transaction. */
export function Timeline({ story, opened }: { story: DealStory; opened: OpenedState }) {
  const t = useTranslations("deal");
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
  const steps: { key: string; mark: Mark; title: string; event?: typeof delivered }[] = [
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
    {
      key: "ended",
      mark: ended ? (refunded ? "failed" : "done") : delivered ? "active" : "ahead",
      title: refunded
        ? t("step.refunded", { reason: t(`refund.${REFUNDS[story.refund ?? 0] ?? "late"}`) })
        : t(story.state === "resolved" ? "step.resolved" : ended ? "step.released" : "step.release"),
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
