"use client";
import { type Hex, purposeHash, slotTimes } from "@msec/core";
import {
  type BookOrder,
  freshNonce,
  type ListedOrder,
  type OfferOrder,
  offerData,
  settleCall,
  unitsOf,
} from "@msec/trade";
import { useQuery } from "@tanstack/react-query";
import { useFormatter, useTranslations } from "next-intl";
import { useState } from "react";
import { useConnection } from "wagmi";
import { useCity } from "@/features/city/context.tsx";
import { FEE_PER_MILLE } from "@/features/trade/defaults.ts";
import { deployedOf } from "@/features/trade/deployed.ts";
import { useSigning } from "@/features/trade/use-signing.ts";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { isRejection, useTx } from "@/features/tx/use-tx.ts";
import { Link } from "@/i18n/navigation.ts";
import { askIndexer, type IndexedDevice, type Page } from "@/lib/indexer.ts";
import { Ago } from "@/ui/ago.tsx";
import { Amount } from "@/ui/amount.tsx";
import { Hash } from "@/ui/hex.tsx";
import { Failure, Waiting } from "@/ui/waiting.tsx";
import { useOrders } from "./use-orders.ts";

type ListedRequest = ListedOrder & { order: BookOrder & { kind: "request" } };
const isRequest = (listed: ListedOrder): listed is ListedRequest => listed.order.kind === "request";

/** What people would pay for: the account's own requests first, those it can fill next, then all others. */
export function OrderBook() {
  const t = useTranslations("requests");
  const { address } = useConnection();
  const account = address?.toLowerCase() as Hex | undefined;
  const open = useOrders({ kind: "request" });
  const own = useOrders(
    { kind: "request", state: "any", ...(account ? { maker: account } : {}) },
    account !== undefined,
  );
  const devices = useQuery({
    queryKey: ["devices", account],
    enabled: account !== undefined,
    queryFn: () => askIndexer<Page<IndexedDevice>>(`/devices?owner=${account}&limit=500`),
  });
  if (open.isPending) return <Waiting>{t("reading")}</Waiting>;
  if (open.isError) return <Failure reason={open.error.message} retry={() => void open.refetch()} />;
  const owned = new Set(devices.data?.items.map(({ deviceId }) => deviceId as string));
  const mine = account ? (own.data?.orders ?? []).map(({ listed }) => listed).filter(isRequest) : [];
  const others = open.data.orders
    .map(({ listed }) => listed)
    .filter(isRequest)
    .filter(({ order }) => order.signed.request.buyer !== account);
  const fillable = others.filter(({ order }) => owned.has(order.stream.deviceId));
  return (
    <>
      {open.data.away.length > 0 ? (
        <p className="note warn">{t("away", { markets: open.data.away.join(", ") })}</p>
      ) : null}
      {account ? <Section title={t("yours")} none={t("noneYours")} requests={mine} doing="cancel" /> : null}
      {fillable.length > 0 ? <Section title={t("fillable")} none="" requests={fillable} doing="fill" /> : null}
      <Section title={t("all")} none={t("none")} requests={others.filter((one) => !fillable.includes(one))} />
    </>
  );
}

function Section({
  title,
  none,
  requests,
  doing,
}: {
  title: string;
  none: string;
  requests: ListedRequest[];
  doing?: "cancel" | "fill";
}) {
  return (
    <section className="stack tight" aria-label={title}>
      <h2>{title}</h2>
      {requests.length === 0 ? <p className="note">{none}</p> : null}
      <ul className="tiles list">
        {requests.map((listed) => (
          <RequestCard key={listed.hash} listed={listed} doing={doing} />
        ))}
      </ul>
    </section>
  );
}

const TONE = { open: "accent", filled: "good", cancelled: "", expired: "warn" } as const;

function RequestCard({ listed, doing }: { listed: ListedRequest; doing: "cancel" | "fill" | undefined }) {
  const t = useTranslations("requests");
  const format = useFormatter();
  const city = useCity();
  const { order, state, dealId, receivedAtMs } = listed;
  const { request } = order.signed;
  const purpose = city.purposes.find((known) => purposeHash(known) === request.purpose);
  const { slotSeconds } = order.stream;
  const date = (ms: number) => format.dateTime(ms, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
  return (
    <li className="card" data-request={state}>
      <h3>
        <Link href={`/streams/${request.streamId}`} prefetch={false}>
          {order.stream.name}
        </Link>
      </h3>
      <p className="row apart">
        <span className="strong">
          {t("upTo")} <Amount units={request.maxPrice} />
        </span>
        <span className={`badge ${TONE[state]}`}>{t(`state.${state}`)}</span>
      </p>
      <p className="soft small">
        {slotSeconds > 0
          ? `${date(slotTimes(request.fromSlot, slotSeconds).fromMs)} – ${date(slotTimes(request.toSlot, slotSeconds).toMs + 1)} UTC`
          : t("whole")}
        {" · "}
        {t("holds", { packs: request.packs, readings: request.readings })}
      </p>
      <p className="soft small">{purpose?.text ?? <Hash value={request.purpose} label={t("purpose")} />}</p>
      <p className="soft small">
        <Hash value={request.buyer} label={t("buyer")} /> · <Ago ms={receivedAtMs} />
        {state === "open" ? <> · {t("until", { date: date(request.deadline) })}</> : null}
      </p>
      {state === "open" && doing === "cancel" ? <Cancel listed={listed} /> : null}
      {state === "open" && doing === "fill" ? <Fill listed={listed} /> : null}
      {dealId ? (
        <p>
          <Link className="button small" href={`/deals/${dealId}`} prefetch={false}>
            {t("toDeal")}
          </Link>
        </p>
      ) : null}
    </li>
  );
}

const busyIn = (step: string) => ["simulating", "signing", "submitted"].includes(step);

function Cancel({ listed }: { listed: ListedRequest }) {
  const t = useTranslations("requests");
  const tx = useTx();
  const { nonce } = listed.order.signed.request;
  return (
    <>
      <button
        type="button"
        className="button small"
        disabled={busyIn(tx.state.step)}
        onClick={() =>
          void tx.send({ contract: "Marketplace", functionName: "cancelRequest", args: [nonce], what: "cancel" })
        }
      >
        {t("cancel")}
      </button>
      <TxStatus state={tx.state} />
    </>
  );
}

const HOUR_MS = 3_600_000;

/** The seller signs an offer that fits the request exactly, and settles both in one transaction. */
function Fill({ listed: { order } }: { listed: ListedRequest }) {
  const t = useTranslations("requests");
  const city = useCity();
  const { account, sign, counter } = useSigning();
  const tx = useTx();
  const [problem, setProblem] = useState("");
  const { stream, signed, permit } = order;
  const { request } = signed;
  const units = unitsOf(stream, { packs: request.packs, records: request.readings });
  const unitPrice = units > 0 ? request.maxPrice / BigInt(units) : 0n;
  const fill = async () => {
    if (!account) return;
    setProblem("");
    try {
      const salt = freshNonce();
      const offer: OfferOrder = {
        seller: account,
        streamId: request.streamId,
        fromSlot: request.fromSlot,
        toSlot: request.toSlot,
        deliverer: request.deliverer,
        fallbackDeliverer: request.fallbackDeliverer,
        token: request.token,
        unitPrice,
        feePerMille: FEE_PER_MILLE,
        bond: request.minBond,
        deliverSeconds: request.maxDeliverSeconds,
        complainSeconds: request.minComplainSeconds,
        terms: request.terms,
        amount: units,
        salt,
        counter: await counter(),
        deadline: Date.now() + HOUR_MS,
      };
      const signature = await sign(offerData(deployedOf(city), offer));
      const call = settleCall({ offer, signature }, signed, stream, permit);
      await tx.send({ contract: "Marketplace", ...call, what: "settle" });
    } catch (error) {
      if (!isRejection(error)) setProblem((error as Error).message);
    }
  };
  return (
    <>
      <p className="small">
        {t("youGet")} <Amount units={(unitPrice * BigInt(units) * BigInt(1000 - FEE_PER_MILLE)) / 1000n} />
      </p>
      <button
        type="button"
        className="button small primary"
        disabled={busyIn(tx.state.step) || unitPrice === 0n}
        onClick={() => void fill()}
      >
        {t("fill")}
      </button>
      <TxStatus state={tx.state} />
      {problem ? <Failure reason={problem} /> : null}
    </>
  );
}
