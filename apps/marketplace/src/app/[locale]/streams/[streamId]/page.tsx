import { type Hex, MODE } from "@msec/core";
import { thingOf } from "@msec/trade";
import { notFound } from "next/navigation";
import { getTranslations, setRequestLocale } from "next-intl/server";
import { ModeBadge } from "@/features/offers/badges.tsx";
import { AskPanel } from "@/features/requests/ask-panel.tsx";
import { Live } from "@/features/streams/live.tsx";
import { SampleCard } from "@/features/sample/sample-card.tsx";
import { Subscribe } from "@/features/subscriptions/subscribe.tsx";
import { Messages } from "@/i18n/messages.tsx";
import { Link } from "@/i18n/navigation.ts";
import { type IndexedOffer, type Page } from "@/lib/indexer.ts";
import { findInIndexer } from "@/server/indexer.ts";
import { streamInfo } from "@/server/operators.ts";
import { Amount } from "@/ui/amount.tsx";
import { Hash } from "@/ui/hex.tsx";

type Props = { params: Promise<{ locale: string; streamId: string }> };

const find = async (streamId: string) => (/^0x[0-9a-f]{64}$/.test(streamId) ? streamInfo(streamId as Hex) : undefined);

export async function generateMetadata({ params }: Props) {
  const { streamId } = await params;
  return { title: (await find(streamId))?.preimage.name ?? streamId };
}

/** A stream, whether it is on offer or not: what it measures, who sells it, and what one can ask for. */
export default async function StreamPage({ params }: Props) {
  const { locale, streamId } = await params;
  setRequestLocale(locale);
  const info = await find(streamId);
  if (!info) notFound();
  const t = await getTranslations("stream");
  const { preimage, firstSlot, lastSlot, thing } = info;
  const sample = thingOf(streamId as Hex, thing ?? undefined)?.sample;
  const offers = await findInIndexer<Page<IndexedOffer>>(`/offers?stream=${streamId}&open=true&limit=20`);
  return (
    <Messages of={["stream", "offer", "requests", "subscriptions", "sample", "proof", "readings", "errors"]}>
      <div className="page">
        <div className="stack tight">
          <h1>{preimage.name}</h1>
          <p className="row">
            <ModeBadge mode={preimage.mode} />
            <Hash value={streamId} label={t("stream")} />
          </p>
          <p className="soft">
            {preimage.schema.quantities.map(({ name, unit }) => (unit ? `${name} (${unit})` : name)).join(" · ")}
          </p>
        </div>
        <div className="columns">
          <div className="stack">
            <section className="card" aria-labelledby="offers">
              <h2 id="offers">{t("offers")}</h2>
              {offers?.items.length ? (
                <ul className="plain">
                  {offers.items.map((offer) => (
                    <li key={offer.offerId}>
                      <Link href={`/offers/${offer.offerId}`} prefetch={false}>
                        <Amount units={(offer.terms as { unitPrice: string }).unitPrice} />{" "}
                        {t(preimage.mode === MODE.sealed ? "perPack" : "perReading")}
                      </Link>
                    </li>
                  ))}
                </ul>
              ) : (
                <p className="soft">{t("noOffers")}</p>
              )}
            </section>
            {sample ? <SampleCard streamId={streamId as Hex} stream={preimage} sample={sample} /> : null}
            {preimage.mode === MODE.dataset ? null : <Live streamId={streamId as Hex} stream={preimage} />}
            {preimage.mode === MODE.dataset ? null : <Subscribe streamId={streamId as Hex} />}
          </div>
          <div className="stack">
            {firstSlot !== null && lastSlot !== null ? (
              <AskPanel streamId={streamId as Hex} stream={preimage} anchored={{ first: firstSlot, last: lastSlot }} />
            ) : (
              <p className="note">{t("nothing")}</p>
            )}
          </div>
        </div>
      </div>
    </Messages>
  );
}
