"use client";
import { type Hex } from "@msec/core";
import { type DayCount, Operators } from "@msec/trade";
import { useQuery } from "@tanstack/react-query";
import { useFormatter, useTranslations } from "next-intl";
import { useState } from "react";
import { useCity } from "@/features/city/context.tsx";
import { operatorUrls } from "./deployed.ts";

const DAY_MS = 86_400_000;
const dayOf = (ms: number) => Math.floor(ms / DAY_MS);
/** Monday first. */
const weekdayOf = (day: number) => (day + 3) % 7;

/** The month that a day is in: its first and last day. */
function monthOf(day: number): { first: number; last: number } {
  const date = new Date(day * DAY_MS);
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
  return { first: dayOf(Date.UTC(year, month, 1)), last: dayOf(Date.UTC(year, month + 1, 0)) };
}

/** What of each day is anchored; a day that is chosen, or two, make a period. */
export function Calendar({
  streamId,
  fromMs,
  toMs,
  leastMs,
  mostMs,
  disabled,
  onChoose,
}: {
  streamId: Hex;
  fromMs: number;
  toMs: number;
  /** What can be had. */
  leastMs: number;
  mostMs: number;
  disabled: boolean;
  onChoose: (fromMs: number, toMs: number) => void;
}) {
  const t = useTranslations("offer");
  const format = useFormatter();
  const city = useCity();
  const [shown, setShown] = useState(dayOf(mostMs - 1));
  const [anchor, setAnchor] = useState<number>();
  const { first, last } = monthOf(shown);
  const counts = useQuery({
    queryKey: ["days", streamId, first],
    queryFn: () => new Operators(operatorUrls(city)).days(streamId, first, last),
    refetchInterval: 10_000,
  });
  const held = new Map(counts.data?.map((count): [number, DayCount] => [count.day, count]));
  const fullest = Math.max(1, ...(counts.data ?? []).map(({ packs }) => packs));
  const within = (day: number) => day >= dayOf(leastMs) && day <= dayOf(mostMs - 1);
  const chosen = (day: number) => day >= dayOf(fromMs) && day <= dayOf(Math.max(fromMs, toMs - 1));
  const name = (day: number, style: "full" | "medium") =>
    format.dateTime(day * DAY_MS, { dateStyle: style, timeZone: "UTC" });
  const choose = (day: number) => {
    const other = anchor ?? day;
    onChoose(Math.min(day, other) * DAY_MS, (Math.max(day, other) + 1) * DAY_MS);
    setAnchor(anchor === undefined ? day : undefined);
  };
  const days = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  return (
    <div className="calendar" role="group" aria-label={t("calendar")}>
      <div className="row apart">
        <button
          type="button"
          className="button small"
          aria-label={t("monthBefore")}
          disabled={first <= dayOf(leastMs)}
          onClick={() => setShown(first - 1)}
        >
          ‹
        </button>
        <span className="strong" aria-live="polite">
          {format.dateTime(first * DAY_MS, { month: "long", year: "numeric", timeZone: "UTC" })}
        </span>
        <button
          type="button"
          className="button small"
          aria-label={t("monthAfter")}
          disabled={last >= dayOf(mostMs - 1)}
          onClick={() => setShown(last + 1)}
        >
          ›
        </button>
      </div>
      <ol className="days">
        {days.map((day) => {
          const count = held.get(day);
          const fill = count ? Math.ceil((4 * count.packs) / fullest) : 0;
          return (
            <li key={day} data-weekday={weekdayOf(day)}>
              <button
                type="button"
                data-fill={fill}
                aria-pressed={chosen(day)}
                disabled={disabled || !within(day)}
                aria-label={t("dayHolds", {
                  day: name(day, "full"),
                  packs: count?.packs ?? 0,
                  readings: count?.readings ?? 0,
                })}
                onClick={() => choose(day)}
              >
                {new Date(day * DAY_MS).getUTCDate()}
              </button>
            </li>
          );
        })}
      </ol>
      <p className="soft small">{t(anchor === undefined ? "calendarHint" : "calendarSecond")}</p>
    </div>
  );
}
