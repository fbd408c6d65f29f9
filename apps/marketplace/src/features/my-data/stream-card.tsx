"use client";
import { MODE } from "@msec/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslations } from "next-intl";
import { ModeBadge } from "@/features/offers/badges.tsx";
import { Link } from "@/i18n/navigation.ts";
import { askIndexer, type IndexedDeal, type Page } from "@/lib/indexer.ts";
import { Ago } from "@/ui/ago.tsx";
import { Hash } from "@/ui/hex.tsx";
import { Consents } from "./consents.tsx";
import { Erasures } from "./erasures.tsx";
import { OwnOffers } from "./own-offers.tsx";
import { type OwnStream } from "./use-streams.ts";

export function StreamCard({ stream }: { stream: OwnStream }) {
  const t = useTranslations("mydata");
  const { preimage, head, lastSlot } = stream.info;
  const id = `stream-${stream.streamId.slice(2, 10)}`;
  return (
    <article className="card" aria-labelledby={id} data-stream={preimage.name}>
      <div className="row apart">
        <h2 id={id}>
          <Link href={`/streams/${stream.streamId}`} prefetch={false}>
            {preimage.name}
          </Link>
        </h2>
        <span className="row">
          <ModeBadge mode={preimage.mode} />
          {stream.owner ? <span className="badge">{t("asOwner")}</span> : null}
          {stream.person ? <span className="badge">{t("asPerson")}</span> : null}
        </span>
      </div>
      {stream.owner ? (
        <p>
          <Link href={`/publish/${stream.streamId}#place`} prefetch={false}>
            {t("describe")}
          </Link>
        </p>
      ) : null}
      <p className="soft">
        {head && lastSlot !== null ? t("measured", { packs: head.seq, until: new Date(head.toMs) }) : t("nothing")}
      </p>
      {stream.owner ? <OwnOffers stream={stream} /> : null}
      <Buyers streamId={stream.streamId} />
      <Consents stream={stream} />
      <Erasures stream={stream} />
      {preimage.mode === MODE.sealed ? <p className="soft small">{t("sealedHint")}</p> : null}
    </article>
  );
}

function Buyers({ streamId }: { streamId: string }) {
  const t = useTranslations("mydata");
  const deals = useQuery({
    queryKey: ["buyers", streamId],
    queryFn: () => askIndexer<Page<IndexedDeal>>(`/deals?stream=${streamId}&limit=100`),
    refetchInterval: 5_000,
  });
  const delivered = deals.data?.items.filter(({ state }) => state !== "funded" && state !== "refunded") ?? [];
  return (
    <section className="stack tight">
      <h3>{t("buyers")}</h3>
      {delivered.length === 0 ? <p className="soft">{t("noBuyers")}</p> : null}
      <ul className="plain">
        {delivered.map((deal) => (
          <li key={deal.dealId}>
            <Hash value={deal.buyer} label={t("buyer")} /> ·{" "}
            <Link href={`/deals/${deal.dealId}`} prefetch={false}>
              {t("boughtReadings", { readings: Number((deal.deal as { readings: string }).readings) })}
            </Link>{" "}
            · <Ago ms={deal.at * 1000} />
          </li>
        ))}
      </ul>
    </section>
  );
}
