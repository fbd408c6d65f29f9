import { type Chain, defineChain } from "viem";
import { type PublicCity } from "./city.ts";

/** The city's chain, asked through this site. Gas has no price there. */
export const chainOf = ({ chainId, name }: PublicCity): Chain =>
  defineChain({
    id: chainId,
    name: `${name} (M-Sec)`,
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: ["/api/rpc"] } },
    fees: {
      async estimateFeesPerGas() {
        return { gasPrice: 0n };
      },
    },
  });
