"use client";
import { type Hex } from "@msec/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useState } from "react";
import { useConfig, useConnection } from "wagmi";
import { useCity } from "@/features/city/context.tsx";
import { isRejection } from "@/features/tx/use-tx.ts";
import { readJson } from "@/lib/indexer.ts";

export interface SignedIn {
  address: Hex;
  /** As the Directory knows it; null where it knows none. */
  organisation: Hex | null;
  expiresAtMs: number;
}

/** Good for one sign-in only. */
const VALID_MS = 4 * 60_000;
const KEY = ["session"];

/** Who is signed in to this site, for what is not on chain. */
export function useSession() {
  const city = useCity();
  const config = useConfig();
  const { address } = useConnection();
  const queries = useQueryClient();
  const [failed, setFailed] = useState<"rejected" | { reason: string }>();
  const [busy, setBusy] = useState(false);
  const session = useQuery({
    queryKey: KEY,
    queryFn: async () => {
      const told = await readJson<SignedIn | { address: null }>("/api/session");
      return told.address === null ? null : told;
    },
    refetchInterval: 60_000,
  });

  const signIn = useCallback(
    async (statement: string) => {
      if (!address) return;
      setBusy(true);
      setFailed(undefined);
      try {
        const [{ createSiweMessage }, { signMessage }, { nonce }] = await Promise.all([
          import("viem/siwe"),
          import("wagmi/actions"),
          readJson<{ nonce: string }>("/api/session/nonce", { method: "POST" }),
        ]);
        const message = createSiweMessage({
          ...{ address, chainId: city.chainId, version: "1", nonce, statement },
          ...{ domain: window.location.host, uri: window.location.origin },
          ...{ issuedAt: new Date(), expirationTime: new Date(Date.now() + VALID_MS) },
        });
        const signature = await signMessage(config, { message });
        const told = await readJson<SignedIn>("/api/session", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ message, signature }),
        });
        queries.setQueryData(KEY, told);
      } catch (error) {
        setFailed(isRejection(error) ? "rejected" : { reason: (error as Error).message });
      }
      setBusy(false);
    },
    [address, city, config, queries],
  );
  const signOut = useCallback(async () => {
    await readJson("/api/session", { method: "DELETE" });
    queries.setQueryData(KEY, null);
  }, [queries]);
  return { session: session.data ?? null, connected: address, signIn, signOut, busy, failed };
}
