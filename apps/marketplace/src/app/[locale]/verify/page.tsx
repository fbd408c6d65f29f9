import { getTranslations, setRequestLocale } from "next-intl/server";
import { Verifier } from "@/features/verify/verifier.tsx";
import { Messages } from "@/i18n/messages.tsx";

type Props = { params: Promise<{ locale: string }> };

export async function generateMetadata({ params }: Props) {
  const t = await getTranslations({ locale: (await params).locale, namespace: "site" });
  return { title: t("place.verify") };
}

export default async function VerifyPage({ params }: Props) {
  setRequestLocale((await params).locale);
  const t = await getTranslations("verify");
  return (
    <Messages of={["verify", "proof", "readings"]}>
      <div className="page">
        <div className="stack tight">
          <h1>{t("title")}</h1>
          <p className="lead">{t("lead")}</p>
        </div>
        <Verifier />
      </div>
    </Messages>
  );
}
