"use client";
import { type Hex } from "@msec/core";
import { type OfferOrder, orderToJson, planRequest, requestData } from "@msec/trade";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useCity } from "@/features/city/context.tsx";
import { deployedOf } from "@/features/trade/deployed.ts";
import { keepRequest } from "@/features/trade/purchases.ts";
import { type Checked } from "@/features/trade/use-check.ts";
import { useSigning } from "@/features/trade/use-signing.ts";
import { isRejection } from "@/features/tx/use-tx.ts";
import { leaveOrder } from "./use-orders.ts";

/** Who delivers, under which licence and within which times: of an offer, or the city's own. */
export type Terms = Pick<
  OfferOrder,
  "deliverer" | "fallbackDeliverer" | "token" | "terms" | "bond" | "deliverSeconds" | "complainSeconds"
>;

export type AskStep =
  | { step: "idle" | "keys" | "order" | "permit" | "leaving" }
  | { step: "asked"; hash: Hex }
  | { step: "failed"; reason: string };

const DAY_MS = 86_400_000;

/** Says what somebody would pay for a checked window, and leaves it with a market. Nothing is sent to the chain. */
export function useAsk(terms: Terms) {
  const city = useCity();
  const queries = useQueryClient();
  const { account, sign, permit, counter } = useSigning();
  const [state, setState] = useState<AskStep>({ step: "idle" });

  const ask = async ({ bundle, before, erasures }: Checked, purpose: Hex, maxPrice: bigint, days: number) => {
    if (!account) return;
    const deployed = deployedOf(city);
    const market = city.markets.findIndex(({ address }) => address === terms.deliverer);
    try {
      setState({ step: "keys" });
      const wish = {
        deliverer: terms.deliverer,
        fallbackDeliverer: terms.fallbackDeliverer,
        token: terms.token,
        terms: terms.terms,
        maxPrice,
        minBond: terms.bond,
        maxDeliverSeconds: terms.deliverSeconds,
        minComplainSeconds: terms.complainSeconds,
        counter: await counter(),
        deadline: Date.now() + days * DAY_MS,
      };
      const wanted = { bundle, before, erasures, buyer: account, purpose, sign };
      const { request, nodes, secret } = await planRequest(deployed, wish, wanted);
      await keepRequest({
        nonce: request.nonce,
        chainId: city.chainId,
        buyer: account,
        nodes,
        secret,
        bundle,
        keptAt: Date.now(),
      });
      setState({ step: "order" });
      const signature = await sign(requestData(deployed, request));
      setState({ step: "permit" });
      const allowed = await permit("Marketplace", maxPrice, BigInt(days));
      setState({ step: "leaving" });
      const order = orderToJson({
        kind: "request",
        stream: bundle.stream,
        signed: { request, nodes, signature },
        permit: allowed,
      });
      const hash = await leaveOrder(market, order);
      setState({ step: "asked", hash });
      await queries.invalidateQueries({ queryKey: ["orders"] });
    } catch (error) {
      setState(isRejection(error) ? { step: "idle" } : { step: "failed", reason: (error as Error).message });
    }
  };
  return { state, ask, possible: city.markets.some(({ address }) => address === terms.deliverer) };
}
