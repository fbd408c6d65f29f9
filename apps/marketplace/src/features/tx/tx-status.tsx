"use client";
import { useTranslations } from "next-intl";
import { type TxError, type TxState } from "./use-tx.ts";

/** An error's sentence: the contract's own in this language, else what the failure said. */
export function useErrorText() {
  const t = useTranslations("errors");
  const tx = useTranslations("tx");
  return ({ name, detail }: TxError) =>
    name === "TimedOut" ? tx("timedOut") : t.has(name as never) ? t(name as never) : detail || name;
}

/** Where a transaction is, in words. */
export function TxStatus({ state }: { state: TxState }) {
  const t = useTranslations("tx");
  const text = useErrorText();
  if (state.step === "idle") return null;
  const busy = state.step === "simulating" || state.step === "signing" || state.step === "submitted";
  if (busy)
    return (
      <p role="status" className="row">
        <span className="spinner" aria-hidden="true" />
        {t(`state.${state.step}`)}
      </p>
    );
  if (state.step === "mined") return <p role="status">{t("state.mined", { block: Number(state.block) })}</p>;
  if (state.step === "rejected")
    return (
      <p role="status" className="note">
        {t("state.rejected")}
      </p>
    );
  return (
    <p role="alert" className="note bad">
      {t(`state.${state.step}`, { reason: text(state.error) })}
    </p>
  );
}
