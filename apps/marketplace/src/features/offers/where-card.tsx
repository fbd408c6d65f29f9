import { useFormatter, useTranslations } from "next-intl";
import { type IndexedOffer } from "@/lib/indexer.ts";

/** Where and with what a stream is measured, as its owner signed it. */
export function WhereCard({ thing }: { thing: NonNullable<IndexedOffer["thing"]> }) {
  const t = useTranslations("offer");
  const format = useFormatter();
  const { place, model, calibration } = thing;
  const degrees = (value: number) => format.number(value, { maximumFractionDigits: 5 });
  const metres = (value: number) => format.number(value, { style: "unit", unit: "meter", maximumFractionDigits: 0 });
  return (
    <section className="card" aria-labelledby="where">
      <h2 id="where">{t("where")}</h2>
      <dl className="facts">
        {place ? (
          <>
            <dt>{t("place")}</dt>
            <dd>
              {place.name ? <>{place.name}, </> : null}
              {degrees(place.latitude)}°, {degrees(place.longitude)}°
              {place.accuracy === undefined ? null : <> ± {metres(place.accuracy)}</>}
            </dd>
          </>
        ) : null}
        {place?.altitude === undefined ? null : (
          <>
            <dt>{t("altitude")}</dt>
            <dd>{metres(place.altitude)}</dd>
          </>
        )}
        {model ? (
          <>
            <dt>{t("model")}</dt>
            <dd>{model}</dd>
          </>
        ) : null}
        {calibration ? (
          <>
            <dt>{t("calibration")}</dt>
            <dd>
              {calibration.date}
              {calibration.note ? <> ({calibration.note})</> : null}
            </dd>
          </>
        ) : null}
      </dl>
      <p className="soft small">{t("whereHint")}</p>
    </section>
  );
}
