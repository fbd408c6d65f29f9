import { type Hex } from "@msec/core";

/** A transaction that was sent from this browser and whose end is not known yet; kept over reloads. */
export interface PendingTx {
  hash: Hex;
  /** Key of the sentence that says what it does. */
  what: string;
  account: Hex;
  sentAt: number;
}

const keyOf = (chainId: number, account: Hex) => `msec.tx.${chainId}.${account.toLowerCase()}`;

export function pendingTxs(chainId: number, account: Hex): PendingTx[] {
  try {
    return JSON.parse(window.localStorage.getItem(keyOf(chainId, account)) ?? "[]") as PendingTx[];
  } catch {
    return [];
  }
}

function write(chainId: number, account: Hex, list: PendingTx[]) {
  window.localStorage.setItem(keyOf(chainId, account), JSON.stringify(list));
  window.dispatchEvent(new Event("msec.tx"));
}

export function remember(chainId: number, tx: PendingTx) {
  const list = pendingTxs(chainId, tx.account).filter(({ hash }) => hash !== tx.hash);
  write(chainId, tx.account, [...list, tx]);
}

export function forget(chainId: number, account: Hex, hash: Hex) {
  write(
    chainId,
    account,
    pendingTxs(chainId, account).filter((tx) => tx.hash !== hash),
  );
}
