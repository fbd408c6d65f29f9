import { getTranslations, setRequestLocale } from "next-intl/server";
import { TracePage } from "@/features/trace/trace.tsx";
import { Messages } from "@/i18n/messages.tsx";

type Props = { params: Promise<{ locale: string }> };

export async function generateMetadata({ params }: Props) {
  const t = await getTranslations({ locale: (await params).locale, namespace: "trace" });
  return { title: t("title") };
}

export default async function Page({ params }: Props) {
  setRequestLocale((await params).locale);
  const t = await getTranslations("trace");
  return (
    <Messages of={["trace", "proof"]}>
      <div className="page">
        <div className="stack tight">
          <h1>{t("title")}</h1>
          <p className="lead">{t("lead")}</p>
        </div>
        <TracePage />
      </div>
    </Messages>
  );
}
