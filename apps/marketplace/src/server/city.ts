import "server-only";
import { readConfig } from "../config.ts";
import { type PublicCity } from "../lib/city.ts";

/** The city that this process serves. */
export const config = () => {
  const file = process.env.MSEC_MARKETPLACE_CONFIG;
  if (!file) throw new Error("MSEC_MARKETPLACE_CONFIG names no configuration: start src/main.ts with one");
  return (loaded ??= readConfig(file));
};
let loaded: ReturnType<typeof readConfig> | undefined;

/** What pages may know of it. */
export function publicCity(): PublicCity {
  const { city, chain, operators, markets, purposes, validators, organisations } = config();
  return {
    name: city,
    chainId: chain.chainId,
    blockSeconds: chain.blockSeconds,
    addresses: chain.addresses as PublicCity["addresses"],
    operators: operators.map(({ name, address }) => ({ name, address })),
    markets: markets.map(({ name, address }) => ({ name, address })),
    purposes,
    validators: validators ?? null,
    organisations,
  };
}
