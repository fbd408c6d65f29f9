"use client";
import { type Hex, slotTimes, type StreamPreimage } from "@msec/core";
import { Operators } from "@msec/trade";
import { useQuery } from "@tanstack/react-query";
import { useTranslations } from "next-intl";
import { useCity } from "@/features/city/context.tsx";
import { operatorUrls } from "@/features/trade/deployed.ts";
import { Ago } from "@/ui/ago.tsx";
import { Failure } from "@/ui/waiting.tsx";

const SLOTS = 60;
const EVERY_MS = 3_000;

/** The newest packs as they come, by how many readings each holds; what they hold stays with who pays. */
export function Live({ streamId, stream: { slotSeconds } }: { streamId: Hex; stream: StreamPreimage }) {
  const t = useTranslations("stream");
  const city = useCity();
  const newest = useQuery({
    queryKey: ["live", streamId],
    refetchInterval: EVERY_MS,
    queryFn: async () => {
      const operators = new Operators(operatorUrls(city));
      const { lastSlot, pending } = await operators.stream(streamId);
      if (lastSlot === null) return { slots: [], pending, lastSlot: 0 };
      const from = Math.max(0, lastSlot - SLOTS + 1);
      const { packs } = await operators.window(streamId, from, lastSlot);
      const held = new Map<number, number>();
      for (const { slot, readings } of packs) held.set(slot, (held.get(slot) ?? 0) + readings);
      const slots = Array.from({ length: lastSlot - from + 1 }, (_, i) => held.get(from + i) ?? 0);
      return { slots, pending, lastSlot };
    },
  });
  if (newest.isError) return <Failure reason={newest.error.message} retry={() => void newest.refetch()} />;
  const { slots = [], pending = 0, lastSlot = 0 } = newest.data ?? {};
  const most = Math.max(1, ...slots);
  const total = slots.reduce((sum, readings) => sum + readings, 0);
  return (
    <section className="card" aria-labelledby="live">
      <h2 id="live">{t("live")}</h2>
      <div className="bars" role="img" aria-label={t("liveLabel", { slots: slots.length, readings: total })}>
        {slots.map((readings, i) => (
          <span key={lastSlot - slots.length + i} style={{ height: `${(100 * readings) / most}%` }} />
        ))}
      </div>
      <p className="soft small">
        {slots.length > 0 ? (
          <>
            {t("liveLabel", { slots: slots.length, readings: total })} · {t("newest")}{" "}
            <Ago ms={slotTimes(lastSlot, slotSeconds).toMs} /> · {t("pending", { packs: pending })}
          </>
        ) : (
          t("nothing")
        )}
      </p>
    </section>
  );
}
