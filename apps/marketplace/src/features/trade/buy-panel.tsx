"use client";
import { purposeHash } from "@msec/core";
import { offerFrom } from "@msec/trade";
import { useTranslations, useFormatter } from "next-intl";
import { useState } from "react";
import { useConnection } from "wagmi";
import { useRouter } from "@/i18n/navigation.ts";
import { useCity } from "@/features/city/context.tsx";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { type IndexedOffer } from "@/lib/indexer.ts";
import { Amount } from "@/ui/amount.tsx";
import { Field } from "@/ui/field.tsx";
import { Failure } from "@/ui/waiting.tsx";
import { endOf, inputOf, msOf, slotsOf, startOf } from "./slots.ts";
import { type Checked, useBuy } from "./use-buy.ts";

const PRESETS = [24, 168, 720] as const;
const HOUR_MS = 3_600_000;

/** Choosing a period, checking all of it but its contents, and paying for the keys. */
export function BuyPanel({
  indexed,
  first,
  last,
}: {
  indexed: IndexedOffer;
  /** Slots that are anchored. */
  first: number;
  last: number;
}) {
  const t = useTranslations("offer");
  const format = useFormatter();
  const router = useRouter();
  const city = useCity();
  const { isConnected } = useConnection();
  const offer = offerFrom(indexed, indexed.open);
  const { slotSeconds } = offer.stream;
  const bounds = { first: Math.max(first, offer.fromSlot), last: Math.min(last, offer.toSlot) };
  const [least, most] = [startOf(bounds.first, slotSeconds), endOf(bounds.last, slotSeconds)];
  const [from, setFrom] = useState(inputOf(Math.max(least, most - 24 * HOUR_MS)));
  const [to, setTo] = useState(inputOf(most));
  const [purpose, setPurpose] = useState(0);
  const buy = useBuy(offer);
  const { state } = buy;
  const wrong = Number.isNaN(msOf(from)) || Number.isNaN(msOf(to)) || msOf(from) >= msOf(to);
  const slots = wrong ? undefined : slotsOf({ slotSeconds }, msOf(from), msOf(to), bounds);
  const empty = slots !== undefined && slots.fromSlot > slots.toSlot;
  const busy = ["checking", "keys", "permit", "paying"].includes(state.step);
  const checked = "checked" in state ? state.checked : undefined;
  const change = (set: (value: string) => void) => (value: string) => {
    set(value);
    buy.reset();
  };
  if (state.step === "bought") router.push(`/deals/${state.dealId}`);
  return (
    <section className="card" aria-labelledby="buy">
      <h2 id="buy">{t("buy")}</h2>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (slots && !empty) void buy.check(slots.fromSlot, slots.toSlot);
        }}
      >
        <div className="row" role="group" aria-label={t("periods")}>
          {PRESETS.map((hours) => (
            <button
              key={hours}
              type="button"
              className="button small"
              disabled={busy}
              onClick={() => {
                change(setFrom)(inputOf(Math.max(least, most - hours * HOUR_MS)));
                setTo(inputOf(most));
              }}
            >
              {t("lastHours", { days: hours / 24 })}
            </button>
          ))}
        </div>
        <Field
          label={t("from")}
          type="datetime-local"
          value={from}
          min={inputOf(least)}
          max={inputOf(most)}
          disabled={busy}
          onChange={(event) => change(setFrom)(event.target.value)}
        />
        <Field
          label={t("to")}
          hint={t("utc")}
          type="datetime-local"
          value={to}
          min={inputOf(least)}
          max={inputOf(most)}
          disabled={busy}
          wrong={
            wrong
              ? t("wrongPeriod")
              : empty
                ? t("outside", {
                    from: format.dateTime(least, "short" as never),
                    to: format.dateTime(most, "short" as never),
                  })
                : undefined
          }
          onChange={(event) => change(setTo)(event.target.value)}
        />
        <div className="field">
          <label htmlFor="purpose">{t("purpose")}</label>
          <select
            id="purpose"
            className="input"
            value={purpose}
            disabled={busy}
            onChange={(event) => setPurpose(Number(event.target.value))}
          >
            {city.purposes.map(({ text }, i) => (
              <option key={text} value={i}>
                {text}
              </option>
            ))}
          </select>
        </div>
        {checked === undefined ? (
          <button type="submit" className="button primary" disabled={busy || wrong || empty}>
            {t("check")}
          </button>
        ) : null}
      </form>
      {state.step === "checking" ? (
        <p role="status" className="row">
          <span className="spinner" aria-hidden="true" />
          {state.of ? t("checkingPacks", { done: state.done, of: state.of }) : t("checking")}
        </p>
      ) : null}
      {checked ? <BeforePaying checked={checked} /> : null}
      {checked ? (
        <>
          {isConnected ? null : <p className="note">{t("connectToBuy")}</p>}
          <button
            type="button"
            className="button primary"
            disabled={busy || !isConnected}
            onClick={() => void buy.pay(checked, purposeHash(city.purposes[purpose] as never))}
          >
            {t("pay")} <Amount units={checked.price} />
          </button>
        </>
      ) : null}
      {state.step === "keys" || state.step === "permit" ? (
        <p role="status" className="row">
          <span className="spinner" aria-hidden="true" />
          {t(state.step)}
        </p>
      ) : null}
      <TxStatus state={buy.tx} />
      {state.step === "failed" ? <Failure reason={state.reason} /> : null}
    </section>
  );
}

function BeforePaying({ checked: { before, price } }: { checked: Checked }) {
  const t = useTranslations("offer");
  return (
    <div className="note good stack tight">
      <p className="strong">{t("checkedTitle")}</p>
      <ul className="plain">
        <li>{t("checkedPacks", { packs: before.packs, records: before.records })}</li>
        <li>{t("checkedLine", { empty: before.emptySlots, gaps: before.gaps, erased: before.erased })}</li>
        <li>{t("checkedEpoch", { epoch: before.epoch.number, signers: before.signers.length })}</li>
      </ul>
      {price === 0n ? <p>{t("nothingToPay")}</p> : null}
    </div>
  );
}
