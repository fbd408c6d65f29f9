"use client";
import { type Hex } from "@msec/core";
import { listedFrom, type ListedOrder } from "@msec/trade";
import { useQuery } from "@tanstack/react-query";
import { useCity } from "@/features/city/context.tsx";
import { readJson } from "@/lib/indexer.ts";

/** An order and the market that keeps it. */
export interface AtMarket {
  listed: ListedOrder;
  /** Its place among the city's markets. */
  market: number;
}

const EVERY_MS = 3_000;

/** The orders of all markets, newest first; a market that is away is left out and named. */
export function useOrders(
  query: { kind?: "offer" | "request"; stream?: Hex; maker?: Hex; state?: "open" | "any" },
  enabled = true,
) {
  const { markets } = useCity();
  const asked = new URLSearchParams(query as Record<string, string>).toString();
  return useQuery({
    queryKey: ["orders", asked],
    enabled,
    refetchInterval: EVERY_MS,
    queryFn: async () => {
      const away: string[] = [];
      const found = await Promise.all(
        markets.map(async ({ name }, market): Promise<AtMarket[]> => {
          try {
            const { items } = await readJson<{ items: unknown[] }>(`/api/markets/${market}/orders?${asked}`);
            return items.map((item) => ({ listed: listedFrom(item), market }));
          } catch {
            away.push(name);
            return [];
          }
        }),
      );
      const orders = found.flat().sort((a, b) => b.listed.receivedAtMs - a.listed.receivedAtMs);
      return { orders, away };
    },
  });
}

/** Leaves an order with the market that it names as deliverer. */
export async function leaveOrder(market: number, order: object): Promise<Hex> {
  const { hash } = await readJson<{ hash: Hex }>(`/api/markets/${market}/orders`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(order),
  });
  return hash;
}
