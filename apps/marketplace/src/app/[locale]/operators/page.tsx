import { getTranslations, setRequestLocale } from "next-intl/server";
import { Board } from "@/features/operators/board.tsx";
import { Messages } from "@/i18n/messages.tsx";

type Props = { params: Promise<{ locale: string }> };

export async function generateMetadata({ params }: Props) {
  const t = await getTranslations({ locale: (await params).locale, namespace: "site" });
  return { title: t("place.operators") };
}

export default async function OperatorsPage({ params }: Props) {
  setRequestLocale((await params).locale);
  const t = await getTranslations("operators");
  return (
    <Messages of={["operators", "incidents"]}>
      <div className="page wide">
        <div className="stack tight">
          <h1>{t("title")}</h1>
          <p className="lead">{t("lead")}</p>
        </div>
        <Board />
      </div>
    </Messages>
  );
}
