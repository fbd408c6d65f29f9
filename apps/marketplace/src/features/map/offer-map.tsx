"use client";
import { useQuery } from "@tanstack/react-query";
import { useFormatter, useTranslations } from "next-intl";
import { type KeyboardEvent, type MouseEvent, useMemo, useRef, useState } from "react";
import { useCity } from "@/features/city/context.tsx";
import { type OfferQuery, placesPath } from "@/features/offers/query.ts";
import { askIndexer, readJson } from "@/lib/indexer.ts";
import { Amount } from "@/ui/amount.tsx";
import { Failure } from "@/ui/waiting.tsx";
import { boxAround, Clusters, drawable, type Spot } from "./clusters.ts";
import { type Land } from "./draw.ts";
import { useInks } from "./inks.ts";
import { type Box, type IndexedPlace, type IndexedPlaces } from "./types.ts";
import { useMap } from "./use-map.ts";
import { boxOf, metresPerPixel, placeOf, scaleBar } from "./view.ts";

const FRESH_MS = 30_000;
const BAR_PIXELS = 120;
const NOTHING: IndexedPlace[] = [];

const readLand = () => readJson<Land>("/map/land.json");

/** Where the streams stand whose offers the list shows; what is chosen here narrows the list. */
export default function OfferMap({
  query,
  chosen,
  choose,
}: {
  query: OfferQuery;
  chosen: Box | undefined;
  choose: (box: Box | undefined) => void;
}) {
  const t = useTranslations("home.map");
  const format = useFormatter();
  const { name: city } = useCity();
  const path = placesPath(query);
  const found = useQuery({
    queryKey: ["places", path],
    queryFn: () => askIndexer<IndexedPlaces>(path),
    refetchInterval: FRESH_MS,
    staleTime: FRESH_MS,
    placeholderData: (before) => before,
  });
  const { data: land } = useQuery({ queryKey: ["land"], queryFn: readLand, staleTime: Infinity });
  const items = found.data?.items ?? NOTHING;
  const clusters = useMemo(() => new Clusters(items), [items]);
  const all = useMemo(() => {
    const places = drawable(items);
    return places.length > 0 ? boxAround(places) : undefined;
  }, [items]);
  // Where no place is known there is nothing to show, and nothing is drawn.
  const home = chosen ?? all;
  const canvas = useRef<HTMLCanvasElement>(null);
  const inks = useInks();
  const { rested, goTo, spotAt, hover, move, zoomBy } = useMap(canvas, home, { inks, land, clusters, chosen });
  const [tip, setTip] = useState<{ spot: Spot; x: number; y: number }>();

  const seen = useMemo(() => {
    if (!rested) return undefined;
    const spots = clusters.spots(boxOf(rested.transform, rested.size), 24);
    return { streams: spots.length, offers: spots.reduce((sum, { offers }) => sum + offers, 0) };
  }, [rested, clusters]);
  const bar = useMemo(() => {
    if (!rested) return undefined;
    const [, latitude] = placeOf(rested.transform, rested.size.width / 2, rested.size.height / 2);
    return scaleBar(metresPerPixel(rested.transform, latitude), BAR_PIXELS);
  }, [rested]);
  const length = (metres: number) =>
    metres >= 1000
      ? format.number(metres / 1000, { style: "unit", unit: "kilometer" })
      : format.number(metres, { style: "unit", unit: "meter" });

  const chooseSeen = () => rested && choose(boxOf(rested.transform, rested.size));
  const under = ({ nativeEvent: { offsetX, offsetY } }: MouseEvent) => spotAt(offsetX, offsetY);
  const pressed = (event: KeyboardEvent) => {
    const act = {
      ArrowLeft: () => move(-1, 0),
      ArrowRight: () => move(1, 0),
      ArrowUp: () => move(0, -1),
      ArrowDown: () => move(0, 1),
      "+": () => zoomBy(1),
      "=": () => zoomBy(1),
      "-": () => zoomBy(-1),
      "0": () => all && goTo(all),
      Enter: chooseSeen,
      Escape: () => choose(undefined),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    void act();
  };
  const name = (spot: Spot) =>
    spot.place ? spot.place.name : t("together", { streams: spot.streams, offers: spot.offers });

  return (
    <div className="map">
      <div className="map-frame">
        <canvas
          ref={canvas}
          tabIndex={0}
          role="application"
          aria-label={t("label", { city })}
          aria-describedby="map-help"
          data-streams={items.length}
          onKeyDown={pressed}
          onPointerDown={() => canvas.current?.focus({ preventScroll: true })}
          onClick={(event) => {
            const spot = under(event);
            if (!spot) return;
            const box = clusters.boxOf(spot);
            choose(box);
            if (spot.streams > 1) goTo(box);
          }}
          onMouseMove={(event) => {
            const spot = event.buttons === 0 ? under(event) : undefined;
            hover(spot);
            const { offsetX: x, offsetY: y } = event.nativeEvent;
            setTip(spot && (tip?.spot === spot ? tip : { spot, x, y }));
            event.currentTarget.style.cursor = spot ? "pointer" : "grab";
          }}
          onMouseLeave={() => {
            hover(undefined);
            setTip(undefined);
          }}
        />
        {tip ? (
          <div
            className="map-tip"
            ref={(element) => element?.style.setProperty("translate", `${tip.x}px ${tip.y}px`)}
            aria-hidden="true"
          >
            <strong>{name(tip.spot)}</strong>
            {tip.spot.place?.place ? <span>{tip.spot.place.place}</span> : null}
            {tip.spot.place ? (
              <span>
                {t("from")} <Amount units={tip.spot.place.leastPrice} />
              </span>
            ) : null}
          </div>
        ) : null}
        <div className="map-buttons" role="group" aria-label={t("buttons")}>
          <button type="button" className="button" aria-label={t("closer")} onClick={() => zoomBy(1)}>
            +
          </button>
          <button type="button" className="button" aria-label={t("farther")} onClick={() => zoomBy(-1)}>
            −
          </button>
          <button type="button" className="button" aria-label={t("all")} onClick={() => all && goTo(all)}>
            <svg viewBox="0 0 20 20" aria-hidden="true">
              <path d="M3 8V3h5M12 3h5v5M17 12v5h-5M8 17H3v-5" fill="none" stroke="currentColor" strokeWidth="2" />
            </svg>
          </button>
        </div>
        {bar ? (
          <div className="map-scale" aria-hidden="true">
            <span ref={(element) => element?.style.setProperty("width", `${bar.pixels}px`)} />
            {length(bar.metres)}
          </div>
        ) : null}
      </div>
      {found.isError ? <Failure reason={t("away")} retry={() => void found.refetch()} /> : null}
      <div className="row apart">
        <p className="small" role="status" data-testid="map-seen">
          {seen ? t("seen", seen) : ""}
        </p>
        <button type="button" className="button small" onClick={chooseSeen} disabled={!rested}>
          {t("listSeen")}
        </button>
      </div>
      <details className="more small">
        <summary>{t("keys")}</summary>
        <p className="soft" id="map-help">
          {t("help")}
        </p>
      </details>
      <p className="soft small">
        {found.data && found.data.elsewhere > 0 ? `${t("elsewhere", { streams: found.data.elsewhere })} ` : ""}
        {found.data?.more ? `${t("more")} ` : ""}
        {land ? t("credit") : ""}
      </p>
    </div>
  );
}
