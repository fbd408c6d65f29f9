"use client";
import { useLocale, useTranslations } from "next-intl";
import { usePathname, useRouter } from "@/i18n/navigation.ts";
import { type Locale, routing } from "@/i18n/routing.ts";

const NAMES: Record<Locale, string> = { en: "English", es: "Español", ja: "日本語" };

export function LanguagePicker() {
  const t = useTranslations("site");
  const locale = useLocale();
  const path = usePathname();
  const router = useRouter();
  return (
    <select
      className="picker"
      aria-label={t("language")}
      value={locale}
      onChange={(event) => router.replace(path + window.location.search, { locale: event.target.value as Locale })}
    >
      {routing.locales.map((name) => (
        <option key={name} value={name} lang={name}>
          {NAMES[name]}
        </option>
      ))}
    </select>
  );
}
