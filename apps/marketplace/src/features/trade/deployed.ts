import { type Deployed } from "@msec/trade";
import { type PublicCity } from "@/lib/city.ts";

export const deployedOf = ({ chainId, addresses }: PublicCity): Deployed => ({ chainId, addresses });

/** Where a page asks the operators: through this site. */
export const operatorUrls = (city: PublicCity) => city.operators.map((_, n) => `/api/operators/${n}`);
