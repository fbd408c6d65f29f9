import { getTranslations, setRequestLocale } from "next-intl/server";
import { MarketView } from "@/features/map/market-view.tsx";
import { OfferCard } from "@/features/offers/offer-card.tsx";
import { offersPath, readQuery } from "@/features/offers/query.ts";
import { OfferSearch } from "@/features/offers/search.tsx";
import { Messages } from "@/i18n/messages.tsx";
import { Link } from "@/i18n/navigation.ts";
import { type IndexedOffer, type Page } from "@/lib/indexer.ts";
import { config } from "@/server/city.ts";
import { fromIndexer } from "@/server/indexer.ts";
import { Failure } from "@/ui/waiting.tsx";

const PAGE = 24;

export default async function Home({
  params,
  searchParams,
}: {
  params: Promise<{ locale: string }>;
  searchParams: Promise<Record<string, string | string[] | undefined>>;
}) {
  setRequestLocale((await params).locale);
  const query = readQuery(await searchParams);
  const t = await getTranslations("home");
  const found = await fromIndexer<Page<IndexedOffer>>(offersPath(query, PAGE)).catch(() => undefined);
  return (
    <Messages of={["home"]}>
      <div className="page wide">
        <div className="stack tight">
          <h1>{t("title", { city: config().city })}</h1>
          <p className="lead">{t("lead")}</p>
        </div>
        <MarketView query={query} search={<OfferSearch query={query} />}>
          <section aria-labelledby="offers" className="stack">
            <h2 id="offers">{t("offers")}</h2>
            {found === undefined ? (
              <Failure reason={t("away")} />
            ) : found.items.length === 0 ? (
              <p className="note">{t("none")}</p>
            ) : (
              <ul className="tiles list" data-testid="offers">
                {found.items.map((offer) => (
                  <OfferCard key={offer.offerId} offer={offer} />
                ))}
              </ul>
            )}
            {found?.next ? (
              <p>
                <Link className="button" href={{ pathname: "/", query: { ...query, before: String(found.next) } }}>
                  {t("older")}
                </Link>
              </p>
            ) : null}
          </section>
        </MarketView>
      </div>
    </Messages>
  );
}
