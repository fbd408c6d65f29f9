import { type Hex, type WindowBundle } from "@msec/core";
import { type KeptDeal } from "@msec/trade";

/** A purchase as this browser keeps it: without `secret` nobody opens its delivery. */
export interface KeptPurchase extends KeptDeal {
  chainId: number;
  buyer: Hex;
  /** What was downloaded and checked before paying; with keys once they were delivered and tried. */
  bundle: WindowBundle;
  opened: boolean;
  keptAt: number;
}

const STORE = "purchases";

function database(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("msec", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "dealId" });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error ?? new Error("this browser keeps no database"));
  });
}

async function run<T>(mode: IDBTransactionMode, what: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const db = await database();
  try {
    return await new Promise<T>((resolve, reject) => {
      const transaction = db.transaction(STORE, mode, { durability: "strict" });
      const request = what(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () =>
        reject(transaction.error ?? new Error("this browser could not keep it"));
    });
  } finally {
    db.close();
  }
}

/** Resolves once it is on the disk. */
export const keepPurchase = (purchase: KeptPurchase) => run("readwrite", (store) => store.put(purchase));
export const keptPurchase = (dealId: Hex) =>
  run<KeptPurchase | undefined>("readonly", (store) => store.get(dealId) as IDBRequest<KeptPurchase | undefined>);
