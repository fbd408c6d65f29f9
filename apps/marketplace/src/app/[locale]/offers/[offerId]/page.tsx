import { type Hex, MODE, slotTimes } from "@msec/core";
import { thingOf } from "@msec/trade";
import { notFound } from "next/navigation";
import { getTranslations, setRequestLocale } from "next-intl/server";
import { AssuranceBadge, ModeBadge, ScoreBadge } from "@/features/offers/badges.tsx";
import { WhereCard } from "@/features/offers/where-card.tsx";
import { Live } from "@/features/streams/live.tsx";
import { SampleCard } from "@/features/sample/sample-card.tsx";
import { BuyPanel } from "@/features/trade/buy-panel.tsx";
import { Messages } from "@/i18n/messages.tsx";
import { Link } from "@/i18n/navigation.ts";
import { type IndexedOffer } from "@/lib/indexer.ts";
import { config } from "@/server/city.ts";
import { findInIndexer } from "@/server/indexer.ts";
import { streamInfo } from "@/server/operators.ts";
import { Ago } from "@/ui/ago.tsx";
import { Amount } from "@/ui/amount.tsx";
import { Hash } from "@/ui/hex.tsx";

type Props = { params: Promise<{ locale: string; offerId: string }> };

export async function generateMetadata({ params }: Props) {
  const { offerId } = await params;
  const offer = await findInIndexer<IndexedOffer>(`/offers/${offerId}`);
  return { title: offer?.description?.name ?? offerId };
}

export default async function OfferPage({ params }: Props) {
  const { locale, offerId } = await params;
  setRequestLocale(locale);
  const [offer, t] = await Promise.all([
    findInIndexer<IndexedOffer>(`/offers/${encodeURIComponent(offerId)}`),
    getTranslations("offer"),
  ]);
  if (!offer) notFound();
  const u = await getTranslations("units");
  const info = await streamInfo(offer.streamId as Hex);
  const stream = offer.stream as { mode: number; slotSeconds: number; deviceId: Hex };
  const terms = offer.terms as Record<string, string>;
  const name = (address: string) =>
    config().markets.find((market) => market.address === address.toLowerCase())?.name ?? `${address.slice(0, 10)}…`;
  const sample = info && thingOf(offer.streamId as Hex, info.thing ?? undefined)?.sample;
  const sold = info && info.firstSlot !== null && info.lastSlot !== null && info.head;
  return (
    <Messages of={["offer", "requests", "stream", "sample", "proof", "readings", "errors"]}>
      <div className="page">
        <div className="stack tight">
          <h1>{offer.description?.name ?? t("unnamed")}</h1>
          <p className="row">
            <ModeBadge mode={stream.mode} />
            <AssuranceBadge assurance={offer.assurance} />
            <ScoreBadge score={offer.score} />
            {offer.open ? null : <span className="badge bad">{t("closed")}</span>}
          </p>
        </div>
        <div className="columns">
          <div className="stack">
            <section className="card" aria-labelledby="measures">
              <h2 id="measures">{t("measures")}</h2>
              {offer.description ? (
                <div className="scroll" tabIndex={0} role="region" aria-labelledby="measures">
                  <table>
                    <thead>
                      <tr>
                        <th scope="col">{t("quantity")}</th>
                        <th scope="col">{t("unit")}</th>
                        <th scope="col">{t("column")}</th>
                      </tr>
                    </thead>
                    <tbody>
                      {offer.description.schema.quantities.map((quantity) => (
                        <tr key={quantity.name}>
                          <td>{quantity.name}</td>
                          <td>{quantity.unit || "–"}</td>
                          <td>{quantity.text}</td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                </div>
              ) : (
                <p>{t("undescribed")}</p>
              )}
            </section>
            {offer.thing ? <WhereCard thing={offer.thing} /> : null}
            <section className="card" aria-labelledby="quality">
              <h2 id="quality">{t("quality")}</h2>
              {sold && info.head ? (
                <dl className="facts">
                  <dt>{t("fromTo")}</dt>
                  <dd>
                    <time>
                      {new Date(slotTimes(info.firstSlot ?? 0, stream.slotSeconds).fromMs).toISOString().slice(0, 16)}
                    </time>
                    {" – "}
                    <time>{new Date(info.head.toMs).toISOString().slice(0, 16)}</time> UTC
                  </dd>
                  <dt>{t("packs")}</dt>
                  <dd>{info.head.seq}</dd>
                  <dt>{t("slotLength")}</dt>
                  <dd>{u("slot", { seconds: stream.slotSeconds })}</dd>
                  <dt>{t("waiting")}</dt>
                  <dd>{info.pending}</dd>
                  <dt>{t("doubleSignatures")}</dt>
                  <dd>
                    {info.equivocations === 0 ? (
                      t("noDoubleSignatures")
                    ) : (
                      <span className="badge bad">{info.equivocations}</span>
                    )}
                  </dd>
                  <dt>{t("erasures")}</dt>
                  <dd>{info.erasures.length}</dd>
                </dl>
              ) : (
                <p className="note warn">{info ? t("nothingAnchored") : t("operatorsAway")}</p>
              )}
            </section>
            {sample ? <SampleCard streamId={offer.streamId as Hex} stream={stream} sample={sample} /> : null}
            {info && stream.mode !== MODE.dataset ? (
              <Live streamId={offer.streamId as Hex} stream={info.preimage} />
            ) : null}
            <section className="card" aria-labelledby="terms">
              <h2 id="terms">{t("terms")}</h2>
              <dl className="facts">
                <dt>{t("price")}</dt>
                <dd>
                  <Amount units={terms.unitPrice ?? "0"} /> {t(stream.mode === 1 ? "perPack" : "perReading")}
                </dd>
                <dt>{t("deliverer")}</dt>
                <dd>
                  {name(terms.deliverer ?? "")}, {t("orElse")} {name(terms.fallbackDeliverer ?? "")}
                </dd>
                <dt>{t("bond")}</dt>
                <dd>
                  <Amount units={terms.bond ?? "0"} />
                </dd>
                <dt>{t("deliverWithin")}</dt>
                <dd>{t("seconds", { seconds: Number(terms.deliverSeconds) })}</dd>
                <dt>{t("complainWithin")}</dt>
                <dd>{t("seconds", { seconds: Number(terms.complainSeconds) })}</dd>
                <dt>{t("seller")}</dt>
                <dd>
                  <Hash value={offer.seller} label={t("seller")} />
                </dd>
                <dt>{t("stream")}</dt>
                <dd>
                  <Link href={`/streams/${offer.streamId}`} prefetch={false}>
                    <code>{offer.streamId.slice(0, 10)}…</code>
                  </Link>{" "}
                  <Hash value={offer.streamId} label={t("stream")} />
                </dd>
                <dt>{t("deviceId")}</dt>
                <dd>
                  <Hash value={stream.deviceId} label={t("deviceId")} />
                </dd>
                <dt>{t("published")}</dt>
                <dd>
                  <Ago ms={offer.at * 1000} />
                </dd>
              </dl>
            </section>
          </div>
          <div className="stack">
            {offer.open && sold ? (
              <BuyPanel indexed={offer} anchored={{ first: info.firstSlot ?? 0, last: info.lastSlot ?? 0 }} />
            ) : (
              <p className="note">{offer.open ? t("notYet") : t("closedHint")}</p>
            )}
          </div>
        </div>
      </div>
    </Messages>
  );
}
