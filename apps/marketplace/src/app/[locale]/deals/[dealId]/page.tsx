import { notFound } from "next/navigation";
import { getTranslations, setRequestLocale } from "next-intl/server";
import { DealView } from "@/features/deal/deal-view.tsx";
import { type DealStory } from "@/features/deal/types.ts";
import { Messages } from "@/i18n/messages.tsx";
import { Link } from "@/i18n/navigation.ts";
import { type IndexedOffer, type Page } from "@/lib/indexer.ts";
import { findInIndexer } from "@/server/indexer.ts";
import { Amount } from "@/ui/amount.tsx";

type Props = { params: Promise<{ locale: string; dealId: string }> };

export async function generateMetadata({ params }: Props) {
  const t = await getTranslations({ locale: (await params).locale, namespace: "deal" });
  return { title: t("purchase") };
}

/** The indexer may be a block behind the transaction that brought somebody here. */
async function findDeal(dealId: string): Promise<DealStory | undefined> {
  for (let i = 0; i < 10; i++) {
    const story = await findInIndexer<DealStory>(`/deals/${encodeURIComponent(dealId)}`);
    if (story || !/^0x[0-9a-f]{64}$/.test(dealId)) return story;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  return undefined;
}

export default async function DealPage({ params }: Props) {
  const { locale, dealId } = await params;
  setRequestLocale(locale);
  const story = await findDeal(dealId);
  if (!story) notFound();
  const t = await getTranslations("deal");
  const offers = await findInIndexer<Page<IndexedOffer>>(`/offers?stream=${story.streamId}&limit=1`);
  const name = offers?.items[0]?.description?.name;
  const deal = story.deal as Record<string, string>;
  return (
    <Messages of={["deal", "proof", "readings", "errors"]}>
      <div className="page">
        <div className="stack tight">
          <p>
            <Link href="/deals" prefetch={false}>
              {t("all")}
            </Link>
          </p>
          <h1>{name ?? t("purchase")}</h1>
          <p className="lead">
            {t("summary", { packs: Number(deal.packs), readings: Number(deal.readings) })}{" "}
            <Amount units={deal.price ?? "0"} />
          </p>
        </div>
        <DealView initial={story} />
      </div>
    </Messages>
  );
}
