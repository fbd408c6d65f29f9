import type { Metadata, Viewport } from "next";
import { cookies, headers } from "next/headers";
import { notFound } from "next/navigation";
import { hasLocale } from "next-intl";
import { getTranslations } from "next-intl/server";
import { type ReactNode } from "react";
import { Bottom } from "@/features/shell/bottom.tsx";
import { Top } from "@/features/shell/top.tsx";
import { SignatureDialog } from "@/features/wallet/signature-dialog.tsx";
import { TxToasts } from "@/features/tx/toasts.tsx";
import { Messages } from "@/i18n/messages.tsx";
import { routing } from "@/i18n/routing.ts";
import { publicCity } from "@/server/city.ts";
import { Providers } from "../providers.tsx";
import "../styles/tokens.css";
import "../styles/base.css";
import "../styles/ui.css";
import "../styles/audit.css";
import "../styles/map.css";

type Params = { params: Promise<{ locale: string }> };

export async function generateMetadata({ params }: Params): Promise<Metadata> {
  const { locale } = await params;
  const t = await getTranslations({ locale, namespace: "site" });
  return {
    title: { default: t("title"), template: `%s · ${t("name")}` },
    description: t("description"),
    icons: { icon: "/icon.svg" },
  };
}

export const viewport: Viewport = {
  themeColor: [
    { media: "(prefers-color-scheme: light)", color: "#ffffff" },
    { media: "(prefers-color-scheme: dark)", color: "#18201d" },
  ],
};

export default async function Layout({ children, params }: Params & { children: ReactNode }) {
  const { locale } = await params;
  if (!hasLocale(routing.locales, locale)) notFound();
  const theme = (await cookies()).get("theme")?.value;
  const t = await getTranslations("site");
  return (
    <html lang={locale} data-theme={theme === "light" || theme === "dark" ? theme : undefined}>
      <body>
        <Messages>
          <Providers city={publicCity()} nonce={(await headers()).get("x-nonce") ?? ""}>
            <a className="skip" href="#content">
              {t("skip")}
            </a>
            <Top theme={theme === "light" || theme === "dark" ? theme : "system"} />
            <main id="content" className="contents">
              {children}
            </main>
            <Bottom />
            <TxToasts />
            <SignatureDialog />
          </Providers>
        </Messages>
      </body>
    </html>
  );
}
