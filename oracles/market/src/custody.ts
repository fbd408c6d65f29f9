import { type Anchoring, fromHex, type Hex, type SlotRange, type StreamPreimage, type TreeNode } from "@msec/core";

export interface WindowPack {
  headerDigest: Hex;
  cose: string;
  slot: number;
  epoch: number;
  erased: boolean;
}

/** The custody oracle of the same operator, as the deliverer asks it. */
export class Custody {
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  async #json<T>(path: string, body?: unknown): Promise<T> {
    const response = await fetch(this.#url + path, {
      method: body === undefined ? "GET" : "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${this.#token}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    });
    if (!response.ok) throw new Error(`custody answers ${response.status} to ${path}: ${await response.text()}`);
    return (await response.json()) as T;
  }

  async stream(streamId: Hex): Promise<StreamPreimage> {
    return (await this.#json<{ preimage: StreamPreimage }>(`/streams/${streamId}`)).preimage;
  }

  /** Packs of a window that were anchored by an epoch, the first after it, and how far the operator has read the chain. */
  async window(
    streamId: Hex,
    fromSlot: number,
    toSlot: number,
  ): Promise<{ packs: WindowPack[]; after: WindowPack | null; newestEpoch: number }> {
    const page = await this.#json<{
      packs: WindowPack[];
      after: WindowPack | null;
      newestEpoch: number;
      truncated: boolean;
    }>(`/streams/${streamId}/window?from=${fromSlot}&to=${toSlot}`);
    if (page.truncated) throw new Error("the window is larger than the operator serves at once");
    return page;
  }

  /** Where a pack is anchored; null where the operator does not know it yet. */
  async anchoring(headerDigest: Hex): Promise<Anchoring | null> {
    const [pack] = await this.#json<{ anchoring: Anchoring | null }[]>("/packs", { headerDigests: [headerDigest] });
    return pack?.anchoring ?? null;
  }

  async contents(headerDigests: readonly Hex[]): Promise<Map<Hex, string | null>> {
    const out = new Map<Hex, string | null>();
    for (let i = 0; i < headerDigests.length; i += 500)
      for (const pack of await this.#json<{ headerDigest: Hex; content: string | null }[]>("/packs", {
        headerDigests: headerDigests.slice(i, i + 500),
      }))
        out.set(pack.headerDigest, pack.content);
    return out;
  }

  /** Keys of a window's canonical cover. Throws where some of it is erased. */
  async keys(streamId: Hex, fromSlot: number, toSlot: number, holes: readonly SlotRange[]): Promise<TreeNode[]> {
    const nodes = await this.#json<{ depth: number; firstSlot: number; key: Hex }[]>("/keys", {
      streamId,
      fromSlot,
      toSlot,
      holes,
    });
    return nodes.map(({ depth, firstSlot, key }) => ({ depth, firstSlot, key: fromHex(key, 32) }));
  }
}
