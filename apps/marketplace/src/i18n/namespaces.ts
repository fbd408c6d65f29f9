/** The files of `messages/<locale>/`, one for each part of the site. */
export const NAMESPACES = [
  "site",
  "wallet",
  "tx",
  "errors",
  "units",
  "home",
  "offer",
  "deal",
  "proof",
  "readings",
  "verify",
  "operators",
  "mydata",
  "audit",
  "trace",
  "incidents",
  "stream",
  "requests",
  "publish",
  "description",
  "sample",
  "subscriptions",
] as const;
export type Namespace = (typeof NAMESPACES)[number];

/** What every page's scripts have; a page adds its own with {@link Messages}. */
export const COMMON: readonly Namespace[] = ["site", "wallet", "tx", "units"];
