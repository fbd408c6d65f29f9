"use client";
import { type Hex, type StreamPreimage, type Thing } from "@msec/core";
import { useQuery } from "@tanstack/react-query";
import { useFormatter, useTranslations } from "next-intl";
import { useState } from "react";
import { useConfig } from "wagmi";
import { useCity } from "@/features/city/context.tsx";
import { Proof } from "@/features/deal/proof.tsx";
import { Readings } from "@/features/readings/readings.tsx";
import { deployedOf, operatorUrls } from "@/features/trade/deployed.ts";
import { erasuresOf } from "@/features/trade/erasures.ts";
import { endOf, startOf } from "@/features/trade/slots.ts";
import { inWorker } from "@/features/trade/work.ts";
import { Failure, Waiting } from "@/ui/waiting.tsx";

/** What the owner lets everybody open, verified here as a purchase is. */
export function SampleCard({
  streamId,
  stream: { slotSeconds },
  sample: { fromSlot, toSlot },
}: {
  streamId: Hex;
  stream: Pick<StreamPreimage, "slotSeconds">;
  sample: NonNullable<Thing["sample"]>;
}) {
  const t = useTranslations("sample");
  const format = useFormatter();
  const city = useCity();
  const config = useConfig();
  const [asked, setAsked] = useState(false);
  const opened = useQuery({
    queryKey: ["sample", streamId, fromSlot, toSlot],
    enabled: asked,
    staleTime: Infinity,
    queryFn: async () =>
      inWorker("sample", {
        operators: operatorUrls(city),
        deployed: deployedOf(city),
        streamId,
        erasures: await erasuresOf(config, city, streamId),
      }),
  });
  const time = (ms: number) => format.dateTime(ms, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
  return (
    <div className="stack" data-testid="sample">
      <section className="card" aria-labelledby="sample">
        <h2 id="sample">{t("title")}</h2>
        <p>
          {slotSeconds === 0
            ? t("all")
            : t("period", { from: time(startOf(fromSlot, slotSeconds)), to: time(endOf(toSlot, slotSeconds)) })}
        </p>
        {asked ? null : (
          <p>
            <button type="button" className="button" onClick={() => setAsked(true)}>
              {t("open")}
            </button>
          </p>
        )}
        {asked && opened.isPending ? <Waiting>{t("opening")}</Waiting> : null}
        {opened.isError ? <Failure reason={opened.error.message} retry={() => void opened.refetch()} /> : null}
      </section>
      {opened.data ? (
        <>
          <Proof report={opened.data.report} bundle={opened.data.bundle} />
          <Readings schema={opened.data.bundle.stream.schema} rows={opened.data.report.rows} />
        </>
      ) : null}
    </div>
  );
}
