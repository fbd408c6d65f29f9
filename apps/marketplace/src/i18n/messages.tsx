import { NextIntlClientProvider } from "next-intl";
import { getMessages } from "next-intl/server";
import { type ReactNode } from "react";
import { COMMON, type Namespace } from "./namespaces.ts";

/** Gives scripts the sentences of a part of the site, beside those that every page has. */
export async function Messages({ of = [], children }: { of?: readonly Namespace[]; children: ReactNode }) {
  const all = await getMessages();
  return (
    <NextIntlClientProvider messages={Object.fromEntries([...COMMON, ...of].map((name) => [name, all[name]]))}>
      {children}
    </NextIntlClientProvider>
  );
}
