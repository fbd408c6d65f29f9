"use client";
import { useSearchParams } from "next/navigation";
import { useTranslations } from "next-intl";
import { Failure, Waiting } from "@/ui/waiting.tsx";
import { NothingFound, type Start } from "./find.ts";
import { TraceForm } from "./trace-form.tsx";
import { TraceView } from "./trace-view.tsx";
import { useTrace } from "./use-trace.ts";

/** One reading's way from its device to the deals that cover it; where from is in the page's address. */
export function TracePage() {
  const t = useTranslations("trace");
  const search = useSearchParams();
  const given = (name: string) => search.get(name) ?? undefined;
  const start: Start = { stream: given("stream"), slot: given("slot"), pack: given("pack"), deal: given("deal") };
  const trace = useTrace(start);
  return (
    <>
      <TraceForm key={search.toString()} start={start} />
      {trace.isLoading ? <Waiting>{t("following")}</Waiting> : null}
      {trace.isError ? (
        <Failure
          reason={trace.error instanceof NothingFound ? t(`nothing.${trace.error.what}`) : trace.error.message}
          retry={() => void trace.refetch()}
        />
      ) : null}
      {trace.data ? <TraceView trace={trace.data} /> : null}
    </>
  );
}
