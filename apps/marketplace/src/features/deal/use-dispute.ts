"use client";
import { useQuery } from "@tanstack/react-query";
import { type Deal } from "@msec/core";
import { casePhase, type CasePhase, type CaseWindows, panelTime, partiesOf } from "@msec/trade";
import { useBlock, useConfig } from "wagmi";
import { readContract } from "wagmi/actions";
import { useCity } from "@/features/city/context.tsx";
import { askIndexer, type IndexedCase } from "@/lib/indexer.ts";
import { statusOf } from "./status.ts";
import { type DealStory, isOver } from "./types.ts";

/** How long the panel of this city has. */
export function useWindows(enabled: boolean) {
  const { addresses } = useCity();
  const config = useConfig();
  return useQuery({
    queryKey: ["case-windows", addresses.Arbitration],
    enabled,
    staleTime: Infinity,
    queryFn: async (): Promise<CaseWindows> => {
      const { abis } = await import("@/lib/contracts.ts");
      const panel = { address: addresses.Arbitration, abi: abis.Arbitration } as const;
      const escrow = { address: addresses.Escrow, abi: abis.Escrow } as const;
      const [commitSeconds, caseSeconds, rulingSeconds] = await Promise.all([
        readContract(config, { ...panel, functionName: "commitSeconds" }),
        readContract(config, { ...panel, functionName: "caseSeconds" }),
        readContract(config, { ...escrow, functionName: "rulingSeconds" }),
      ]);
      return { commitSeconds, caseSeconds, rulingSeconds: Number(rulingSeconds) };
    },
  });
}

/** How many organisations outside a delivered deal would judge it. */
export function useJudges(story: DealStory, deal: Deal) {
  const { addresses } = useCity();
  const config = useConfig();
  return useQuery({
    queryKey: ["judges", story.dealId],
    queryFn: async () => {
      const { abis } = await import("@/lib/contracts.ts");
      const asOf = BigInt(panelTime(deal, statusOf(story)));
      const judges = await readContract(config, {
        address: addresses.Arbitration,
        abi: abis.Arbitration,
        functionName: "judgesFor",
        args: [partiesOf(deal), asOf],
      });
      return Number(judges);
    },
  });
}

/** A complaint about the quality of a deal, and where it is. */
export interface Dispute {
  found: IndexedCase;
  phase: CasePhase;
  /** Unix milliseconds; later where the chain stands still. */
  until: Record<"commit" | "reveal" | "ruling", number>;
}

/** Undefined where nobody complained, or what became of it is not known yet. */
export function useDispute(story: DealStory): Dispute | undefined {
  const { blockSeconds } = useCity();
  const { data: block } = useBlock({ watch: true });
  const disputed = story.events.find(({ contract, name }) => contract === "Escrow" && name === "Disputed");
  const windows = useWindows(disputed !== undefined);
  const over = isOver(story);
  const found = useQuery({
    queryKey: ["case", story.dealId, over],
    enabled: disputed !== undefined,
    queryFn: () => askIndexer<IndexedCase>(`/cases/${story.dealId}`),
    refetchInterval: over ? false : blockSeconds * 1000,
  });
  if (!disputed || !block || !windows.data || !found.data) return undefined;
  const at = disputed.at * 1000;
  const shown = found.data.seats.filter(({ perMille }) => perMille !== null).length;
  const newest = { number: Number(block.number), timestamp: Number(block.timestamp) };
  const { commitSeconds, caseSeconds, rulingSeconds } = windows.data;
  return {
    found: found.data,
    phase: casePhase({ at, atBlock: disputed.block }, shown, windows.data, newest),
    until: { commit: at + commitSeconds * 1000, reveal: at + caseSeconds * 1000, ruling: at + rulingSeconds * 1000 },
  };
}
