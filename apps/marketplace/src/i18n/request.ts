import { hasLocale } from "next-intl";
import { getRequestConfig } from "next-intl/server";
import { NAMESPACES } from "./namespaces.ts";
import { routing } from "./routing.ts";

export default getRequestConfig(async ({ requestLocale }) => {
  const requested = await requestLocale;
  const locale = hasLocale(routing.locales, requested) ? requested : routing.defaultLocale;
  const parts = await Promise.all(
    NAMESPACES.map(async (name) => {
      const file = (await import(`../../messages/${locale}/${name}.json`)) as { default: Record<string, never> };
      return [name, file.default] as const;
    }),
  );
  return { locale, messages: Object.fromEntries(parts), timeZone: "UTC" };
});
