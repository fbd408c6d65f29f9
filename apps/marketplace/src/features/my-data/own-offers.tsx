"use client";
import { MODE } from "@msec/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslations } from "next-intl";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { useTx } from "@/features/tx/use-tx.ts";
import { Link } from "@/i18n/navigation.ts";
import { askIndexer, type IndexedOffer, type Page } from "@/lib/indexer.ts";
import { Amount } from "@/ui/amount.tsx";
import { type OwnStream } from "./use-streams.ts";

/** What of a stream its owner has on offer; published and closed here. */
export function OwnOffers({ stream: { streamId, info } }: { stream: OwnStream }) {
  const t = useTranslations("mydata");
  const tx = useTx();
  const offers = useQuery({
    queryKey: ["own-offers", streamId],
    queryFn: () => askIndexer<Page<IndexedOffer>>(`/offers?stream=${streamId}&open=true&limit=50`),
    refetchInterval: 3_000,
  });
  const busy = ["simulating", "signing", "submitted"].includes(tx.state.step);
  return (
    <section className="stack tight">
      <h3>{t("offers")}</h3>
      {offers.data?.items.length === 0 ? <p className="soft">{t("noOffers")}</p> : null}
      <ul className="plain">
        {offers.data?.items.map((offer) => (
          <li key={offer.offerId} className="row" data-offer={offer.offerId}>
            <Link href={`/offers/${offer.offerId}`} prefetch={false}>
              <Amount units={(offer.terms as { unitPrice: string }).unitPrice} />{" "}
              {t(info.preimage.mode === MODE.sealed ? "perPack" : "perReading")}
            </Link>
            <button
              type="button"
              className="button small"
              disabled={busy}
              onClick={() =>
                void tx.send({
                  contract: "Marketplace",
                  functionName: "close",
                  args: [offer.offerId],
                  what: "closeOffer",
                })
              }
            >
              {t("closeOffer")}
            </button>
          </li>
        ))}
      </ul>
      <p>
        <Link className="button small" href={`/publish/${streamId}`} prefetch={false}>
          {t("publish")}
        </Link>
      </p>
      <TxStatus state={tx.state} />
    </section>
  );
}
