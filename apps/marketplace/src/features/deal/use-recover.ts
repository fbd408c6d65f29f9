"use client";
import { type Hex } from "@msec/core";
import { dealOf, nodesOf, recoverSecret } from "@msec/trade";
import { useState } from "react";
import { useConfig } from "wagmi";
import { useCity } from "@/features/city/context.tsx";
import { deployedOf, operatorUrls } from "@/features/trade/deployed.ts";
import { erasuresOf } from "@/features/trade/erasures.ts";
import { keepPurchase } from "@/features/trade/purchases.ts";
import { useSigning } from "@/features/trade/use-signing.ts";
import { inWorker } from "@/features/trade/work.ts";
import { isRejection } from "@/features/tx/use-tx.ts";
import { type DealStory } from "./types.ts";

/** Makes what opens a deal again, in a browser that did not buy it: the secret by the wallet, the packs from the operators. */
export function useRecover(story: DealStory, done: () => void) {
  const city = useCity();
  const config = useConfig();
  const { account, sign } = useSigning();
  const [state, setState] = useState<{ busy: boolean; reason?: string }>({ busy: false });
  const recover = async () => {
    if (!account) return;
    setState({ busy: true });
    try {
      const deployed = deployedOf(city);
      const deal = dealOf(story.deal);
      const nodes = nodesOf(story.nodes);
      const secret = await recoverSecret(deployed, deal, nodes, sign);
      const { streamId, fromSlot, toSlot, asOfEpoch } = deal;
      const erasures = await erasuresOf(config, city, streamId, deal.erasures);
      const asked = { operators: operatorUrls(city), deployed, streamId, fromSlot, toSlot, erasures, asOfEpoch };
      const { bundle } = await inWorker("download", asked);
      const place = { chainId: city.chainId, buyer: account, keptAt: Date.now() };
      await keepPurchase({ ...place, dealId: story.dealId as Hex, deal, nodes, secret, bundle, opened: false });
      setState({ busy: false });
      done();
    } catch (error) {
      setState(isRejection(error) ? { busy: false } : { busy: false, reason: (error as Error).message });
    }
  };
  return { ...state, recover };
}
