"use client";
import { type Hex, type StreamPreimage } from "@msec/core";
import { useFormatter, useTranslations } from "next-intl";
import { type ReactNode, useState } from "react";
import { useCity } from "@/features/city/context.tsx";
import { Choice } from "@/ui/choice.tsx";
import { Field } from "@/ui/field.tsx";
import { Failure } from "@/ui/waiting.tsx";
import { Calendar } from "./calendar.tsx";
import { endOf, inputOf, msOf, slotsOf, startOf } from "./slots.ts";
import { type Checked, useCheck } from "./use-check.ts";

const PRESETS = [24, 168, 720] as const;
const HOUR_MS = 3_600_000;

/** What of a stream can be had. */
export interface Bounds {
  first: number;
  last: number;
}

/** Choosing a period and checking all of it but its contents; what to do with it then is its children's. */
export function PeriodForm({
  check: { state, check, reset },
  streamId,
  stream: { slotSeconds },
  bounds,
  purpose,
  onPurpose,
  busy,
  children,
}: {
  check: ReturnType<typeof useCheck>;
  streamId: Hex;
  stream: Pick<StreamPreimage, "slotSeconds">;
  bounds: Bounds;
  /** Index among the city's purposes. */
  purpose: number;
  onPurpose: (purpose: number) => void;
  busy: boolean;
  children: (checked: Checked) => ReactNode;
}) {
  const t = useTranslations("offer");
  const format = useFormatter();
  const { purposes } = useCity();
  const [least, most] = [startOf(bounds.first, slotSeconds), endOf(bounds.last, slotSeconds)];
  const [from, setFrom] = useState(inputOf(Math.max(least, most - 24 * HOUR_MS)));
  const [to, setTo] = useState(inputOf(most));
  const wrong = Number.isNaN(msOf(from)) || Number.isNaN(msOf(to)) || msOf(from) >= msOf(to);
  const slots = wrong ? undefined : slotsOf({ slotSeconds }, msOf(from), msOf(to), bounds);
  const empty = slots !== undefined && slots.fromSlot > slots.toSlot;
  const fixed = busy || state.step === "checking";
  const choose = (fromMs: number, toMs: number) => {
    setFrom(inputOf(Math.max(least, fromMs)));
    setTo(inputOf(Math.min(most, toMs)));
    reset();
  };
  const sample = () => {
    choose(startOf(bounds.last, slotSeconds), most);
    void check(bounds.last, bounds.last);
  };
  const time = (ms: number) => format.dateTime(ms, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
  return (
    <>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (slots && !empty) void check(slots.fromSlot, slots.toSlot);
        }}
      >
        <div className="row" role="group" aria-label={t("periods")}>
          <button type="button" className="button small" disabled={fixed} onClick={sample}>
            {t("sample")}
          </button>
          {PRESETS.map((hours) => (
            <button
              key={hours}
              type="button"
              className="button small"
              disabled={fixed}
              onClick={() => choose(most - hours * HOUR_MS, most)}
            >
              {t("lastHours", { days: hours / 24 })}
            </button>
          ))}
        </div>
        <Calendar
          streamId={streamId}
          fromMs={msOf(from)}
          toMs={msOf(to)}
          leastMs={least}
          mostMs={most}
          disabled={fixed}
          onChoose={choose}
        />
        <Field
          label={t("from")}
          type="datetime-local"
          value={from}
          min={inputOf(least)}
          max={inputOf(most)}
          disabled={fixed}
          onChange={(event) => {
            setFrom(event.target.value);
            reset();
          }}
        />
        <Field
          label={t("to")}
          hint={t("utc")}
          type="datetime-local"
          value={to}
          min={inputOf(least)}
          max={inputOf(most)}
          disabled={fixed}
          wrong={wrong ? t("wrongPeriod") : empty ? t("outside", { from: time(least), to: time(most) }) : undefined}
          onChange={(event) => {
            setTo(event.target.value);
            reset();
          }}
        />
        <Choice
          label={t("purpose")}
          options={purposes.map(({ text }) => text)}
          chosen={purpose}
          disabled={fixed}
          onChoose={onPurpose}
        />
        {state.step === "checked" ? null : (
          <button type="submit" className="button primary" disabled={fixed || wrong || empty}>
            {t("check")}
          </button>
        )}
      </form>
      {state.step === "checking" ? (
        <p role="status" className="row">
          <span className="spinner" aria-hidden="true" />
          {state.of ? t("checkingPacks", { done: state.done, of: state.of }) : t("checking")}
        </p>
      ) : null}
      {state.step === "failed" ? <Failure reason={state.reason} /> : null}
      {state.step === "checked" ? (
        <>
          <WhatWasChecked checked={state.checked} />
          {children(state.checked)}
        </>
      ) : null}
    </>
  );
}

function WhatWasChecked({ checked: { before } }: { checked: Checked }) {
  const t = useTranslations("offer");
  return (
    <div className="note good stack tight">
      <p className="strong">{t("checkedTitle")}</p>
      <ul className="plain">
        <li>{t("checkedPacks", { packs: before.packs, records: before.records })}</li>
        <li>{t("checkedLine", { empty: before.emptySlots, gaps: before.gaps, erased: before.erased })}</li>
        <li>{t("checkedEpoch", { epoch: before.epoch.number, signers: before.signers.length })}</li>
      </ul>
      {before.packs === 0 ? <p>{t("nothingToPay")}</p> : null}
    </div>
  );
}
