import { checkManifest, connectChain, type Difference, endpoint, type Manifest, readManifest } from "@msec/chain";
import { Problem } from "./problem.ts";

/** Compares the network behind an endpoint with a manifest and with this build. */
export async function checkContracts(
  rpc: string,
  file: string,
): Promise<{ file: string; contracts: number; differences: Difference[] }> {
  let manifest: Manifest | undefined;
  try {
    manifest = readManifest(file);
  } catch (error) {
    throw new Problem(`cannot read the manifest ${file}: ${(error as Error).message}`, 2);
  }
  if (!manifest)
    throw new Problem(`there is no ${file}: give --manifest FILE, or --dir with the folder of a city that was up`, 2);
  if (!/^https?:\/\//.test(rpc)) throw new Problem(`--rpc takes an http or https URL, not ${rpc}`, 2);
  const provider = connectChain(endpoint(rpc, manifest.chainId));
  try {
    await provider.send("eth_chainId", []).catch((error: unknown) => {
      throw new Problem(`${rpc} does not answer: ${(error as Error).message}`, 2);
    });
    const differences = await checkManifest(provider, manifest);
    return { file, contracts: Object.keys(manifest.contracts).length, differences };
  } finally {
    provider.destroy();
  }
}
