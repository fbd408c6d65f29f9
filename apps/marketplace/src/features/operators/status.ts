import type { Status as Custody } from "@msec/custody/health";

/** What an operator says of itself. */
export type CustodyStatus = Custody;
/** What a deliverer says of itself. */
export interface MarketStatus {
  name: string;
  address: string;
  healthy: boolean;
  problems: string[];
  deals: Record<string, number>;
  subscriptions: number;
  bond: string;
}
