import { type Hex } from "@msec/core";

// What a buyer complained of. The chain has only its digest, so this browser keeps it for the panel.

const keyOf = (chainId: number, dealId: Hex) => `msec.complaint.${chainId}.${dealId}`;

export const keepComplaint = (chainId: number, dealId: Hex, text: string): void =>
  window.localStorage.setItem(keyOf(chainId, dealId), text);

export const keptComplaint = (chainId: number, dealId: Hex): string | undefined =>
  window.localStorage.getItem(keyOf(chainId, dealId)) ?? undefined;
