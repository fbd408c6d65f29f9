"use client";
import { useQuery } from "@tanstack/react-query";
import { useTick } from "@/features/operators/use-tick.ts";
import { askIndexer, type IndexedAudit } from "@/lib/indexer.ts";

const ASK_MS = 5_000;
/** An answer that is older was not renewed in time. */
const STALE_MS = 20_000;
/** A block that is older: the chain stands still, or the indexer does not follow it. */
const STALE_BLOCK_MS = 120_000;

export type Audit = IndexedAudit;
export type AuditedInvariant = Audit["invariants"][number];
export type AuditedContract = Audit["contracts"][number];
export type Verdict = AuditedInvariant["verdict"];

/** The audit as it is now, kept current, with its age. */
export function useAudit() {
  const query = useQuery({
    queryKey: ["audit"],
    queryFn: () => askIndexer<Audit>("/audit"),
    refetchInterval: ASK_MS,
    retry: false,
  });
  const now = useTick();
  const age = now && query.dataUpdatedAt ? Math.max(0, now - query.dataUpdatedAt) : 0;
  const blockAge = now && query.data ? Math.max(0, now - query.data.at * 1000) : 0;
  const stale = query.isError || age > STALE_MS || blockAge > STALE_BLOCK_MS;
  return { query, age, blockAge, stale };
}
