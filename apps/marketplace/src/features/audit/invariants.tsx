"use client";
import { useFormatter, useTranslations } from "next-intl";
import { Amount } from "@/ui/amount.tsx";
import { Hash } from "@/ui/hex.tsx";
import { Calls } from "./calls.tsx";
import { type Audit, type AuditedInvariant } from "./use-audit.ts";
import { useReason, VerdictBadge } from "./verdict.tsx";

/** The rules, each with the figures that it was judged by. */
export function Invariants({ audit, stale }: { audit: Audit; stale: boolean }) {
  const t = useTranslations("audit");
  return (
    <section className="stack" aria-labelledby="invariants">
      <div className="stack tight">
        <h2 id="invariants">{t("invariants")}</h2>
        <p className="soft">{t("invariantsHint")}</p>
      </div>
      <ul className="rules list">
        {audit.invariants.map((invariant) => (
          <Rule key={`${invariant.id} ${invariant.subject}`} invariant={invariant} block={audit.block} stale={stale} />
        ))}
      </ul>
    </section>
  );
}

function Rule({ invariant, block, stale }: { invariant: AuditedInvariant; block: number; stale: boolean }) {
  const t = useTranslations("audit");
  const reasonOf = useReason();
  const { id, verdict, reason, figures, subject } = invariant;
  return (
    <li className={`card ${stale ? "old" : ""}`} data-invariant={id} aria-label={t(`name.${id}` as never)}>
      <div className="row apart">
        <h3>{t(`name.${id}` as never)}</h3>
        <VerdictBadge verdict={verdict} stale={stale} />
      </div>
      <p>{t(`rule.${id}` as never)}</p>
      {reason ? (
        <p className={`note small ${verdict === "broken" ? "bad" : verdict === "unknown" ? "warn" : ""}`}>
          {verdict === "unknown" ? `${t("couldNot")} ` : ""}
          {reasonOf(reason)}
        </p>
      ) : null}
      <dl className="facts small">
        {figures.map(({ name, value, unit }) => (
          <div className="pair" key={name}>
            <dt>{t(`figure.${name}` as never)}</dt>
            <dd data-figure={name}>
              <FigureValue value={value} unit={unit} label={t(`figure.${name}` as never)} />
            </dd>
          </div>
        ))}
      </dl>
      <p className="soft small">{t("atBlock", { block })}</p>
      <Calls invariant={invariant} block={block} subject={subject} />
    </li>
  );
}

function FigureValue({ value, unit, label }: { value: string; unit: "amount" | "count" | "hash"; label: string }) {
  const format = useFormatter();
  if (unit === "hash") return <Hash value={value} label={label} />;
  return unit === "amount" ? <Amount units={value} /> : <>{format.number(BigInt(value))}</>;
}
