"use client";
import { type Hex } from "@msec/core";
import { buyCall, type Offer, planPurchase, priceOf } from "@msec/trade";
import { useState } from "react";
import { useCity } from "@/features/city/context.tsx";
import { isRejection, useTx } from "@/features/tx/use-tx.ts";
import { deployedOf } from "./deployed.ts";
import { keepPurchase } from "./purchases.ts";
import { type Checked } from "./use-check.ts";
import { useSigning } from "./use-signing.ts";

export type BuyStep =
  | { step: "idle" | "keys" | "permit" | "paying" }
  | { step: "bought"; dealId: Hex }
  | { step: "failed"; reason: string };

/** From a checked window to a paid deal, by one transaction. */
export function useBuy(offer: Offer) {
  const city = useCity();
  const { account, sign, permit } = useSigning();
  const tx = useTx();
  const [state, setState] = useState<BuyStep>({ step: "idle" });

  const pay = async ({ bundle, before, erasures }: Checked, purpose: Hex) => {
    if (!account) return;
    const wanted = { bundle, before, erasures, buyer: account, purpose, sign };
    try {
      setState({ step: "keys" });
      const kept = await planPurchase(deployedOf(city), offer, wanted);
      const place = { chainId: city.chainId, buyer: account, keptAt: Date.now() };
      await keepPurchase({ ...kept, ...place, bundle, opened: false });
      setState({ step: "permit" });
      const allowed = await permit("Marketplace", priceOf(offer, bundle.stream, before).price);
      setState({ step: "paying" });
      const call = buyCall(offer, bundle.stream, kept, allowed);
      const hash = await tx.send({ contract: "Marketplace", ...call, what: "buy" });
      setState(hash ? { step: "bought", dealId: kept.dealId } : { step: "idle" });
    } catch (error) {
      setState(isRejection(error) ? { step: "idle" } : { step: "failed", reason: (error as Error).message });
    }
  };
  return { state, tx: tx.state, pay, reset: () => setState({ step: "idle" }) };
}
