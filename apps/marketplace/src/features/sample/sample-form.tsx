"use client";
import { type Hex, MAX_SAMPLE_SLOTS, type Thing } from "@msec/core";
import { descriptionOf, describeStream, Operators, type StreamInfo, thingOf } from "@msec/trade";
import { useMutation } from "@tanstack/react-query";
import { useRouter } from "next/navigation";
import { useTranslations } from "next-intl";
import { type FormEvent, useState } from "react";
import { useCity } from "@/features/city/context.tsx";
import { deployedOf, operatorUrls } from "@/features/trade/deployed.ts";
import { endOf, inputOf, msOf, slotsOf, startOf } from "@/features/trade/slots.ts";
import { useSigning } from "@/features/trade/use-signing.ts";
import { Field } from "@/ui/field.tsx";
import { Failure } from "@/ui/waiting.tsx";

const DAY_SECONDS = 86_400;

/** The owner of an open stream lets everybody open a period of it, or does so no longer: a signature, no transaction. */
export function SampleForm({
  streamId,
  info: { preimage, thing },
  bounds,
}: {
  streamId: Hex;
  info: StreamInfo;
  bounds: { first: number; last: number };
}) {
  const t = useTranslations("sample");
  const { slotSeconds } = preimage;
  const city = useCity();
  const router = useRouter();
  const { account, sign } = useSigning();
  const shown = thingOf(streamId, thing ?? undefined)?.sample;
  const days = Math.min(MAX_SAMPLE_SLOTS, Math.ceil(DAY_SECONDS / slotSeconds));
  const [from, setFrom] = useState(inputOf(startOf(Math.max(bounds.first, bounds.last - days + 1), slotSeconds)));
  const [to, setTo] = useState(inputOf(endOf(bounds.last, slotSeconds)));
  const slots = msOf(from) < msOf(to) ? slotsOf(preimage, msOf(from), msOf(to), bounds) : undefined;
  const fits = slots && slots.fromSlot <= slots.toSlot && slots.toSlot - slots.fromSlot < MAX_SAMPLE_SLOTS;
  const describe = useMutation({
    mutationFn: async (sample: Thing["sample"]) => {
      if (!account) throw new Error(t("connect"));
      const operators = new Operators(operatorUrls(city));
      const known = await descriptionOf(operators, deployedOf(city), streamId, account);
      const { sample: _, ...said } = thingOf(streamId, known) ?? { title: preimage.name };
      const next = { ...said, ...(sample ? { sample } : {}) };
      return describeStream(operators, deployedOf(city), streamId, next, { address: account, sign });
    },
    onSuccess: () => router.refresh(),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (fits) describe.mutate(slots);
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
          <button type="submit" className="button" disabled={!fits || describe.isPending}>
            {t(shown ? "change" : "show")}
          </button>
          {shown ? (
            <button
              type="button"
              className="button"
              disabled={describe.isPending}
              onClick={() => describe.mutate(undefined)}
            >
              {t("takeBack")}
            </button>
          ) : null}
        </p>
      </form>
      {describe.isPending ? (
        <p role="status" className="row">
          <span className="spinner" aria-hidden="true" />
          {t("signing")}
        </p>
      ) : null}
      {describe.isError ? <Failure reason={describe.error.message} /> : null}
      {describe.isSuccess ? (
        <p role="status" className="note good">
          {t("done", { took: describe.data.took, of: describe.data.of })}
        </p>
      ) : null}
    </section>
  );
}
