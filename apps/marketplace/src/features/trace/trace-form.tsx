"use client";
import { type Hex, MODE, slotOf } from "@msec/core";
import { useQuery } from "@tanstack/react-query";
import { Operators } from "@msec/trade";
import { useTranslations } from "next-intl";
import { type FormEvent, useState } from "react";
import { useCity } from "@/features/city/context.tsx";
import { operatorUrls } from "@/features/trade/deployed.ts";
import { inputOf, msOf, startOf } from "@/features/trade/slots.ts";
import { useRouter } from "@/i18n/navigation.ts";
import { Field } from "@/ui/field.tsx";
import { type Start } from "./find.ts";

interface KnownStream {
  streamId: Hex;
  name: string;
  mode: number;
}

/** Where to start: a stream and a moment of it, or the name of a pack or a purchase. */
export function TraceForm({ start }: { start: Start }) {
  const t = useTranslations("trace");
  const router = useRouter();
  const city = useCity();
  const [wrong, setWrong] = useState("");
  const [chosen, setChosen] = useState(start.stream ?? "");
  const operators = () => new Operators(operatorUrls(city));
  const streams = useQuery({
    queryKey: ["streams"],
    queryFn: () => operators().ask<KnownStream[]>("/streams"),
    staleTime: 30_000,
  });
  const stream = streams.data?.find(({ streamId }) => streamId === chosen) ?? streams.data?.[0];
  const info = useQuery({
    queryKey: ["stream", stream?.streamId],
    enabled: stream !== undefined,
    queryFn: () => operators().stream(stream?.streamId as Hex),
  });
  const slotSeconds = info.data?.preimage.slotSeconds;
  const slot = start.stream === stream?.streamId && start.slot ? Number(start.slot) : info.data?.firstSlot;
  const when = slotSeconds && slot ? inputOf(startOf(slot, slotSeconds)) : "";

  const byTime = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const ms = msOf(new FormData(event.currentTarget).get("when") as string);
    if (!stream || !info.data) return;
    const at = stream.mode === MODE.dataset ? 0 : slotOf(ms, info.data.preimage.slotSeconds);
    if (Number.isNaN(at)) return;
    router.push(`/trace?stream=${stream.streamId}&slot=${at}`);
  };
  const byName = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const digest = (form.get("digest") as string).trim().toLowerCase();
    if (!/^0x[0-9a-f]{64}$/.test(digest)) return setWrong(t("nothing.digest"));
    router.push(`/trace?${form.get("kind") as string}=${digest}`);
  };

  return (
    <div className="halves">
      <form className="card" onSubmit={byTime} aria-label={t("byTime")}>
        <h2>{t("byTime")}</h2>
        <div className="field">
          <label htmlFor="trace-stream">{t("stream")}</label>
          <select
            id="trace-stream"
            className="input"
            value={stream?.streamId ?? ""}
            onChange={(event) => setChosen(event.target.value)}
          >
            {streams.data?.map(({ streamId, name }) => (
              <option key={streamId} value={streamId}>
                {name}
              </option>
            ))}
          </select>
        </div>
        {stream?.mode === MODE.dataset ? null : (
          <Field
            key={`${stream?.streamId} ${when}`}
            label={t("when")}
            name="when"
            type="datetime-local"
            step={60}
            defaultValue={when}
            disabled={!info.data}
            required
          />
        )}
        <button type="submit" className="button primary" disabled={!info.data}>
          {t("follow")}
        </button>
      </form>
      <form className="card" onSubmit={byName} aria-label={t("byName")}>
        <h2>{t("byName")}</h2>
        <Field
          label={t("digest")}
          hint={t("digestHint")}
          name="digest"
          defaultValue={start.pack ?? start.deal ?? ""}
          wrong={wrong || undefined}
          autoComplete="off"
          spellCheck={false}
          required
        />
        <fieldset className="row">
          <legend className="hidden-text">{t("kind")}</legend>
          <label className="check">
            <input type="radio" name="kind" value="pack" defaultChecked={!start.deal} /> {t("ofPack")}
          </label>
          <label className="check">
            <input type="radio" name="kind" value="deal" defaultChecked={Boolean(start.deal)} /> {t("ofDeal")}
          </label>
        </fieldset>
        <button type="submit" className="button">
          {t("follow")}
        </button>
      </form>
    </div>
  );
}
