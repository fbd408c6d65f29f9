import { type Hex, sha256, toHex } from "@msec/core";
import { multiaddr } from "@multiformats/multiaddr";
import { create } from "kubo-rpc-client";
import { cidOf } from "./digest.ts";
import { type ContentStore } from "./store.ts";

/** A Kubo node of one's own, by its RPC API. Every option that could change a CID is set here. */
export async function kuboStore(url: string): Promise<ContentStore> {
  const kubo = create({ url });
  const id = await kubo.id({ timeout: 5000 }).catch((error: Error) => {
    throw new Error(`no IPFS API answers at ${url}: start Kubo or unset IPFS_API_URL (${error.message})`);
  });
  // What an operator that runs Helia can dial.
  const addresses = id.addresses.map(String).filter((address) => /\/tcp\/\d+\/p2p\//.test(address));
  return {
    async provide(contents) {
      for (const { digest, bytes } of contents) {
        const cid = await kubo.block.put(bytes, { format: "raw", mhtype: "sha2-256", version: 1, pin: true });
        if (!cid.equals(cidOf(digest)))
          throw new Error(`Kubo named a content ${cid.toString()} that is ${cidOf(digest).toString()}`);
      }
    },
    async fetch(digest: Hex, timeoutMs) {
      try {
        const bytes = await kubo.block.get(cidOf(digest), { timeout: timeoutMs });
        return toHex(sha256(bytes)) === digest ? bytes : undefined;
      } catch {
        return undefined;
      }
    },
    async remove(digests) {
      for (const digest of digests) {
        await kubo.pin.rm(cidOf(digest)).catch(() => undefined);
        for await (const result of kubo.block.rm(cidOf(digest), { force: true }))
          if (result.error) throw new Error(`Kubo still holds ${result.cid.toString()}: ${result.error.message}`);
      }
    },
    addresses: () => addresses,
    async dial(address) {
      await kubo.swarm.connect(multiaddr(address), { timeout: 3000 });
    },
    stop: () => Promise.resolve(),
  };
}
