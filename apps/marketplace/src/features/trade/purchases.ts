import { type Deal, dealId, type Hex, type KeyNode, type WindowBundle } from "@msec/core";
import { type KeptDeal, type KeptSubscription } from "@msec/trade";

// What this browser alone knows of what its accounts bought: without it a delivery is not opened.

interface Kept {
  chainId: number;
  buyer: Hex;
  /** What was downloaded and checked before paying. */
  bundle: WindowBundle;
  keptAt: number;
}

/** A purchase; its bundle has the keys once they were delivered and tried. */
export interface KeptPurchase extends KeptDeal, Kept {
  opened: boolean;
}

/** A request, which becomes a deal once somebody fills it. */
export interface KeptRequest extends Kept {
  nonce: Hex;
  nodes: KeyNode[];
  secret: Uint8Array;
}

export interface KeptSubscriptionHere extends KeptSubscription {
  chainId: number;
  keptAt: number;
}

const STORES = { purchases: "dealId", requests: "nonce", subscriptions: "id" } as const;
type Store = keyof typeof STORES;

function database(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("msec", 2);
    opening.onupgradeneeded = () => {
      for (const [name, keyPath] of Object.entries(STORES))
        if (!opening.result.objectStoreNames.contains(name)) opening.result.createObjectStore(name, { keyPath });
    };
    opening.onsuccess = () => {
      // Another tab with a newer version of the page may change the stores.
      opening.result.onversionchange = () => opening.result.close();
      resolve(opening.result);
    };
    opening.onblocked = () => reject(new Error("another tab holds an older version of this site: close it"));
    opening.onerror = () => reject(opening.error ?? new Error("this browser keeps no database"));
  });
}

async function run<T>(store: Store, mode: IDBTransactionMode, what: (store: IDBObjectStore) => IDBRequest): Promise<T> {
  const db = await database();
  try {
    return await new Promise<T>((resolve, reject) => {
      const transaction = db.transaction(store, mode, { durability: "strict" });
      const request = what(transaction.objectStore(store));
      transaction.oncomplete = () => resolve(request.result as T);
      transaction.onerror = transaction.onabort = () =>
        reject(transaction.error ?? new Error("this browser could not keep it"));
    });
  } finally {
    db.close();
  }
}

const put = async (store: Store, value: KeptPurchase | KeptRequest | KeptSubscriptionHere) => {
  await run(store, "readwrite", (open) => open.put(value));
};
const get = <T>(store: Store, key: Hex) => run<T | undefined>(store, "readonly", (open) => open.get(key));

/** Each resolves once it is on the disk. */
export const keepPurchase = (purchase: KeptPurchase) => put("purchases", purchase);
export const keepRequest = (request: KeptRequest) => put("requests", request);
export const keepSubscription = (subscription: KeptSubscriptionHere) => put("subscriptions", subscription);
export const keptSubscription = (id: Hex) => get<KeptSubscriptionHere>("subscriptions", id);

/** What opens a deal: bought here, or asked for here and filled by somebody. */
export async function keptPurchase(deal: Deal): Promise<KeptPurchase | undefined> {
  const bought = await get<KeptPurchase>("purchases", dealId(deal));
  if (bought) return bought;
  const asked = await get<KeptRequest>("requests", deal.nonce);
  if (!asked || asked.buyer !== deal.buyer) return undefined;
  const { chainId, buyer, bundle, keptAt, nodes, secret } = asked;
  return { chainId, buyer, bundle, keptAt, nodes, secret, dealId: dealId(deal), deal, opened: false };
}
