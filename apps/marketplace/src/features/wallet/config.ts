import { createConfig, createStorage, http } from "wagmi";
import { type PublicCity } from "@/lib/city.ts";
import { chainOf } from "@/lib/chain.ts";
import { browserKey } from "./browser-key.ts";

/** Wallets that announce themselves (EIP-6963), and a key kept in this browser; the chain by way of this site. */
export function walletConfig(city: PublicCity) {
  const chain = chainOf(city);
  return createConfig({
    chains: [chain],
    connectors: [browserKey(chain)],
    transports: { [chain.id]: http("/api/rpc", { batch: { batchSize: 20, wait: 10 } }) },
    multiInjectedProviderDiscovery: true,
    pollingInterval: city.blockSeconds * 1000,
    storage: createStorage({ storage: typeof window === "undefined" ? noStorage : window.localStorage, key: "msec" }),
    ssr: true,
  });
}

const noStorage = { getItem: () => null, setItem: () => undefined, removeItem: () => undefined };
