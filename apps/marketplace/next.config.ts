import { fileURLToPath } from "node:url";
import type { NextConfig } from "next";
import createNextIntlPlugin from "next-intl/plugin";

const config: NextConfig = {
  // The packages of this repository are TypeScript as it is written.
  transpilePackages: ["@msec/core", "@msec/trade"],
  turbopack: { root: fileURLToPath(new URL("../..", import.meta.url)) },
  // Browsers ask for it by themselves, also while the page that names the icon is still on its way.
  rewrites: async () => [{ source: "/favicon.ico", destination: "/icon.svg" }],
  poweredByHeader: false,
  reactStrictMode: true,
  // Checked by `npm run check`, with the rest.
  typescript: { ignoreBuildErrors: true },
};

export default createNextIntlPlugin("./src/i18n/request.ts")(config);
