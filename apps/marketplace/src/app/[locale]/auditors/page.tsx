import { getTranslations, setRequestLocale } from "next-intl/server";
import { AuditBoard } from "@/features/audit/board.tsx";
import { Messages } from "@/i18n/messages.tsx";
import { Link } from "@/i18n/navigation.ts";

type Props = { params: Promise<{ locale: string }> };

export async function generateMetadata({ params }: Props) {
  const t = await getTranslations({ locale: (await params).locale, namespace: "site" });
  return { title: t("place.audit") };
}

export default async function AuditorsPage({ params }: Props) {
  setRequestLocale((await params).locale);
  const t = await getTranslations("audit");
  return (
    <Messages of={["audit"]}>
      <div className="page wide">
        <div className="stack tight">
          <h1>{t("title")}</h1>
          <p className="lead">{t("lead")}</p>
          <nav aria-label={t("alone")} className="row">
            <Link href="/trace" prefetch={false} className="button small">
              {t("toTrace")}
            </Link>
            <Link href="/verify" prefetch={false} className="button small">
              {t("toVerify")}
            </Link>
            <a href="/api/index/audit" className="button small">
              {t("toJson")}
            </a>
          </nav>
        </div>
        <AuditBoard />
      </div>
    </Messages>
  );
}
