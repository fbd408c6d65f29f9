"use client";
import { purposeHash } from "@msec/core";
import { offerFrom, priceOf } from "@msec/trade";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { useConnection } from "wagmi";
import { useRouter } from "@/i18n/navigation.ts";
import { useCity } from "@/features/city/context.tsx";
import { AskForm } from "@/features/requests/ask-form.tsx";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { type IndexedOffer } from "@/lib/indexer.ts";
import { Amount } from "@/ui/amount.tsx";
import { Failure } from "@/ui/waiting.tsx";
import { type Bounds, PeriodForm } from "./period-form.tsx";
import { useBuy } from "./use-buy.ts";
import { useCheck } from "./use-check.ts";

/** Choosing a period, checking all of it but its contents, and paying for the keys, or naming another price. */
export function BuyPanel({ indexed, anchored }: { indexed: IndexedOffer; anchored: Bounds }) {
  const t = useTranslations("offer");
  const router = useRouter();
  const city = useCity();
  const { isConnected } = useConnection();
  const offer = offerFrom(indexed, indexed.open);
  const bounds = {
    first: Math.max(anchored.first, offer.fromSlot),
    last: Math.min(anchored.last, offer.toSlot),
  };
  const [purpose, setPurpose] = useState(0);
  const check = useCheck(offer.streamId);
  const buy = useBuy(offer);
  const { state } = buy;
  const busy = ["keys", "permit", "paying"].includes(state.step);
  const hash = purposeHash(city.purposes[purpose] as never);
  if (state.step === "bought") router.push(`/deals/${state.dealId}`);
  return (
    <section className="card" aria-labelledby="buy">
      <h2 id="buy">{t("buy")}</h2>
      <PeriodForm
        check={check}
        streamId={offer.streamId}
        stream={offer.stream}
        bounds={bounds}
        purpose={purpose}
        onPurpose={setPurpose}
        busy={busy}
      >
        {(checked) => (
          <>
            {isConnected ? null : <p className="note">{t("connectToBuy")}</p>}
            <button
              type="button"
              className="button primary"
              disabled={busy || !isConnected || checked.before.packs === 0}
              onClick={() => void buy.pay(checked, hash)}
            >
              {t("pay")} <Amount units={priceOf(offer, checked.bundle.stream, checked.before).price} />
            </button>
            {state.step === "keys" || state.step === "permit" ? (
              <p role="status" className="row">
                <span className="spinner" aria-hidden="true" />
                {t(state.step)}
              </p>
            ) : null}
            <TxStatus state={buy.tx} />
            {state.step === "failed" ? <Failure reason={state.reason} /> : null}
            <details>
              <summary>{t("askInstead")}</summary>
              <AskForm checked={checked} purpose={hash} terms={offer} />
            </details>
          </>
        )}
      </PeriodForm>
    </section>
  );
}
