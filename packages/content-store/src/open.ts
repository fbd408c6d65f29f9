import { type Hex } from "@msec/core";
import { type ContentStore } from "./store.ts";

/** Reads a content that the operator's database holds. */
export type Read = (digest: Hex) => Promise<Uint8Array | undefined>;

/**
 * Opens the content store: Kubo where its URL is given, else Helia in this process. Loading Helia takes over a second, so
 * the store is usable at once and its node joins when it is ready; `onError` is told if it never is.
 */
export function openContents(
  options: { kuboUrl?: string | undefined; host: string; port: number; read: Read },
  onError: (error: Error) => void,
): ContentStore {
  const { kuboUrl } = options;
  let ready: ContentStore | undefined;
  const opening = open(options).then((store) => (ready = store));
  opening.catch(onError);
  return {
    provide: async (contents) => (await opening).provide(contents),
    fetch: async (digest, timeoutMs) => (await opening).fetch(digest, timeoutMs),
    // What Helia serves is what the database holds, so there only a node that runs has anything to forget.
    remove: async (digests) => (kuboUrl ? await opening : await opening.catch(() => undefined))?.remove(digests),
    addresses: () => ready?.addresses() ?? [],
    dial: async (address) => (await opening).dial(address),
    stop: async () => (await opening.catch(() => undefined))?.stop(),
  };
}

async function open({ kuboUrl, host, port, read }: Parameters<typeof openContents>[0]): Promise<ContentStore> {
  if (kuboUrl) return (await import("./kubo.ts")).kuboStore(kuboUrl);
  return (await import("./helia.ts")).heliaStore(read, { host, port });
}
