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
/** A build does not change under a process. */
const artifacts = new Map<string, Artifact>();
const compilers = new Map<string, Compiler>();

/** A compiled contract by the path of its source, such as `contracts/data/DataAnchor.sol`. */
export function artifact(source: string): Artifact {
  const known = artifacts.get(source);
  if (known) return known;
  const name = source.slice(source.lastIndexOf("/") + 1, -".sol".length);
  const url = new URL(`${source}/${name}.json`, root);
  if (!existsSync(url)) throw new Error(`${source} is not compiled: run npm run setup`);
  const read = JSON.parse(readFileSync(url, "utf8")) as Artifact;
  artifacts.set(source, read);
  return read;
}

/** The compiler and its settings behind a compiled contract. */
export function compilerOf({ buildInfoId }: Artifact): Compiler {
  const known = compilers.get(buildInfoId);
  if (known) return known;
  const info = JSON.parse(readFileSync(new URL(`build-info/${buildInfoId}.json`, root), "utf8")) as {
    solcLongVersion: string;
    input: { settings: Omit<Compiler, "version"> };
  };
  const { evmVersion, optimizer, viaIR, metadata } = info.input.settings;
  const compiler = { version: info.solcLongVersion, evmVersion, optimizer, viaIR, metadata };
  compilers.set(buildInfoId, compiler);
  return compiler;
}
