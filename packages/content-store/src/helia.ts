import { withBitswap } from "@helia/bitswap";
import { withLibp2pLight } from "@helia/libp2p";
import { sha256, toHex } from "@msec/core";
import { identify } from "@libp2p/identify";
import { noise } from "@libp2p/noise";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { BaseBlockstore } from "blockstore-core";
import { createHeliaLight } from "helia";
import { type CID } from "multiformats/cid";
import { cidOf, digestOf } from "./digest.ts";
import { type Read } from "./open.ts";
import { type ContentStore } from "./store.ts";

/**
 * A blockstore that keeps nothing of its own: what the database holds is what the node serves, so that an erasure in one
 * place is an erasure in both. Blocks fetched from others pass through `#passing` to whoever asked.
 */
class DatabaseBlockstore extends BaseBlockstore {
  readonly #read: Read;
  readonly #passing = new Map<string, Uint8Array>();

  constructor(read: Read) {
    super();
    this.#read = read;
  }

  async #find(cid: CID): Promise<Uint8Array | undefined> {
    const digest = digestOf(cid);
    return this.#passing.get(cid.toString()) ?? (digest && (await this.#read(digest)));
  }

  override async put(cid: CID, value: Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<CID> {
    const parts: Uint8Array[] = [];
    if (value instanceof Uint8Array) parts.push(value);
    else for await (const part of value) parts.push(part);
    if (this.#passing.size > 1000) this.#passing.clear();
    this.#passing.set(cid.toString(), Buffer.concat(parts));
    return cid;
  }

  override async *get(cid: CID): AsyncGenerator<Uint8Array> {
    const bytes = await this.#find(cid);
    if (!bytes)
      throw Object.assign(new Error(`${cid.toString()} is not held here`), {
        name: "NotFoundError",
        code: "ERR_NOT_FOUND",
      });
    yield bytes;
  }

  override async has(cid: CID): Promise<boolean> {
    return (await this.#find(cid)) !== undefined;
  }

  override delete(cid: CID): void {
    this.#passing.delete(cid.toString());
  }

  forget(cid: CID): void {
    this.#passing.delete(cid.toString());
  }
}

/** An IPFS node in this process (Helia): TCP on loopback or the address given, bitswap, no public network. */
export async function heliaStore(read: Read, options: { host: string; port: number }): Promise<ContentStore> {
  const blockstore = new DatabaseBlockstore(read);
  const helia = withBitswap(
    withLibp2pLight(createHeliaLight({ blockstore }), {
      addresses: { listen: [`/ip4/${options.host}/tcp/${options.port}`] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify() },
    }),
  );
  await helia.start();
  return {
    async provide() {
      // The database is the blockstore: what was committed there is served already.
    },
    async fetch(digest, timeoutMs) {
      const cid = cidOf(digest);
      try {
        const parts: Uint8Array[] = [];
        for await (const part of helia.blockstore.get(cid, { signal: AbortSignal.timeout(timeoutMs) }))
          parts.push(part);
        const bytes = new Uint8Array(Buffer.concat(parts));
        return toHex(sha256(bytes)) === digest ? bytes : undefined;
      } catch {
        return undefined;
      } finally {
        blockstore.forget(cid);
      }
    },
    async remove(digests) {
      for (const digest of digests) blockstore.forget(cidOf(digest));
    },
    addresses: () => helia.libp2p.getMultiaddrs().map(String),
    async dial(address) {
      await helia.libp2p.dial(multiaddr(address), { signal: AbortSignal.timeout(3000) });
    },
    async stop() {
      await helia.stop();
    },
  };
}
