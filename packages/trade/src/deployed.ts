import { type Hex } from "@msec/core";

/** The contracts that a trade is bound to, and the chain that they are on. */
export interface Deployed {
  chainId: number;
  addresses: Readonly<
    Record<"DataAnchor" | "DeviceRegistry" | "Escrow" | "Marketplace" | "MSecToken" | "Subscription", Hex>
  >;
}
