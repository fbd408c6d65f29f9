import { getTranslations, setRequestLocale } from "next-intl/server";
import { OrderBook } from "@/features/requests/order-book.tsx";
import { Messages } from "@/i18n/messages.tsx";

type Props = { params: Promise<{ locale: string }> };

export async function generateMetadata({ params }: Props) {
  const t = await getTranslations({ locale: (await params).locale, namespace: "site" });
  return { title: t("place.requests") };
}

export default async function RequestsPage({ params }: Props) {
  setRequestLocale((await params).locale);
  const t = await getTranslations("requests");
  return (
    <Messages of={["requests", "errors"]}>
      <div className="page">
        <div className="stack tight">
          <h1>{t("title")}</h1>
          <p className="lead">{t("lead")}</p>
        </div>
        <OrderBook />
      </div>
    </Messages>
  );
}
