"use client";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { setNonce } from "get-nonce";
import { type ReactNode, useState } from "react";
import { WagmiProvider } from "wagmi";
import { CityProvider } from "@/features/city/context.tsx";
import { walletConfig } from "@/features/wallet/config.ts";
import { type PublicCity } from "@/lib/city.ts";

export function Providers({ city, nonce, children }: { city: PublicCity; nonce: string; children: ReactNode }) {
  // Dialogs add a style of their own while they are open, which the page's policy lets through by this.
  setNonce(nonce);
  const [wallets] = useState(() => walletConfig(city));
  const [queries] = useState(
    () => new QueryClient({ defaultOptions: { queries: { retry: 1, staleTime: 2_000, refetchOnWindowFocus: true } } }),
  );
  return (
    <WagmiProvider config={wallets}>
      <QueryClientProvider client={queries}>
        <CityProvider city={city}>{children}</CityProvider>
      </QueryClientProvider>
    </WagmiProvider>
  );
}
