"use client";
import { batchStartMs, type Hex } from "@msec/core";
import {
  type Batch,
  batchFrom,
  changeCall,
  type KeptSubscription,
  PHASE,
  subscriptionStateFrom,
  termsFrom,
  topUpCall,
} from "@msec/trade";
import { useQuery } from "@tanstack/react-query";
import { useFormatter, useTranslations } from "next-intl";
import { useState } from "react";
import { useConfig, useConnection } from "wagmi";
import { readContract } from "wagmi/actions";
import { useCity } from "@/features/city/context.tsx";
import { keptSubscription } from "@/features/trade/purchases.ts";
import { useSigning } from "@/features/trade/use-signing.ts";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { isRejection, useTx } from "@/features/tx/use-tx.ts";
import { askIndexer, type IndexedEvent, type IndexedSubscription } from "@/lib/indexer.ts";
import { Amount, unitsFrom } from "@/ui/amount.tsx";
import { Field } from "@/ui/field.tsx";
import { Hash } from "@/ui/hex.tsx";
import { Failure, Waiting } from "@/ui/waiting.tsx";
import { BatchCard } from "./batch-card.tsx";

const PHASES = ["none", "active", "held", "ending", "ended"] as const;
const EVERY_MS = 3_000;

type Story = IndexedSubscription & { events: IndexedEvent[] };

/** A subscription: what it still has, what came, and what its buyer can do with it. */
export function SubscriptionView({ id }: { id: string }) {
  const t = useTranslations("subscriptions");
  const format = useFormatter();
  const city = useCity();
  const config = useConfig();
  const { address } = useConnection();
  const account = address?.toLowerCase();
  const story = useQuery({
    queryKey: ["subscription", id],
    queryFn: () => askIndexer<Story>(`/subscriptions/${encodeURIComponent(id)}`),
    refetchInterval: EVERY_MS,
  });
  const now = useQuery({
    queryKey: ["subscription-state", id],
    refetchInterval: EVERY_MS,
    enabled: story.data !== undefined,
    queryFn: async () => {
      const { abis } = await import("@/lib/contracts.ts");
      const contract = { address: city.addresses.Subscription, abi: abis.Subscription } as const;
      const state = subscriptionStateFrom(
        (await readContract(config, { ...contract, functionName: "stateOf", args: [id as Hex] })) as object,
      );
      const credit = await readContract(config, {
        ...contract,
        functionName: "creditOf",
        args: [story.data?.buyer as Hex, city.addresses.MSecToken],
      });
      return { state, credit };
    },
  });
  const kept = useQuery({
    queryKey: ["subscription-kept", id],
    queryFn: async () => (await keptSubscription(id as Hex)) ?? null,
  });
  // The indexer may be a block behind the transaction that brought somebody here.
  if (story.isPending) return <Waiting>{t("reading")}</Waiting>;
  if (story.isError) return <Failure reason={story.error.message} retry={() => void story.refetch()} />;
  const terms = termsFrom(story.data.terms);
  const mine = account === story.data.buyer;
  const batches = newest(story.data.events);
  const state = now.data?.state;
  return (
    <div className="columns">
      <div className="stack">
        {batches.length === 0 ? <p className="note">{t("noBatches")}</p> : null}
        {batches.map((batch) => (
          <BatchCard
            key={`${batch.number}${batch.masked}`}
            terms={terms}
            batch={batch}
            kept={mine ? (kept.data as KeptSubscription | null | undefined) : null}
          />
        ))}
      </div>
      <div className="stack">
        <section className="card" aria-labelledby="state">
          <h2 id="state">{t("state")}</h2>
          {state ? (
            <dl className="facts" data-phase={PHASES[state.phase]}>
              <dt>{t("phase")}</dt>
              <dd>
                <span className={`badge ${state.phase === PHASE.active ? "good" : "warn"}`}>
                  {t(`phases.${PHASES[state.phase] ?? "none"}`)}
                </span>
              </dd>
              <dt>{t("left")}</dt>
              <dd>
                <Amount units={state.balance} />
              </dd>
              <dt>{t("next")}</dt>
              <dd>
                {format.dateTime(batchStartMs(terms, state.next), {
                  dateStyle: "medium",
                  timeStyle: "short",
                  timeZone: "UTC",
                })}{" "}
                UTC
              </dd>
              <dt>{t("costs")}</dt>
              <dd>
                <Amount units={terms.slotPrice} /> {t("aSlot")}
              </dd>
              <dt>{t("delivered")}</dt>
              <dd>{batches.length}</dd>
              <dt>{t("seller")}</dt>
              <dd>
                <Hash value={terms.seller} label={t("seller")} />
              </dd>
            </dl>
          ) : (
            <Waiting>{t("reading")}</Waiting>
          )}
        </section>
        {mine && state ? <Actions terms={terms} phase={state.phase} credit={now.data?.credit ?? 0n} /> : null}
      </div>
    </div>
  );
}

/** The batches that were delivered, newest first. */
function newest(events: IndexedEvent[]): Batch[] {
  return events
    .filter(({ contract, name }) => contract === "Subscription" && name === "BatchDelivered")
    .map(({ args }) => batchFrom(args.batch as object))
    .reverse();
}

function Actions({ terms, phase, credit }: { terms: ReturnType<typeof termsFrom>; phase: number; credit: bigint }) {
  const t = useTranslations("subscriptions");
  const { permit } = useSigning();
  const { addresses } = useCity();
  const tx = useTx();
  const [amount, setAmount] = useState("");
  const [problem, setProblem] = useState("");
  const more = unitsFrom(amount);
  const busy = ["simulating", "signing", "submitted"].includes(tx.state.step);
  const runs = phase === PHASE.active || phase === PHASE.held;
  const change = (how: "hold" | "resume" | "end", what: string) =>
    void tx.send({ contract: "Subscription", ...changeCall(how, terms), what });
  const topUp = async () => {
    if (!more) return;
    setProblem("");
    try {
      const call = topUpCall(terms, more, await permit("Subscription", more));
      if (await tx.send({ contract: "Subscription", ...call, what: "topUp" })) setAmount("");
    } catch (error) {
      if (!isRejection(error)) setProblem((error as Error).message);
    }
  };
  return (
    <section className="card" aria-labelledby="actions">
      <h2 id="actions">{t("actions")}</h2>
      {runs ? (
        <form
          className="stack"
          onSubmit={(event) => {
            event.preventDefault();
            void topUp();
          }}
        >
          <Field
            label={t("more")}
            inputMode="decimal"
            value={amount}
            disabled={busy}
            onChange={(event) => setAmount(event.target.value)}
            wrong={amount !== "" && more === undefined ? t("wrongAmount") : undefined}
          />
          <p className="row">
            <button type="submit" className="button" disabled={busy || more === undefined}>
              {t("topUp")}
            </button>
          </p>
        </form>
      ) : null}
      <p className="row">
        {phase === PHASE.active ? (
          <button type="button" className="button" disabled={busy} onClick={() => change("hold", "pause")}>
            {t("hold")}
          </button>
        ) : null}
        {phase === PHASE.held ? (
          <button type="button" className="button" disabled={busy} onClick={() => change("resume", "resume")}>
            {t("resume")}
          </button>
        ) : null}
        {runs || phase === PHASE.ending ? (
          <button type="button" className="button danger" disabled={busy} onClick={() => change("end", "end")}>
            {t("end")}
          </button>
        ) : null}
        {credit > 0n ? (
          <button
            type="button"
            className="button"
            disabled={busy}
            onClick={() =>
              void tx.send({
                contract: "Subscription",
                functionName: "withdraw",
                args: [addresses.MSecToken],
                what: "withdraw",
              })
            }
          >
            {t("withdraw")} <Amount units={credit} />
          </button>
        ) : null}
      </p>
      {phase === PHASE.held ? <p className="soft small">{t("resumeHint")}</p> : null}
      {phase === PHASE.ending ? <p className="soft small">{t("endingHint")}</p> : null}
      <TxStatus state={tx.state} />
      {problem ? <Failure reason={problem} /> : null}
    </section>
  );
}
