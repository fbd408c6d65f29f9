import { existsSync, readFileSync } from "node:fs";
import { type InterfaceAbi } from "ethers";

export interface Artifact {
  abi: InterfaceAbi;
  bytecode: string;
  deployedBytecode: string;
}

const root = new URL("../../../artifacts/", import.meta.url);

/** A compiled contract by the path of its source, such as `contracts/data/DataAnchor.sol`. */
export function artifact(source: string): Artifact {
  const name = source.slice(source.lastIndexOf("/") + 1, -".sol".length);
  const url = new URL(`${source}/${name}.json`, root);
  if (!existsSync(url)) throw new Error(`${source} is not compiled: run npm run setup`);
  return JSON.parse(readFileSync(url, "utf8")) as Artifact;
}
