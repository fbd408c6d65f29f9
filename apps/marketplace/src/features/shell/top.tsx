"use client";
import { useTranslations } from "next-intl";
import { Link, usePathname } from "@/i18n/navigation.ts";
import { LanguagePicker } from "./language-picker.tsx";
import { ThemePicker, type Theme } from "./theme-picker.tsx";
import { ConnectButton } from "@/features/wallet/connect-button.tsx";

export const PLACES = [
  { href: "/", name: "explore" },
  { href: "/requests", name: "requests" },
  { href: "/deals", name: "deals" },
  { href: "/my-data", name: "myData" },
  { href: "/operators", name: "operators" },
  { href: "/auditors", name: "audit" },
  { href: "/verify", name: "verify" },
] as const;

export function Top({ theme }: { theme: Theme }) {
  const t = useTranslations("site");
  const path = usePathname();
  return (
    <header className="top">
      <div>
        <Link href="/" className="brand">
          <svg viewBox="0 0 32 32" fill="none" stroke="currentColor" strokeWidth="2.6" aria-hidden="true">
            <path
              d="M16 3 5 7.5v8.2c0 6.6 4.600 11.300 11 13.300 6.400-2 11-6.700 11-13.300V7.500z"
              strokeLinejoin="round"
            />
            <path d="M9.500 17.500h3l2-5.500 3 8.500 2-3h3" strokeLinecap="round" strokeLinejoin="round" />
          </svg>
          {t("name")}
        </Link>
        <nav aria-label={t("places")}>
          <ul>
            {PLACES.map(({ href, name }) => (
              <li key={href}>
                <Link
                  href={href}
                  prefetch={false}
                  aria-current={(href === "/" ? path === "/" : path.startsWith(href)) ? "page" : undefined}
                >
                  {t(`place.${name}`)}
                </Link>
              </li>
            ))}
          </ul>
        </nav>
        <div className="row push">
          <LanguagePicker />
          <ThemePicker initial={theme} />
          <ConnectButton />
        </div>
      </div>
    </header>
  );
}
