"use client";
import dynamic from "next/dynamic";
import { useTranslations } from "next-intl";
import { type ReactNode, useEffect, useState, useTransition } from "react";
import { boxOfQuery, type OfferQuery, searchOf, whereOf } from "@/features/offers/query.ts";
import { useRouter } from "@/i18n/navigation.ts";
import { Waiting } from "@/ui/waiting.tsx";
import { type Box } from "./types.ts";

function Loading() {
  const t = useTranslations("home.map");
  return (
    <div className="map-frame map-coming">
      <Waiting>{t("loading")}</Waiting>
    </div>
  );
}
const OfferMap = dynamic(() => import("./offer-map.tsx"), { ssr: false, loading: Loading });

/** As wide as list and map fit beside each other; the same as in the styles. */
const WIDE = "(min-width: 64rem)";
/** The list and what it needs come first. */
const LIST_FIRST_MS = 1_000;

/** List and map of what is on offer: beside each other, or on a narrow screen one of them. */
export function MarketView({ query, search, children }: { query: OfferQuery; search: ReactNode; children: ReactNode }) {
  const t = useTranslations("home.map");
  const router = useRouter();
  const [view, setView] = useState<"list" | "map">("list");
  const [wanted, setWanted] = useState(false);
  const [, start] = useTransition();
  useEffect(() => {
    const wide = matchMedia(WIDE);
    const look = () => wide.matches && setWanted(true);
    const timer = setTimeout(look, LIST_FIRST_MS);
    wide.addEventListener("change", look);
    return () => {
      clearTimeout(timer);
      wide.removeEventListener("change", look);
    };
  }, []);
  const choose = (box: Box | undefined) => {
    const search = searchOf({ ...query, where: box ? whereOf(box) : "", before: "" });
    start(() => router.replace(search.size ? `/?${search}` : "/", { scroll: false }));
  };
  const look = (next: "list" | "map") => {
    setView(next);
    if (next === "map") setWanted(true);
  };
  return (
    <div className="market" data-view={view}>
      <div className="market-search">{search}</div>
      <div className="market-toggle" role="group" aria-label={t("toggle")}>
        {(["list", "map"] as const).map((name) => (
          <button
            key={name}
            type="button"
            className="button small"
            aria-pressed={view === name}
            onClick={() => look(name)}
          >
            {t(`show.${name}`)}
          </button>
        ))}
      </div>
      <div className="market-list stack">
        {query.where ? (
          <p className="row apart note">
            {t("within")}
            <button type="button" className="button small" onClick={() => choose(undefined)}>
              {t("everywhere")}
            </button>
          </p>
        ) : null}
        {children}
      </div>
      <section className="market-map" aria-label={t("title")}>
        {wanted ? <OfferMap query={query} chosen={boxOfQuery(query)} choose={choose} /> : <Loading />}
      </section>
    </div>
  );
}
