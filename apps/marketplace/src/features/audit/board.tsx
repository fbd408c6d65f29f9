"use client";
import { useFormatter, useTranslations } from "next-intl";
import { Hash } from "@/ui/hex.tsx";
import { Failure, Waiting } from "@/ui/waiting.tsx";
import { Access } from "./access.tsx";
import { Contracts } from "./contracts.tsx";
import { Invariants } from "./invariants.tsx";
import { type Audit, useAudit, type Verdict } from "./use-audit.ts";

/** What the city claims of itself, held against the chain: figures, verdicts, and of which block they are. */
export function AuditBoard() {
  const t = useTranslations("audit");
  const { query, age, blockAge, stale } = useAudit();
  const { data: audit } = query;
  if (!audit)
    return query.isError ? (
      <Failure reason={query.error.message} retry={() => void query.refetch()} />
    ) : (
      <Waiting>{t("asking")}</Waiting>
    );
  return (
    <>
      {stale ? (
        <div role="alert" className="note bad" data-testid="stale">
          <p className="strong">{t("stale")}</p>
          <p>{query.isError ? query.error.message : t("staleHint")}</p>
        </div>
      ) : null}
      <Summary audit={audit} age={age} blockAge={blockAge} stale={stale} />
      <Invariants audit={audit} stale={stale} />
      <Contracts audit={audit} stale={stale} />
      <Access audit={audit} stale={stale} />
    </>
  );
}

function Summary({ audit, age, blockAge, stale }: { audit: Audit; age: number; blockAge: number; stale: boolean }) {
  const t = useTranslations("audit");
  const format = useFormatter();
  const all: Verdict[] = [
    ...audit.invariants.map(({ verdict }) => verdict),
    ...audit.contracts.map(({ verdict }) => verdict),
    !audit.access || !audit.accessDifferences ? "unknown" : audit.accessDifferences.length > 0 ? "broken" : "holds",
  ];
  const many = (verdict: Verdict) => all.filter((one) => one === verdict).length;
  const tone = stale ? "" : many("broken") > 0 ? "bad" : many("unknown") > 0 ? "warn" : "good";
  return (
    <section className={`card verdict ${tone}`} aria-label={t("summary")} data-testid="summary">
      <p className="figure">
        {stale
          ? t("old")
          : many("broken") > 0
            ? t("someBroken", { broken: many("broken") })
            : many("unknown") > 0
              ? t("someUnknown", { unknown: many("unknown") })
              : t("allHold", { checks: all.length })}
      </p>
      <p className="row soft small">
        <span>{t("ofBlock", { block: audit.block })}</span>
        <Hash value={audit.blockHash} label={t("blockHash")} />
        <span>
          {t("blockTime", {
            time: format.dateTime(audit.at * 1000, { dateStyle: "medium", timeStyle: "medium" }),
            seconds: Math.round(blockAge / 1000),
          })}
        </span>
        <span className={`badge ${stale ? "bad" : ""}`}>{t("age", { seconds: Math.round(age / 1000) })}</span>
        <span>{t("took", { milliseconds: audit.milliseconds })}</span>
      </p>
    </section>
  );
}
