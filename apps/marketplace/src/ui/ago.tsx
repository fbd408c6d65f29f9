"use client";
import { useNow, useFormatter } from "next-intl";

/** How long ago something was, kept current; the exact time on asking. */
export function Ago({ ms }: { ms: number }) {
  const now = useNow({ updateInterval: 10_000 });
  const format = useFormatter();
  // A block's clock may be ahead of this one.
  const date = new Date(Math.min(ms, now.getTime()));
  return (
    <time
      dateTime={date.toISOString()}
      title={format.dateTime(date, { dateStyle: "medium", timeStyle: "medium" })}
      suppressHydrationWarning
    >
      {format.relativeTime(date, now)}
    </time>
  );
}
