import { MODE } from "@msec/core";
import { useTranslations } from "next-intl";
import { Link } from "@/i18n/navigation.ts";
import { type IndexedOffer } from "@/lib/indexer.ts";
import { Ago } from "@/ui/ago.tsx";
import { Amount } from "@/ui/amount.tsx";
import { AssuranceBadge, ModeBadge, ScoreBadge } from "./badges.tsx";

export function OfferCard({ offer }: { offer: IndexedOffer }) {
  const t = useTranslations("home");
  const { description } = offer;
  const terms = offer.terms as { unitPrice: string };
  return (
    <li className="card link">
      <h3>
        <Link href={`/offers/${offer.offerId}`} prefetch={false}>
          {description?.name ?? t("unnamed")}
        </Link>
      </h3>
      <p className="row">
        <ModeBadge mode={Number((offer.stream as { mode: number }).mode)} />
        <AssuranceBadge assurance={offer.assurance} />
        <ScoreBadge score={offer.score} />
      </p>
      {offer.thing?.place?.name ? <p className="small place">{offer.thing.place.name}</p> : null}
      <p className="soft small">
        {description
          ? description.schema.quantities.map(({ name, unit }) => (unit ? `${name} (${unit})` : name)).join(" · ")
          : t("undescribed")}
      </p>
      <p className="row apart">
        <span>
          <span className="strong">
            <Amount units={terms.unitPrice} />
          </span>{" "}
          <span className="soft small">
            {t((offer.stream as { mode: number }).mode === MODE.sealed ? "perPack" : "perReading")}
          </span>
        </span>
        <span className="soft small">
          {offer.measured.anchoredAtMs === null ? (
            <Ago ms={offer.at * 1000} />
          ) : (
            <>
              {t("anchored")} <Ago ms={offer.measured.anchoredAtMs} />
            </>
          )}
        </span>
      </p>
    </li>
  );
}
