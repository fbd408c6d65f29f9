"use client";
import {
  batchSlots,
  type Hex,
  purposeHash,
  SUBSCRIPTION_OFFER,
  type SubscriptionOffer,
  subscriptionOfferId,
} from "@msec/core";
import { Operators, planSubscription, structFrom, subscribeCall } from "@msec/trade";
import { useQuery } from "@tanstack/react-query";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { useConfig, useConnection } from "wagmi";
import { getBlock, readContract } from "wagmi/actions";
import { useCity } from "@/features/city/context.tsx";
import { deployedOf, operatorUrls } from "@/features/trade/deployed.ts";
import { keepSubscription } from "@/features/trade/purchases.ts";
import { useSigning } from "@/features/trade/use-signing.ts";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { isRejection, useTx } from "@/features/tx/use-tx.ts";
import { useRouter } from "@/i18n/navigation.ts";
import { askIndexer, type IndexedEvent, type Page } from "@/lib/indexer.ts";
import { Amount, unitsFrom } from "@/ui/amount.tsx";
import { Choice } from "@/ui/choice.tsx";
import { Field } from "@/ui/field.tsx";
import { Failure } from "@/ui/waiting.tsx";

/** Offers of subscriptions to a stream that can be taken now. */
function useSubscriptionOffers(streamId: Hex) {
  const city = useCity();
  const config = useConfig();
  return useQuery({
    queryKey: ["subscription-offers", streamId],
    queryFn: async () => {
      const { items } = await askIndexer<Page<IndexedEvent>>(
        "/events?contract=Subscription&name=OfferPublished&limit=500",
      );
      const offers = new Map<Hex, SubscriptionOffer>();
      for (const { args } of items) {
        if (args.streamId !== streamId) continue;
        const offer = structFrom(SUBSCRIPTION_OFFER, args.offer as object);
        offers.set(subscriptionOfferId(offer), offer);
      }
      const { abis } = await import("@/lib/contracts.ts");
      const open = await Promise.all(
        [...offers.keys()].map((id) =>
          readContract(config, {
            address: city.addresses.Subscription,
            abi: abis.Subscription,
            functionName: "isOpen",
            args: [id],
          }),
        ),
      );
      return [...offers.values()].filter((_, i) => open[i]);
    },
  });
}

/** What a stream measures from now on, batch by batch out of a deposit. */
export function Subscribe({ streamId }: { streamId: Hex }) {
  const t = useTranslations("subscriptions");
  const offers = useSubscriptionOffers(streamId);
  if (!offers.data?.length) return null;
  return (
    <section className="card" aria-labelledby="subscribe">
      <h2 id="subscribe">{t("subscribe")}</h2>
      <p className="soft">{t("subscribeLead")}</p>
      {offers.data.map((offer) => (
        <Terms key={subscriptionOfferId(offer)} offer={offer} />
      ))}
    </section>
  );
}

function Terms({ offer }: { offer: SubscriptionOffer }) {
  const t = useTranslations("subscriptions");
  const city = useCity();
  const config = useConfig();
  const router = useRouter();
  const { isConnected } = useConnection();
  const { account, sign, permit } = useSigning();
  const tx = useTx();
  const [amount, setAmount] = useState("1");
  const [purpose, setPurpose] = useState(0);
  const [problem, setProblem] = useState("");
  const [working, setWorking] = useState(false);
  const deposit = unitsFrom(amount);
  const slots = batchSlots(offer, 0)[1] + 1;
  const subscribe = async () => {
    if (!account || !deposit) return;
    setProblem("");
    setWorking(true);
    try {
      const { abis } = await import("@/lib/contracts.ts");
      const streamId = offer.streamId;
      const [info, erasures, block] = await Promise.all([
        new Operators(operatorUrls(city)).stream(streamId),
        readContract(config, {
          address: city.addresses.ConsentRegistry,
          abi: abis.ConsentRegistry,
          functionName: "erasures",
          args: [streamId],
        }),
        getBlock(config),
      ]);
      const kept = await planSubscription(deployedOf(city), offer, info, {
        buyer: account,
        purpose: purposeHash(city.purposes[purpose] as never),
        erasures: Number(erasures),
        nowMs: Number(block.timestamp) * 1000,
        sign,
      });
      await keepSubscription({ ...kept, chainId: city.chainId, keptAt: Date.now() });
      const call = subscribeCall(kept.terms, deposit, await permit("Subscription", deposit));
      const hash = await tx.send({ contract: "Subscription", ...call, what: "subscribe" });
      if (hash) router.push(`/subscriptions/${kept.id}`);
    } catch (error) {
      if (!isRejection(error)) setProblem((error as Error).message);
    } finally {
      setWorking(false);
    }
  };
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        void subscribe();
      }}
    >
      <p>
        <Amount units={offer.slotPrice} /> {t("aSlot")} · {t("batch", { slots })}
      </p>
      <Field
        label={t("deposit")}
        hint={t("depositHint")}
        inputMode="decimal"
        value={amount}
        disabled={working}
        onChange={(event) => setAmount(event.target.value)}
        wrong={deposit === undefined ? t("wrongAmount") : undefined}
      />
      {deposit !== undefined && offer.slotPrice > 0n ? (
        <p className="soft small">{t("lasts", { slots: Number(deposit / offer.slotPrice) })}</p>
      ) : null}
      <Choice
        label={t("purpose")}
        options={city.purposes.map(({ text }) => text)}
        chosen={purpose}
        disabled={working}
        onChoose={setPurpose}
      />
      {isConnected ? null : <p className="note">{t("connect")}</p>}
      <button type="submit" className="button primary" disabled={working || !isConnected || deposit === undefined}>
        {t("subscribeNow")}
      </button>
      <TxStatus state={tx.state} />
      {problem ? <Failure reason={problem} /> : null}
    </form>
  );
}
