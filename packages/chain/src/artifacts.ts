import { existsSync, readFileSync } from "node:fs";
import { type InterfaceAbi } from "ethers";

export interface Artifact {
  abi: InterfaceAbi;
  bytecode: string;
  /** With zeros where immutables go. */
  deployedBytecode: string;
  /** Where immutables go in the runtime code, in bytes. */
  immutableReferences: Record<string, { start: number; length: number }[]>;
  buildInfoId: string;
}

/** How a contract was compiled. */
export interface Compiler {
  version: string;
  evmVersion: string;
  optimizer: { enabled: boolean; runs: number };
  viaIR: boolean;
  metadata: { bytecodeHash: string };
}

const root = new URL("../../../artifacts/", import.meta.url);

/** A compiled contract by the path of its source, such as `contracts/data/DataAnchor.sol`. */
export function artifact(source: string): Artifact {
  const name = source.slice(source.lastIndexOf("/") + 1, -".sol".length);
  const url = new URL(`${source}/${name}.json`, root);
  if (!existsSync(url)) throw new Error(`${source} is not compiled: run npm run setup`);
  return JSON.parse(readFileSync(url, "utf8")) as Artifact;
}

/** The compiler and its settings behind a compiled contract. */
export function compilerOf({ buildInfoId }: Artifact): Compiler {
  const info = JSON.parse(readFileSync(new URL(`build-info/${buildInfoId}.json`, root), "utf8")) as {
    solcLongVersion: string;
    input: { settings: Omit<Compiler, "version"> };
  };
  const { evmVersion, optimizer, viaIR, metadata } = info.input.settings;
  return { version: info.solcLongVersion, evmVersion, optimizer, viaIR, metadata };
}
