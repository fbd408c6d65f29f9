"use client";
import { type Hex, MAX_SAMPLE_SLOTS, type Thing } from "@msec/core";
import { type StreamInfo, thingOf } from "@msec/trade";
import { useTranslations } from "next-intl";
import { type FormEvent, useState } from "react";
import { endOf, inputOf, msOf, slotsOf, startOf } from "@/features/trade/slots.ts";
import { Field } from "@/ui/field.tsx";
import { Outcome } from "./outcome.tsx";
import { useDescription } from "./use-description.ts";

const DAY_SECONDS = 86_400;

/** The owner of an open stream lets everybody open a period of it, or does so no longer: a signature, no transaction. */
export function SampleForm({
  streamId,
  info,
  bounds,
}: {
  streamId: Hex;
  info: StreamInfo;
  bounds: { first: number; last: number };
}) {
  const t = useTranslations("sample");
  const { preimage, thing } = info;
  const { slotSeconds } = preimage;
  const shown = thingOf(streamId, thing ?? undefined)?.sample;
  const days = Math.min(MAX_SAMPLE_SLOTS, Math.ceil(DAY_SECONDS / slotSeconds));
  const [from, setFrom] = useState(inputOf(startOf(Math.max(bounds.first, bounds.last - days + 1), slotSeconds)));
  const [to, setTo] = useState(inputOf(endOf(bounds.last, slotSeconds)));
  const slots = msOf(from) < msOf(to) ? slotsOf(preimage, msOf(from), msOf(to), bounds) : undefined;
  const fits = slots && slots.fromSlot <= slots.toSlot && slots.toSlot - slots.fromSlot < MAX_SAMPLE_SLOTS;
  const describe = useDescription(streamId, info);
  const show = (sample: Thing["sample"]) =>
    describe.mutate(({ sample: _, ...said }) => ({ ...said, ...(sample ? { sample } : {}) }));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (fits) show(slots);
  };
  return (
    <section className="card stack" aria-labelledby="sample">
      <h2 id="sample">{t("give")}</h2>
      <p className="soft">{t("giveHint")}</p>
      <form className="stack" onSubmit={submit}>
        <Field
          label={t("from")}
          type="datetime-local"
          value={from}
          disabled={describe.isPending}
          onChange={(event) => setFrom(event.target.value)}
        />
        <Field
          label={t("to")}
          hint={t("utc")}
          type="datetime-local"
          value={to}
          disabled={describe.isPending}
          onChange={(event) => setTo(event.target.value)}
          wrong={fits ? undefined : t("wrong", { slots: MAX_SAMPLE_SLOTS })}
        />
        <p className="row">
          <button type="submit" className="button" disabled={!fits || !describe.account || describe.isPending}>
            {t(shown ? "change" : "show")}
          </button>
          {shown ? (
            <button
              type="button"
              className="button"
              disabled={!describe.account || describe.isPending}
              onClick={() => show(undefined)}
            >
              {t("takeBack")}
            </button>
          ) : null}
        </p>
      </form>
      <Outcome of={describe} />
    </section>
  );
}
