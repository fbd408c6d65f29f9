"use client";
import { type Hex } from "@msec/core";
import { unitsOf } from "@msec/trade";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { useConnection } from "wagmi";
import { type Checked } from "@/features/trade/use-check.ts";
import { Link } from "@/i18n/navigation.ts";
import { Amount, unitsFrom } from "@/ui/amount.tsx";
import { Choice } from "@/ui/choice.tsx";
import { Field } from "@/ui/field.tsx";
import { Failure } from "@/ui/waiting.tsx";
import { type Terms, useAsk } from "./use-ask.ts";

const DAYS = [1, 7, 30] as const;

/** What somebody would pay for a checked window, and for how long that stands. */
export function AskForm({ checked, purpose, terms }: { checked: Checked; purpose: Hex; terms: Terms }) {
  const t = useTranslations("requests");
  const { isConnected } = useConnection();
  const { state, ask, possible } = useAsk(terms);
  const [amount, setAmount] = useState("");
  const [term, setTerm] = useState(1);
  const most = unitsFrom(amount);
  const units = unitsOf(checked.bundle.stream, checked.before);
  const busy = ["keys", "order", "permit", "leaving"].includes(state.step);
  if (!possible) return <p className="note">{t("noMarket")}</p>;
  if (state.step === "asked")
    return (
      <p role="status" className="note good" data-testid="asked">
        {t("asked")} <Link href="/requests">{t("toRequests")}</Link>
      </p>
    );
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        if (most) void ask(checked, purpose, most, DAYS[term] as number);
      }}
    >
      <p className="soft">{t("askHint")}</p>
      <Field
        label={t("most")}
        inputMode="decimal"
        value={amount}
        disabled={busy}
        onChange={(event) => setAmount(event.target.value)}
        wrong={amount !== "" && most === undefined ? t("wrongAmount") : undefined}
      />
      {most !== undefined && units > 0 ? (
        <p className="soft small">
          {t("perUnit", { units })} <Amount units={most / BigInt(units)} />
        </p>
      ) : null}
      <Choice
        label={t("standsFor")}
        options={DAYS.map((days) => t("days", { days }))}
        chosen={term}
        disabled={busy}
        onChoose={setTerm}
      />
      {isConnected ? null : <p className="note">{t("connectToAsk")}</p>}
      <button type="submit" className="button" disabled={busy || !isConnected || !most || units === 0}>
        {t("ask")}
      </button>
      {busy ? (
        <p role="status" className="row">
          <span className="spinner" aria-hidden="true" />
          {t(`step.${state.step as "keys"}`)}
        </p>
      ) : null}
      {state.step === "failed" ? <Failure reason={state.reason} /> : null}
    </form>
  );
}
