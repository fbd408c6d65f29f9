"use client";
import { BACKUP_MS, LAST_SLOT, MODE, slotOf, slotTimes } from "@msec/core";
import { useQuery } from "@tanstack/react-query";
import { abiStream, Operators } from "@msec/trade";
import { useFormatter, useTranslations } from "next-intl";
import { useState } from "react";
import { useCity } from "@/features/city/context.tsx";
import { operatorUrls } from "@/features/trade/deployed.ts";
import { endOf, inputOf, msOf, startOf } from "@/features/trade/slots.ts";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { useTx } from "@/features/tx/use-tx.ts";
import { askIndexer, type IndexedErasure, type Page } from "@/lib/indexer.ts";
import { Field } from "@/ui/field.tsx";
import { Hash } from "@/ui/hex.tsx";
import { type OwnStream } from "./use-streams.ts";

/** Destroying the keys of a period, or of all; with its receipts, and what they can't undo. */
export function Erasures({ stream: { streamId, info } }: { stream: OwnStream }) {
  const t = useTranslations("mydata");
  const format = useFormatter();
  const { preimage, firstSlot, lastSlot } = info;
  const { slotSeconds } = preimage;
  const city = useCity();
  const tx = useTx();
  const [all, setAll] = useState(preimage.mode === MODE.dataset);
  const [from, setFrom] = useState(inputOf(startOf(firstSlot ?? 0, slotSeconds || 1)));
  const [to, setTo] = useState(inputOf(endOf(lastSlot ?? 0, slotSeconds || 1)));
  const [asked, setAsked] = useState<{ slots: [number, number]; packs: number; readings: number }>();
  const [problem, setProblem] = useState("");
  const erasures = useQuery({
    queryKey: ["erasures", streamId],
    queryFn: () => askIndexer<Page<IndexedErasure>>(`/erasures?stream=${streamId}&limit=100`),
    refetchInterval: 2_000,
  });
  const busy = ["simulating", "signing", "submitted"].includes(tx.state.step);
  const date = (ms: number) => format.dateTime(ms, { dateStyle: "medium", timeStyle: "short" });
  const period = ({ fromSlot, toSlot }: IndexedErasure) =>
    toSlot === LAST_SLOT || preimage.mode === MODE.dataset
      ? t("everything")
      : `${date(slotTimes(fromSlot, slotSeconds).fromMs)} – ${date(slotTimes(toSlot, slotSeconds).toMs)}`;

  const look = async () => {
    setProblem("");
    const slots: [number, number] = all
      ? [0, preimage.mode === MODE.dataset ? 0 : LAST_SLOT]
      : [slotOf(msOf(from), slotSeconds), slotOf(Math.max(msOf(from), msOf(to) - 1), slotSeconds)];
    if (!all && !(msOf(from) < msOf(to))) return setProblem(t("wrongPeriod"));
    try {
      const page = await new Operators(operatorUrls(city)).window(streamId, ...slots);
      const left = page.packs.filter(({ erased }) => !erased);
      setAsked({ slots, packs: left.length, readings: left.reduce((sum, pack) => sum + pack.readings, 0) });
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  const erase = async () => {
    if (!asked) return;
    const done = await tx.send({
      contract: "ConsentRegistry",
      functionName: "requestErasure",
      args: [abiStream(preimage), ...asked.slots],
      what: "erase",
    });
    if (done) setAsked(undefined);
  };

  return (
    <section className="stack tight">
      <h3>{t("erase")}</h3>
      <ul className="plain">
        {erasures.data?.items.map((erasure) => (
          <li key={erasure.number} data-erasure={erasure.completeAtMs ? "complete" : "under-way"}>
            <span className={`badge ${erasure.completeAtMs ? "good" : "warn"}`}>
              {t(erasure.completeAtMs ? "erased" : "erasing")}
            </span>{" "}
            {period(erasure)} · <Hash value={erasure.tx} label={t("receipt")} />
            <br />
            <span className="soft small">
              {erasure.completeAtMs
                ? t("dates", { keys: date(erasure.completeAtMs - BACKUP_MS), backups: date(erasure.completeAtMs) })
                : t("waitingForHolders")}
            </span>
          </li>
        ))}
      </ul>
      <details>
        <summary>{t("eraseSome")}</summary>
        <form
          className="stack"
          onSubmit={(event) => {
            event.preventDefault();
            void look();
          }}
        >
          <label className="check">
            <input
              type="checkbox"
              checked={all}
              disabled={preimage.mode === MODE.dataset || busy}
              onChange={(event) => {
                setAll(event.target.checked);
                setAsked(undefined);
              }}
            />
            {t("all")}
          </label>
          {all ? null : (
            <>
              <Field
                label={t("from")}
                type="datetime-local"
                value={from}
                onChange={(event) => {
                  setFrom(event.target.value);
                  setAsked(undefined);
                }}
              />
              <Field
                label={t("to")}
                hint={t("wholeSlots")}
                type="datetime-local"
                value={to}
                onChange={(event) => {
                  setTo(event.target.value);
                  setAsked(undefined);
                }}
              />
            </>
          )}
          {problem ? (
            <p role="alert" className="note bad">
              {problem}
            </p>
          ) : null}
          {asked ? (
            <div className="note warn stack tight">
              <p className="strong">{t("goes", { packs: asked.packs, readings: asked.readings })}</p>
              <p>{t("stays")}</p>
              <p>
                <button type="button" className="button danger" disabled={busy} onClick={() => void erase()}>
                  {t("eraseNow")}
                </button>
              </p>
            </div>
          ) : (
            <p>
              <button type="submit" className="button" disabled={busy}>
                {t("lookFirst")}
              </button>
            </p>
          )}
        </form>
      </details>
      <TxStatus state={tx.state} />
    </section>
  );
}
