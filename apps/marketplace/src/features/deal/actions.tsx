"use client";
import { type Deal } from "@msec/core";
import { complaintCall, dealOf, isClosed, Operators, packOfFault, refundCall, releaseCall } from "@msec/trade";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { useBlock, useConnection } from "wagmi";
import { useCity } from "@/features/city/context.tsx";
import { operatorUrls } from "@/features/trade/deployed.ts";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { type TxCall, useTx } from "@/features/tx/use-tx.ts";
import { Failure } from "@/ui/waiting.tsx";
import { Rating } from "./rating.tsx";
import { deliveryOf, statusOf } from "./status.ts";
import { TakeOut } from "./take-out.tsx";
import { type DealStory, isOver } from "./types.ts";
import { type OpenedState } from "./use-opened.ts";

/** What can be done about a deal now, by whom. */
export function Actions({ story, opened, mine }: { story: DealStory; opened: OpenedState; mine: boolean }) {
  const t = useTranslations("deal");
  const city = useCity();
  const { isConnected } = useConnection();
  const { data: block } = useBlock({ watch: true });
  const tx = useTx();
  const [problem, setProblem] = useState("");
  const deal: Deal = dealOf(story.deal);
  const status = statusOf(story);
  const newest = block && { number: Number(block.number), timestamp: Number(block.timestamp) };
  const late = newest && story.state === "funded" && isClosed(status, deal.deliverSeconds, newest);
  const settled = newest && story.state === "delivered" && isClosed(status, deal.complainSeconds, newest);
  const busy = ["simulating", "signing", "submitted"].includes(tx.state.step);
  const send = (call: Omit<TxCall, "contract">) => tx.send({ contract: "Escrow", ...call });
  const complain = async () => {
    setProblem("");
    const delivery = deliveryOf(story);
    if (opened.step !== "fault" || !delivery) return;
    try {
      const pack = await packOfFault(new Operators(operatorUrls(city)), opened.kept.bundle.stream, opened.fault);
      const call = complaintCall(opened.kept, status, delivery, opened.fault, pack);
      await send({ ...call, what: "complain" });
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  const left =
    newest && story.state === "delivered"
      ? Math.max(0, Math.ceil((status.at + deal.complainSeconds * 1000 - newest.timestamp * 1000) / 1000))
      : 0;
  return (
    <section className="card" aria-labelledby="actions">
      <h2 id="actions">{t("actions")}</h2>
      {story.state === "funded" && !late ? <p>{t("deliverTime", { seconds: deal.deliverSeconds })}</p> : null}
      {story.state === "delivered" && !settled ? <p>{t("complainTime", { seconds: left })}</p> : null}
      {late ? (
        <button
          type="button"
          className="button"
          disabled={busy || !isConnected}
          onClick={() => void send({ ...refundCall(deal, status), what: "refund" })}
        >
          {t("refundNow")}
        </button>
      ) : null}
      {settled ? (
        <button
          type="button"
          className="button"
          disabled={busy || !isConnected}
          onClick={() => void send({ ...releaseCall(deal, status), what: "release" })}
        >
          {t("releaseNow")}
        </button>
      ) : null}
      {opened.step === "fault" && story.state === "delivered" ? (
        <button type="button" className="button danger" disabled={busy || !isConnected} onClick={() => void complain()}>
          {t("prove")}
        </button>
      ) : null}
      <TxStatus state={tx.state} />
      {isOver(story) ? <TakeOut /> : null}
      {problem ? <Failure reason={problem} /> : null}
      {mine && isOver(story) ? <Rating story={story} /> : null}
      {!mine && isOver(story) ? <p className="soft">{t("over")}</p> : null}
    </section>
  );
}
