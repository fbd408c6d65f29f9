"use client";
import { useQuery } from "@tanstack/react-query";
import { type Hex } from "@msec/core";
import { abiDeal, abiStatus, dealOf } from "@msec/trade";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { useConfig, useConnection } from "wagmi";
import { readContract } from "wagmi/actions";
import { useCity } from "@/features/city/context.tsx";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { useTx } from "@/features/tx/use-tx.ts";
import { Field } from "@/ui/field.tsx";
import { DECIMALS } from "@/ui/amount.tsx";
import { finalStatusOf } from "./status.ts";
import { type DealStory } from "./types.ts";

/** IReputation.Facet, in its order. */
const FACETS = ["delivery", "quality", "conduct"] as const;
const NO_OPINION = 255;
const TOKEN = 10 ** DECIMALS;

/** The largest fee that still counts, in base units: the rest of what this account may say of this seller. */
function useRoom(seller: string) {
  const city = useCity();
  const config = useConfig();
  const { address } = useConnection();
  return useQuery({
    queryKey: ["rating-room", address, seller],
    enabled: address !== undefined,
    queryFn: async () => {
      const { abis } = await import("@/lib/contracts.ts");
      const reputation = { address: city.addresses.Reputation, abi: abis.Reputation } as const;
      const rater = address as Hex;
      const [provider] = await readContract(config, {
        ...reputation,
        functionName: "providerOf",
        args: [seller as Hex],
      });
      const [room, weight] = await Promise.all([
        readContract(config, { ...reputation, functionName: "roomOf", args: [rater, provider] }),
        readContract(config, { ...reputation, functionName: "weightOf", args: [rater, BigInt(TOKEN)] }),
      ]);
      return weight === 0n ? 0n : (room * BigInt(TOKEN)) / weight;
    },
  });
}

/** One rating a deal, by its buyer, in three facets; a burned fee gives it weight. */
export function Rating({ story }: { story: DealStory }) {
  const t = useTranslations("deal");
  const city = useCity();
  const allow = useTx();
  const rate = useTx();
  const [values, setValues] = useState<number[]>([NO_OPINION, NO_OPINION, NO_OPINION]);
  const { data: room } = useRoom(story.seller);
  const [given, setFee] = useState<string>();
  const fee = given ?? (room === undefined ? "" : String(Number(room) / TOKEN));
  const delivered = story.events.some(({ name }) => name === "Delivered");
  const opinions = values.some((value) => value !== NO_OPINION);
  const units = BigInt(Math.round(Number(fee || "0") * TOKEN));
  const tooMuch = room !== undefined && units > room;
  const busy = [allow, rate].some(({ state }) => ["simulating", "signing", "submitted"].includes(state.step));
  if (!delivered) return <p className="soft">{t("notRated")}</p>;
  if (rate.state.step === "mined") return <p className="note good">{t("rated")}</p>;
  if (room === 0n) return <p className="soft">{t("noRoom")}</p>;
  const status = finalStatusOf(story);
  const send = async () => {
    if (!status) return;
    const allowed = await allow.send({
      contract: "MSecToken",
      functionName: "approve",
      args: [city.addresses.Reputation, units],
      what: "rate",
    });
    if (!allowed) return;
    const bytes3 = `0x${values.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
    await rate.send({
      contract: "Reputation",
      functionName: "rate",
      args: [abiDeal(dealOf(story.deal)), abiStatus(status), bytes3, units],
      what: "rate",
    });
  };
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <h3>{t("rate")}</h3>
      <p className="soft small">{t("rateHint")}</p>
      {FACETS.map((facet, i) => (
        <div className="field" key={facet}>
          <label htmlFor={`rate-${facet}`}>{t(`facet.${facet}`)}</label>
          <select
            id={`rate-${facet}`}
            className="input"
            value={values[i]}
            disabled={busy}
            onChange={(event) => setValues(values.map((value, k) => (k === i ? Number(event.target.value) : value)))}
          >
            <option value={NO_OPINION}>{t("noOpinion")}</option>
            {[100, 75, 50, 25, 0].map((value) => (
              <option key={value} value={value}>
                {t(`value.v${value}`)}
              </option>
            ))}
          </select>
        </div>
      ))}
      <Field
        label={t("ratingFee")}
        hint={t("ratingFeeHint")}
        wrong={tooMuch ? t("ratingFeeTooMuch", { most: Number(room) / TOKEN }) : undefined}
        type="number"
        min="0"
        step="any"
        value={fee}
        disabled={busy}
        onChange={(event) => setFee(event.target.value)}
      />
      <button type="submit" className="button" disabled={busy || !opinions || units === 0n || tooMuch}>
        {t("sendRating")}
      </button>
      <TxStatus state={rate.state.step === "idle" ? allow.state : rate.state} />
    </form>
  );
}
