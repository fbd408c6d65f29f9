"use client";
import { type Hex, type SlotRange, type WindowBundle, type WindowReport } from "@msec/core";
import { buyCall, type Offer, permitData, permitOf, planPurchase, priceOf, type TypedData } from "@msec/trade";
import { useState } from "react";
import { useConfig, useConnection } from "wagmi";
import { getBlock, readContract, signTypedData } from "wagmi/actions";
import { useCity } from "@/features/city/context.tsx";
import { isRejection, useTx } from "@/features/tx/use-tx.ts";
import { deployedOf, operatorUrls } from "./deployed.ts";
import { keepPurchase } from "./purchases.ts";
import { inWorker } from "./work.ts";

export interface Checked {
  bundle: WindowBundle;
  before: WindowReport;
  price: bigint;
  fee: bigint;
  erasures: SlotRange[];
}

export type BuyStep =
  | { step: "idle" }
  | { step: "checking"; done: number; of: number }
  | { step: "checked"; checked: Checked }
  | { step: "keys" | "permit" | "paying"; checked: Checked }
  | { step: "bought"; dealId: Hex }
  | { step: "failed"; reason: string; checked?: Checked };

const DAY_SECONDS = 86_400n;

/** From a period to a paid deal: everything but the keys is downloaded and checked first, then one transaction pays. */
export function useBuy(offer: Offer) {
  const city = useCity();
  const config = useConfig();
  const { address } = useConnection();
  const tx = useTx();
  const [state, setState] = useState<BuyStep>({ step: "idle" });
  const deployed = deployedOf(city);

  const check = async (fromSlot: number, toSlot: number) => {
    setState({ step: "checking", done: 0, of: 0 });
    try {
      const { abis } = await import("@/lib/contracts.ts");
      const consent = { address: city.addresses.ConsentRegistry, abi: abis.ConsentRegistry } as const;
      const count = await readContract(config, { ...consent, functionName: "erasures", args: [offer.streamId] });
      const erasures = await Promise.all(
        Array.from({ length: Number(count) }, async (_, i): Promise<SlotRange> => {
          const erased = await readContract(config, {
            ...consent,
            functionName: "erasureAt",
            args: [offer.streamId, i + 1] as never,
          });
          return [Number(erased.fromSlot), Number(erased.toSlot)];
        }),
      );
      const { bundle, before } = await inWorker(
        "download",
        { operators: operatorUrls(city), deployed, streamId: offer.streamId, fromSlot, toSlot, erasures },
        (done, of) => setState({ step: "checking", done, of }),
      );
      setState({ step: "checked", checked: { bundle, before, erasures, ...priceOf(offer, bundle.stream, before) } });
    } catch (error) {
      setState({ step: "failed", reason: (error as Error).message });
    }
  };

  const pay = async (checked: Checked, purpose: Hex) => {
    if (!address) return;
    const buyer = address.toLowerCase() as Hex;
    const sign = (data: TypedData) => signTypedData(config, data as never) as Promise<Hex>;
    try {
      setState({ step: "keys", checked });
      const kept = await planPurchase(deployed, offer, { ...checked, buyer, purpose, sign });
      await keepPurchase({
        ...kept,
        chainId: city.chainId,
        buyer,
        bundle: checked.bundle,
        opened: false,
        keptAt: Date.now(),
      });
      setState({ step: "permit", checked });
      const { abis } = await import("@/lib/contracts.ts");
      const [nonce, { timestamp }] = await Promise.all([
        readContract(config, {
          address: city.addresses.MSecToken,
          abi: abis.MSecToken,
          functionName: "nonces",
          args: [address],
        }),
        getBlock(config),
      ]);
      const deadline = timestamp + DAY_SECONDS;
      const spender = city.addresses.Marketplace;
      const signature = await sign(
        permitData(deployed, { owner: buyer, spender, value: checked.price, nonce, deadline }),
      );
      setState({ step: "paying", checked });
      const call = buyCall(offer, checked.bundle.stream, kept, permitOf(checked.price, deadline, signature));
      const hash = await tx.send({ contract: "Marketplace", ...call, what: "buy" });
      if (hash) setState({ step: "bought", dealId: kept.dealId });
      else setState({ step: "checked", checked });
    } catch (error) {
      if (isRejection(error)) setState({ step: "checked", checked });
      else setState({ step: "failed", reason: (error as Error).message, checked });
    }
  };
  return { state, tx: tx.state, check, pay, reset: () => setState({ step: "idle" }) };
}
