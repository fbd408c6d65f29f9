"use client";
import { type Hex, purposeHash, type StreamPreimage, ZERO32, ZERO_ADDRESS } from "@msec/core";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { useCity } from "@/features/city/context.tsx";
import { BOND, COMPLAIN_SECONDS, DELIVER_SECONDS } from "@/features/trade/defaults.ts";
import { type Bounds, PeriodForm } from "@/features/trade/period-form.tsx";
import { useCheck } from "@/features/trade/use-check.ts";
import { Choice } from "@/ui/choice.tsx";
import { AskForm } from "./ask-form.tsx";

/** Asking for data of a stream, whether it is on offer or not. */
export function AskPanel({ streamId, stream, anchored }: { streamId: Hex; stream: StreamPreimage; anchored: Bounds }) {
  const t = useTranslations("requests");
  const { markets, addresses, purposes } = useCity();
  const [market, setMarket] = useState(0);
  const [purpose, setPurpose] = useState(0);
  const check = useCheck(streamId);
  const terms = {
    deliverer: markets[market]?.address ?? ZERO_ADDRESS,
    fallbackDeliverer: markets.find((_, i) => i !== market)?.address ?? ZERO_ADDRESS,
    token: addresses.MSecToken,
    terms: ZERO32,
    bond: BOND,
    deliverSeconds: DELIVER_SECONDS,
    complainSeconds: COMPLAIN_SECONDS,
  };
  return (
    <section className="card" aria-labelledby="ask">
      <h2 id="ask">{t("askTitle")}</h2>
      <p className="soft">{t("askLead")}</p>
      <Choice label={t("market")} options={markets.map(({ name }) => name)} chosen={market} onChoose={setMarket} />
      <PeriodForm
        check={check}
        streamId={streamId}
        stream={stream}
        bounds={anchored}
        purpose={purpose}
        onPurpose={setPurpose}
        busy={false}
      >
        {(checked) => <AskForm checked={checked} purpose={purposeHash(purposes[purpose] as never)} terms={terms} />}
      </PeriodForm>
    </section>
  );
}
