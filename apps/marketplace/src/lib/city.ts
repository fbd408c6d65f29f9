import { type Hex, type Purpose } from "@msec/core";
import { type ContractName } from "./contracts.ts";

/** Where a city's contracts and organisations are, as far as a page needs it. */
export interface PublicCity {
  name: string;
  chainId: number;
  blockSeconds: number;
  addresses: Record<ContractName, Hex>;
  operators: { name: string; address: Hex }[];
  markets: { name: string; address: Hex }[];
  purposes: Purpose[];
  /** Pinned validators of a chain that seals its blocks; null on one that does not. */
  validators: Hex[] | null;
  organisations: Record<Hex, string>;
}
