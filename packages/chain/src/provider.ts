import { JsonRpcProvider, Network } from "ethers";

/** How a network is spoken to; nothing outside this package knows which one runs. */
export interface Profile {
  name: "embedded";
  rpc: string;
  chainId: number;
  /** Seconds between blocks. */
  blockSeconds: number;
}

export const embedded = (rpc: string, chainId: number): Profile => ({
  name: "embedded",
  rpc,
  chainId,
  blockSeconds: 1,
});

/** A provider that asks often enough for one-second blocks and never asks which network it is on. */
export function connectChain(profile: Profile): JsonRpcProvider {
  const network = Network.from(profile.chainId);
  const provider = new JsonRpcProvider(profile.rpc, network, {
    staticNetwork: network,
    batchMaxCount: 20,
    cacheTimeout: -1,
  });
  provider.pollingInterval = profile.blockSeconds * 250;
  return provider;
}
