import { useTranslations } from "next-intl";
import { Link } from "@/i18n/navigation.ts";
import { ChainPulse } from "./chain-pulse.tsx";

export function Bottom() {
  const t = useTranslations("site");
  return (
    <footer className="bottom">
      <div>
        <ChainPulse />
        <span>{t("licence")}</span>
        <nav aria-label={t("more")} className="row">
          <Link href="/verify" prefetch={false}>
            {t("place.verify")}
          </Link>
          <a href="/api/index/openapi.json">{t("api")}</a>
        </nav>
      </div>
    </footer>
  );
}
