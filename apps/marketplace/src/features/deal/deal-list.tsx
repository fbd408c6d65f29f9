"use client";
import { useQuery } from "@tanstack/react-query";
import { useTranslations } from "next-intl";
import { useConnection } from "wagmi";
import { Link } from "@/i18n/navigation.ts";
import { askIndexer, type IndexedDeal, type IndexedSubscription, type Page } from "@/lib/indexer.ts";
import { Ago } from "@/ui/ago.tsx";
import { Amount } from "@/ui/amount.tsx";
import { Failure, Waiting } from "@/ui/waiting.tsx";

const TONE: Record<IndexedDeal["state"], string> = {
  funded: "accent",
  delivered: "good",
  released: "good",
  refunded: "warn",
  disputed: "bad",
  resolved: "good",
};

/** What an account bought and sold, newest first. */
export function DealList() {
  const t = useTranslations("deal");
  const { address } = useConnection();
  const account = address?.toLowerCase();
  const deals = useQuery({
    queryKey: ["deals", account],
    enabled: account !== undefined,
    queryFn: async () => {
      const [bought, sold, subscriptions] = await Promise.all([
        askIndexer<Page<IndexedDeal>>(`/deals?buyer=${account}&limit=100`),
        askIndexer<Page<IndexedDeal>>(`/deals?seller=${account}&limit=100`),
        askIndexer<Page<IndexedSubscription>>(`/subscriptions?buyer=${account}&limit=100`),
      ]);
      return { bought: bought.items, sold: sold.items, subscriptions: subscriptions.items };
    },
    refetchInterval: 3_000,
  });
  if (!account) return <p className="note">{t("connectToSee")}</p>;
  if (deals.isPending) return <Waiting>{t("reading")}</Waiting>;
  if (deals.isError) return <Failure reason={deals.error.message} retry={() => void deals.refetch()} />;
  return (
    <>
      <Section title={t("bought")} deals={deals.data.bought} none={t("noneBought")} />
      {deals.data.subscriptions.length > 0 ? (
        <section className="stack tight">
          <h2>{t("subscriptions")}</h2>
          <ul className="plain">
            {deals.data.subscriptions.map(({ subscriptionId, batches, ended, at }) => (
              <li key={subscriptionId}>
                <Link href={`/subscriptions/${subscriptionId}`} prefetch={false}>
                  {t("subscriptionOf", { batches })}
                </Link>{" "}
                <span className={`badge ${ended === null ? "good" : ""}`}>
                  {t(ended === null ? "running" : "ended")}
                </span>{" "}
                <Ago ms={at * 1000} />
              </li>
            ))}
          </ul>
        </section>
      ) : null}
      {deals.data.sold.length > 0 ? <Section title={t("sold")} deals={deals.data.sold} none="" /> : null}
    </>
  );
}

function Section({ title, deals, none }: { title: string; deals: IndexedDeal[]; none: string }) {
  const t = useTranslations("deal");
  return (
    <section className="stack" aria-label={title}>
      <h2>{title}</h2>
      {deals.length === 0 ? <p className="note">{none}</p> : null}
      <ul className="stack list">
        {deals.map((deal) => {
          const terms = deal.deal as Record<string, string>;
          return (
            <li key={deal.dealId} className="card link">
              <p className="row apart">
                <Link href={`/deals/${deal.dealId}`} prefetch={false}>
                  {t("summary", { packs: Number(terms.packs), readings: Number(terms.readings) })}
                </Link>
                <span className={`badge ${TONE[deal.state]}`}>{t(`state.${deal.state}`)}</span>
              </p>
              <p className="row apart soft small">
                <Amount units={terms.price ?? "0"} />
                <Ago ms={deal.at * 1000} />
              </p>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
