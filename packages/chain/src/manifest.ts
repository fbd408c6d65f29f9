import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { type Hex } from "@msec/core";
import {
  concat,
  Contract,
  ContractFactory,
  dataSlice,
  getBytes,
  getCreateAddress,
  hexlify,
  id,
  keccak256,
  TypedDataEncoder,
} from "ethers";
import roles from "../../../contracts/access/roles.json" with { type: "json" };
import { type AccessState, readAccess } from "./access.ts";
import { type Artifact, artifact, type Compiler, compilerOf } from "./artifacts.ts";
import { atBlock, type Block } from "./at-block.ts";
import { type Addresses, type ContractName, SOURCES } from "./contracts.ts";
import { creationData, type Founding, planCity } from "./deploy.ts";
import { delayOf } from "./hand-over.ts";
import { type ChainProvider } from "./provider.ts";
import { Sender } from "./sender.ts";

/** Everything that a deployment consists of, so that anybody can compare a chain with it and with a build of the source. */
export interface Manifest {
  format: "msec.deployment/1";
  chainId: number;
  deployer: Hex;
  contracts: Record<ContractName, DeployedContract>;
  access: AccessState;
}

export interface DeployedContract {
  source: string;
  compiler: Compiler;
  address: Hex;
  /** Of the constructor; whole numbers beyond 2^53 as decimal text. */
  arguments: unknown[];
  /** keccak-256 of the creation code without its arguments. */
  creationHash: Hex;
  /** keccak-256 of the runtime code with zeros in place of immutables. */
  runtimeHash: Hex;
  transaction: Hex;
  block: number;
}

/** One thing that is not as it should be. */
export interface Difference {
  /** Such as `Escrow.code` or `access.roles.GOVERNOR.members`. */
  where: string;
  what: string;
  expected: unknown;
  found: unknown;
}

const NAMES = Object.keys(SOURCES) as ContractName[];
const plain = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value ?? null, (_, v: unknown) => (typeof v === "bigint" ? v.toString() : v)));

/**
 * The manifest of a city that `deployCity` has finished. Creations are signed alike each time, so their transactions are
 * found again however often the deployment was cut off.
 */
export async function manifestOf(
  provider: ChainProvider,
  chainId: number,
  deployerKey: Hex,
  founding: Founding,
): Promise<Manifest> {
  const sender = new Sender(deployerKey, provider, chainId);
  const { addresses, args } = planCity(sender.address, founding);
  const contracts = {} as Manifest["contracts"];
  for (const [nonce, name] of NAMES.entries()) {
    const build = artifact(SOURCES[name]);
    const { hash } = await sender.sign({ data: await creationData(name, args[name]) }, nonce);
    const receipt = await provider.getTransactionReceipt(hash);
    if (!receipt)
      throw new Error(
        `${name} at ${addresses[name]} was not created by this build: deploy this build, or check another`,
      );
    contracts[name] = {
      source: SOURCES[name],
      compiler: compilerOf(build),
      address: addresses[name],
      arguments: plain(args[name]) as unknown[],
      creationHash: keccak256(build.bytecode) as Hex,
      runtimeHash: keccak256(build.deployedBytecode) as Hex,
      transaction: hash,
      block: receipt.blockNumber,
    };
  }
  const access = await readAccess(provider, addresses);
  return { format: "msec.deployment/1", chainId, deployer: sender.address, contracts, access };
}

/**
 * What of a live network is not as the manifest, this repository's build and its table of roles say; an empty list if
 * everything is. Immutables are judged by running each constructor again with the manifest's arguments, in a call.
 * @param block After which block; the newest one if left out.
 */
export async function checkManifest(
  provider: ChainProvider,
  manifest: Manifest,
  block: Block = "latest",
): Promise<Difference[]> {
  const found = await checkCode(provider, manifest, block);
  // What roles and names there are can't be asked of other code.
  if (found.some(({ where }) => /^(chainId|contracts|(AccessManager|Directory)\.(code|immutables))$/.test(where)))
    return found;
  const now = await readAccess(provider, addressesOf(manifest), block);
  return [...found, ...(await checkAccess(provider, manifest, now, block))];
}

export const addressesOf = ({ contracts }: Manifest): Addresses =>
  Object.fromEntries(NAMES.map((name) => [name, contracts[name].address])) as Addresses;

/** The part of {@link checkManifest} that is about the contracts' code. */
export async function checkCode(
  provider: ChainProvider,
  manifest: Manifest,
  block: Block = "latest",
): Promise<Difference[]> {
  const { found, compare } = comparison();
  const chainId = Number(await provider.send("eth_chainId", []));
  compare("chainId", "the endpoint is of another chain", manifest.chainId, chainId);
  compare("contracts", "the manifest lists other contracts than this build", NAMES, Object.keys(manifest.contracts));
  if (found.length === 0) for (const name of NAMES) await checkContract(provider, name, manifest, compare, block);
  return found;
}

function comparison(): { found: Difference[]; compare: Compare } {
  const found: Difference[] = [];
  const compare: Compare = (where, what, expected, actual) => {
    const [a, b] = [plain(expected), plain(actual)];
    if (JSON.stringify(a) !== JSON.stringify(b)) found.push({ where, what, expected: a, found: b });
  };
  return { found, compare };
}

type Compare = (where: string, what: string, expected: unknown, found: unknown) => void;

async function checkContract(
  provider: ChainProvider,
  name: ContractName,
  manifest: Manifest,
  compare: Compare,
  block: Block,
): Promise<void> {
  const listed = manifest.contracts[name];
  const build = artifact(SOURCES[name]);
  compare(`${name}.source`, "the manifest names another source", SOURCES[name], listed.source);
  compare(`${name}.compiler`, "this build has other settings", listed.compiler, compilerOf(build));
  const builds = { creation: keccak256(build.bytecode), runtime: keccak256(build.deployedBytecode) };
  const listedHashes = { creation: listed.creationHash, runtime: listed.runtimeHash };
  compare(`${name}.bytecode`, "the manifest is of another build", builds, listedHashes);

  const live = await provider.getCode(listed.address, block);
  const masked = maskImmutables(live, build);
  if (masked !== build.deployedBytecode) {
    const at = firstDifference(build.deployedBytecode, masked);
    const shown = (code: string) => dataSlice(code, Math.min(at, size(code)), Math.min(at + 8, size(code)));
    compare(
      `${name}.code`,
      live === "0x" ? `no code at ${listed.address}` : `the code at ${listed.address} differs from byte ${at} on`,
      shown(build.deployedBytecode),
      shown(live),
    );
  } else await checkImmutables(provider, name, manifest.chainId, listed, live, build, compare, block);

  const [transaction, receipt] = await Promise.all([
    provider.getTransaction(listed.transaction),
    provider.getTransactionReceipt(listed.transaction),
  ]);
  const input = await creationData(name, listed.arguments);
  compare(
    `${name}.transaction`,
    "the chain has another creation",
    { input: keccak256(input), address: listed.address, block: listed.block, status: 1 },
    {
      input: transaction && keccak256(transaction.data),
      address: receipt?.contractAddress?.toLowerCase() ?? null,
      block: receipt?.blockNumber ?? null,
      status: receipt?.status ?? null,
    },
  );
}

/** Nobody has deployed from here, so its next contract's address is known. */
const SIMULATOR = `0x${"51".repeat(20)}` as Hex;

/**
 * Every immutable must be what the constructor makes of the listed arguments; where the constructor takes in the
 * contract's own address (EIP-712's domain), what it makes of that.
 */
async function checkImmutables(
  provider: ChainProvider,
  name: ContractName,
  chainId: number,
  listed: DeployedContract,
  live: string,
  build: Artifact,
  compare: Compare,
  block: Block,
): Promise<void> {
  const nonce = await provider.getTransactionCount(SIMULATOR, block);
  const there = getCreateAddress({ from: SIMULATOR, nonce });
  const data = await creationData(name, listed.arguments);
  const simulated = await provider.call({ from: SIMULATOR, data, blockTag: block });
  const { interface: abi } = new ContractFactory(build.abi, build.bytecode);
  const own = new Map([[word(there), word(listed.address)]]);
  if (abi.getFunction("eip712Domain") !== null) {
    const domain = (await new Contract(listed.address, build.abi, atBlock(provider, block)).getFunction(
      "eip712Domain",
    )()) as {
      name: string;
      version: string;
    };
    const separator = (verifyingContract: string) =>
      TypedDataEncoder.hashDomain({ name: domain.name, version: domain.version, chainId, verifyingContract });
    own.set(separator(there), separator(listed.address));
  }
  for (const { start, length } of Object.values(build.immutableReferences).flat()) {
    const made = dataSlice(simulated, start, start + length);
    compare(
      `${name}.immutables`,
      `the immutable at byte ${start} is not what the constructor's arguments make it`,
      own.get(made) ?? made,
      dataSlice(live, start, start + length),
    );
  }
}

/** The part of {@link checkManifest} that is about roles, names and pauses, as `now` has them. */
export async function checkAccess(
  provider: ChainProvider,
  manifest: Manifest,
  now: AccessState,
  block: Block = "latest",
): Promise<Difference[]> {
  const { found, compare } = comparison();
  const then = manifest.access;
  const byName = (list: AccessState["roles"]) => new Map(list.map((role) => [`${role.name} ${role.id}`, role]));
  const [rolesThen, rolesNow] = [byName(then.roles), byName(now.roles)];
  for (const key of new Set([...rolesThen.keys(), ...rolesNow.keys()])) {
    const [expected, found] = [rolesThen.get(key), rolesNow.get(key)];
    const where = `access.roles.${key}`;
    compare(`${where}.members`, "others hold this role, or with other delays", expected?.members, found?.members);
    const settings = (role: typeof expected) => role && [role.admin, role.guardian, role.grantDelay];
    compare(where, "admin, guardian or grant delay differ", settings(expected), settings(found));
  }
  for (const { account, role, delay, least } of tooQuick(now, manifest.deployer))
    compare(
      `access.roles.${role}.delay`,
      `${account} waits for less than contracts/access/roles.json has it`,
      least,
      delay,
    );
  const table = roles.table
    .map((row) => ({
      contract: row.contract,
      selector: id(row.function).slice(0, 10),
      role: String(roles.roles[row.role as keyof typeof roles.roles]),
    }))
    .sort((a, b) => (a.contract + a.selector < b.contract + b.selector ? -1 : 1));
  const key = ({ contract, selector }: (typeof table)[number]) => `${contract}.${selector}`;
  const [rowsThen, rowsNow] = [table, now.functions].map((rows) => new Map(rows.map((row) => [key(row), row.role])));
  for (const row of new Set([...(rowsThen?.keys() ?? []), ...(rowsNow?.keys() ?? [])]))
    compare(
      `access.functions.${row}`,
      "not as contracts/access/roles.json has it",
      rowsThen?.get(row),
      rowsNow?.get(row),
    );
  compare("access.targets", "closed contracts or delays of their settings differ", then.targets, now.targets);
  compare("access.modules", "the Directory names other contracts", then.modules, now.modules);
  compare("access.paused", "not paused as listed", then.paused, now.paused);
  for (const { name, address, codehash } of now.modules) {
    const code = await provider.getCode(address, block);
    compare(`access.modules.${name}`, "code has changed since it was named", codehash, keccak256(code));
  }
  return found;
}

/** Whether the account that deployed may still grant roles: as long as it may, no delay binds it, and so nobody. */
export const isBeingFounded = ({ roles: held }: AccessState, deployer: Hex): boolean =>
  held.some(({ name, members }) => name === "ADMIN" && members.some(({ account }) => account === deployer));

/** Who holds a role with less delay than the table gives it; but for the founder, until it has handed over. */
function tooQuick(now: AccessState, deployer: Hex): { account: Hex; role: string; delay: number; least: number }[] {
  const founder = isBeingFounded(now, deployer) ? deployer : undefined;
  return now.roles.flatMap(({ id, name, members }) => {
    const least = delayOf(id) ?? 0;
    return members
      .filter(({ account, delay }) => account !== founder && delay < least)
      .map(({ account, delay }) => ({ account, role: `${name} ${id}`, delay, least }));
  });
}

/** Runtime code with zeros where immutables go. */
export function maskImmutables(code: string, { immutableReferences }: Artifact): string {
  const bytes = getBytes(code);
  for (const { start, length } of Object.values(immutableReferences).flat()) bytes.fill(0, start, start + length);
  return hexlify(bytes);
}

const size = (code: string) => (code.length - 2) / 2;
const word = (address: string) => concat([new Uint8Array(12), address]);

function firstDifference(a: string, b: string): number {
  let i = 2;
  while (i < a.length && a[i] === b[i]) i++;
  return Math.floor((i - 2) / 2);
}

export function readManifest(file: string): Manifest | undefined {
  if (!existsSync(file)) return undefined;
  const manifest = JSON.parse(readFileSync(file, "utf8")) as Manifest;
  if (manifest.format !== "msec.deployment/1")
    throw new Error(`${file} is no manifest: its format is not msec.deployment/1`);
  return manifest;
}

export function writeManifest(file: string, manifest: Manifest): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(manifest, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}
