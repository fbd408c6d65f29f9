"use client";
import { type Hex, MODE, placeFrom } from "@msec/core";
import { published, type StreamInfo, thingOf } from "@msec/trade";
import { useTranslations } from "next-intl";
import { type FormEvent, useState } from "react";
import { Field } from "@/ui/field.tsx";
import { Outcome } from "./outcome.tsx";
import { useDescription } from "./use-description.ts";

/** The owner of a stream says where it is measured, or takes the place back. That of a sealed stream is rounded. */
export function PlaceForm({ streamId, info }: { streamId: Hex; info: StreamInfo }) {
  const t = useTranslations("description");
  const shown = thingOf(streamId, info.thing ?? undefined)?.place;
  const [at, setAt] = useState(shown ? `${shown.latitude}, ${shown.longitude}` : "");
  const [name, setName] = useState(shown?.name ?? "");
  const describe = useDescription(streamId, info);
  const place = placeFrom(at);
  const sealed = info.preimage.mode === MODE.sealed;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!place) return;
    const named = name.trim() === "" ? place : { ...place, name: name.trim() };
    describe.mutate((said) => published(info.preimage, { ...said, place: named }));
  };
  return (
    <section className="card stack" aria-labelledby="place">
      <h2 id="place">{t("place")}</h2>
      <p className="soft">{t(sealed ? "placeHintSealed" : "placeHint")}</p>
      <form className="stack" onSubmit={submit}>
        <Field
          label={t("at")}
          hint={t("atHint")}
          value={at}
          autoComplete="off"
          disabled={describe.isPending}
          onChange={(event) => setAt(event.target.value)}
          wrong={at.trim() === "" || place ? undefined : t("wrongPlace")}
        />
        {sealed ? null : (
          <Field
            label={t("name")}
            value={name}
            maxLength={120}
            autoComplete="off"
            disabled={describe.isPending}
            onChange={(event) => setName(event.target.value)}
          />
        )}
        <p className="row">
          <button type="submit" className="button" disabled={!place || !describe.account || describe.isPending}>
            {t("stand")}
          </button>
          {shown ? (
            <button
              type="button"
              className="button"
              disabled={!describe.account || describe.isPending}
              onClick={() => describe.mutate(({ place: _, ...said }) => said)}
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
