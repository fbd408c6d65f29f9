import { useTranslations } from "next-intl";
import { Link } from "@/i18n/navigation.ts";

export default function NotFound() {
  const t = useTranslations("site");
  return (
    <div className="page">
      <h1>{t("notFound")}</h1>
      <p className="lead">{t("notFoundHint")}</p>
      <p>
        <Link className="button" href="/">
          {t("home")}
        </Link>
      </p>
    </div>
  );
}
