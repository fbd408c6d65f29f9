"use client";
import { batchStartMs, type SubscriptionTerms } from "@msec/core";
import { type Batch, costOfBatch, type KeptSubscription } from "@msec/trade";
import { useQuery } from "@tanstack/react-query";
import { useFormatter, useTranslations } from "next-intl";
import { useCity } from "@/features/city/context.tsx";
import { Exports } from "@/features/deal/exports.tsx";
import { Proof } from "@/features/deal/proof.tsx";
import { Readings } from "@/features/readings/readings.tsx";
import { deployedOf, operatorUrls } from "@/features/trade/deployed.ts";
import { inWorker } from "@/features/trade/work.ts";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { useTx } from "@/features/tx/use-tx.ts";
import { Amount } from "@/ui/amount.tsx";
import { Failure, Waiting } from "@/ui/waiting.tsx";

/** A batch as it was delivered; opened and verified where this browser has the subscription's secret. */
export function BatchCard({
  terms,
  batch,
  kept,
}: {
  terms: SubscriptionTerms;
  batch: Batch;
  /** Null: not of this account, or not of this browser. Undefined: not looked up yet. */
  kept: KeptSubscription | null | undefined;
}) {
  const t = useTranslations("subscriptions");
  const format = useFormatter();
  const city = useCity();
  const tx = useTx();
  const opened = useQuery({
    queryKey: ["batch", kept?.id, batch.number, batch.masked],
    enabled: Boolean(kept),
    staleTime: Infinity,
    // A batch that can't be shown complete yet is tried again.
    refetchInterval: ({ state }) => (state.data && "notYet" in state.data ? 5_000 : false),
    queryFn: () =>
      inWorker("batch", {
        operators: operatorUrls(city),
        deployed: deployedOf(city),
        kept: kept as KeptSubscription,
        batch,
      }),
  });
  const { slots, price } = costOfBatch(terms, batch);
  const from = format.dateTime(batchStartMs(terms, batch.number), {
    dateStyle: "medium",
    timeStyle: "short",
    timeZone: "UTC",
  });
  const busy = ["simulating", "signing", "submitted"].includes(tx.state.step);
  const { data } = opened;
  return (
    <article className="card stack" data-batch={batch.number} aria-label={t("batchFrom", { from })}>
      <h2>{t("batchFrom", { from })}</h2>
      <p className="soft">
        {t("paidSlots", { slots })} <Amount units={price} />
      </p>
      {kept === null ? <p className="note">{t("notKept")}</p> : null}
      {kept && opened.isPending ? <Waiting>{t("opening")}</Waiting> : null}
      {opened.isError ? <Failure reason={opened.error.message} retry={() => void opened.refetch()} /> : null}
      {data?.wrong ? (
        <>
          <p className="note bad" role="alert">
            {t("wrong", { fault: data.wrong.fault })}
          </p>
          <p>
            <button
              type="button"
              className="button danger"
              disabled={busy}
              onClick={() => void tx.send({ contract: "Subscription", ...data.wrong.call, what: "complain" })}
            >
              {t("prove")}
            </button>
          </p>
          <TxStatus state={tx.state} />
        </>
      ) : null}
      {data && "notYet" in data ? <p className="note">{t("notYet", { reason: data.notYet })}</p> : null}
      {data && "bundle" in data && data.bundle ? (
        <>
          <Proof report={data.report} bundle={data.bundle} />
          <Readings schema={data.bundle.stream.schema} rows={data.report.rows} />
          <Exports bundle={data.bundle} />
        </>
      ) : null}
    </article>
  );
}
