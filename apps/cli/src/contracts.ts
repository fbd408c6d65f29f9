import { readFileSync } from "node:fs";
import {
  checkManifest,
  connectChain,
  type Difference,
  endpoint,
  handOver,
  isBeingFounded,
  type Manifest,
  readAccess,
  readManifest,
  type RoleName,
  ROLES,
  writeManifest,
} from "@msec/chain";
import { type Hex } from "@msec/core";
import { people } from "./city/layout.ts";
import { type Session } from "./context.ts";
import { Problem } from "./problem.ts";

/** Compares the network behind an endpoint with a manifest and with this build. */
export async function checkContracts(
  rpc: string,
  file: string,
): Promise<{ file: string; contracts: number; founding: boolean; differences: Difference[] }> {
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
    const founding = isBeingFounded(manifest.access, manifest.deployer);
    return { file, contracts: Object.keys(manifest.contracts).length, founding, differences };
  } finally {
    provider.destroy();
  }
}

/** Gives the roles of a city to the holders that a file names, and writes who holds them now into the city's manifest. */
export async function handOverCity(
  { layout, provider, deployment }: Session,
  file: string,
): Promise<{ manifest: string; holders: Record<RoleName, Hex[]> }> {
  let holders: Record<RoleName, Hex[]>;
  try {
    holders = JSON.parse(readFileSync(file, "utf8")) as Record<RoleName, Hex[]>;
  } catch (error) {
    throw new Problem(`cannot read who shall hold the roles from ${file}: ${(error as Error).message}`, 2);
  }
  const unknown = Object.keys(holders).filter((name) => !ROLES.includes(name as RoleName));
  if (unknown.length > 0) throw new Problem(`there is no role ${unknown.join(", ")}: there are ${ROLES.join(", ")}`, 2);
  const manifest = readManifest(layout.manifest);
  if (!manifest) throw new Problem(`there is no ${layout.manifest} yet: the city writes it soon after its first start`);
  await handOver(provider, deployment.chainId, people(layout).deployer.key, deployment.addresses, holders);
  writeManifest(layout.manifest, { ...manifest, access: await readAccess(provider, deployment.addresses) });
  return { manifest: layout.manifest, holders };
}
