"use client";
import { useTranslations } from "next-intl";
import { type Verdict } from "./use-audit.ts";

const TONE: Record<Verdict, string> = { holds: "good", broken: "bad", unknown: "warn" };
const MARK: Record<Verdict, string> = { holds: "✓", broken: "✗", unknown: "?" };

/** One that is old is not shown as if it were of now. */
export function VerdictBadge({ verdict, stale }: { verdict: Verdict; stale: boolean }) {
  const t = useTranslations("audit");
  return (
    <span className={`badge ${stale ? "" : TONE[verdict]}`} data-verdict={stale ? "stale" : verdict}>
      <span aria-hidden="true">{stale ? "…" : MARK[verdict]}</span>
      {stale ? t("wasVerdict", { verdict: t(`verdict.${verdict}`) }) : t(`verdict.${verdict}`)}
    </span>
  );
}

/** A reason in words: ours where it is one of ours, else as whoever failed told it. */
export function useReason() {
  const t = useTranslations("audit");
  return (reason: string) => (t.has(`reason.${reason}`) ? t(`reason.${reason}` as never) : reason);
}
