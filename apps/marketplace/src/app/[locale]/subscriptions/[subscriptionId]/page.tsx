import { getTranslations, setRequestLocale } from "next-intl/server";
import { SubscriptionView } from "@/features/subscriptions/subscription-view.tsx";
import { Messages } from "@/i18n/messages.tsx";
import { Link } from "@/i18n/navigation.ts";

type Props = { params: Promise<{ locale: string; subscriptionId: string }> };

export async function generateMetadata({ params }: Props) {
  const t = await getTranslations({ locale: (await params).locale, namespace: "subscriptions" });
  return { title: t("title") };
}

export default async function SubscriptionPage({ params }: Props) {
  const { locale, subscriptionId } = await params;
  setRequestLocale(locale);
  const t = await getTranslations("subscriptions");
  return (
    <Messages of={["subscriptions", "deal", "proof", "readings", "errors"]}>
      <div className="page">
        <div className="stack tight">
          <p>
            <Link href="/deals" prefetch={false}>
              {t("all")}
            </Link>
          </p>
          <h1>{t("title")}</h1>
        </div>
        <SubscriptionView id={subscriptionId} />
      </div>
    </Messages>
  );
}
