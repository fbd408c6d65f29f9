import { getTranslations, setRequestLocale } from "next-intl/server";
import { MyData } from "@/features/my-data/my-data.tsx";
import { Messages } from "@/i18n/messages.tsx";

type Props = { params: Promise<{ locale: string }> };

export async function generateMetadata({ params }: Props) {
  const t = await getTranslations({ locale: (await params).locale, namespace: "site" });
  return { title: t("place.myData") };
}

export default async function MyDataPage({ params }: Props) {
  setRequestLocale((await params).locale);
  const t = await getTranslations("mydata");
  return (
    <Messages of={["mydata", "errors"]}>
      <div className="page">
        <div className="stack tight">
          <h1>{t("title")}</h1>
          <p className="lead">{t("lead")}</p>
        </div>
        <MyData />
      </div>
    </Messages>
  );
}
