import { getTranslations, setRequestLocale } from "next-intl/server";
import { DealList } from "@/features/deal/deal-list.tsx";
import { Messages } from "@/i18n/messages.tsx";

type Props = { params: Promise<{ locale: string }> };

export async function generateMetadata({ params }: Props) {
  const t = await getTranslations({ locale: (await params).locale, namespace: "site" });
  return { title: t("place.deals") };
}

export default async function DealsPage({ params }: Props) {
  setRequestLocale((await params).locale);
  const t = await getTranslations("deal");
  return (
    <Messages of={["deal"]}>
      <div className="page">
        <h1>{t("yours")}</h1>
        <DealList />
      </div>
    </Messages>
  );
}
