import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { type Config, type Hex, ZERO_ADDRESS } from "@msec/core";
import { ContractFactory, encodeBytes32String, getCreateAddress, id, type Interface, ZeroAddress } from "ethers";
import roles from "../../../contracts/access/roles.json" with { type: "json" };
import { artifact } from "./artifacts.ts";
import { type Addresses, type ContractName, type Contracts, contractsAt, SOURCES } from "./contracts.ts";
import { type ChainProvider } from "./provider.ts";
import { Sender } from "./sender.ts";

/** What a city deployed, where, and from which account. */
export interface Deployment {
  chainId: number;
  deployer: Hex;
  addresses: Addresses;
}

/** Who makes up a city at its start. */
export interface Founding {
  committee: Config;
  /** Organisations of accounts, beyond the committee's. */
  organisations: { account: Hex; organisation: Hex }[];
  registrars: Hex[];
  /** How many registrars vouch for a device. */
  threshold: number;
  /** Most software elements of each organisation. */
  softwareCap: number;
  /** First holders of the city's token, in its smallest unit. */
  balances: { account: Hex; amount: bigint }[];
  /** Who judges complaints about quality, an account of each of their organisations; left out: nobody does. */
  panel?: Hex[];
  /** {@link CASE_SECONDS} if left out. */
  caseSeconds?: CaseSeconds;
}

/** How long a panel has to commit its votes on a complaint, and then to show them; seconds. */
export interface CaseSeconds {
  commit: number;
  reveal: number;
}

const CASE_SECONDS: CaseSeconds = { commit: 3 * 86_400, reveal: 2 * 86_400 };
const TOKEN_CAP = 10n ** 15n;
const PUBLIC_MODULES: ContractName[] = [
  "OracleCommittee",
  "BootPolicy",
  "DeviceRegistry",
  "DataAnchor",
  "ConsentRegistry",
  "MSecToken",
  "Arbitration",
  "Escrow",
  "Marketplace",
  "Reputation",
  "AgreementDigests",
  "Subscription",
];

/** Where each contract will be, and what its constructor is given, in the order in which they are deployed. */
export function planCity(
  deployer: Hex,
  founding: Founding,
): { addresses: Addresses; args: Record<ContractName, unknown[]> } {
  const names = Object.keys(SOURCES) as ContractName[];
  const addresses = Object.fromEntries(
    names.map((name, nonce) => [name, getCreateAddress({ from: deployer, nonce }).toLowerCase()]),
  ) as Addresses;
  const a = addresses;
  const { commit, reveal } = founding.caseSeconds ?? CASE_SECONDS;
  const args: Record<ContractName, unknown[]> = {
    AccessManager: [deployer],
    Directory: [a.AccessManager],
    OracleCommittee: [a.AccessManager, a.Directory],
    BootPolicy: [a.AccessManager],
    DeviceRegistry: [a.AccessManager, a.Directory, a.BootPolicy],
    DataAnchor: [a.OracleCommittee, ZERO_ADDRESS],
    ConsentRegistry: [a.DeviceRegistry],
    MSecToken: [a.AccessManager, TOKEN_CAP],
    Arbitration: [a.AccessManager, a.Directory, commit, reveal],
    Escrow: [a.AccessManager, a.Directory, a.DeviceRegistry, a.ConsentRegistry, a.Arbitration],
    Marketplace: [a.Escrow, a.DeviceRegistry],
    Reputation: [a.Directory, a.Escrow, a.OracleCommittee, a.MSecToken, [...new Set(founding.committee.organisations)]],
    AgreementDigests: [],
    Subscription: [a.AccessManager, a.Directory, a.DeviceRegistry, a.ConsentRegistry, a.Escrow],
  };
  return { addresses, args };
}

/** The transaction's data that creates a contract with these arguments. */
export async function creationData(name: ContractName, args: unknown[]): Promise<Hex> {
  const { abi, bytecode } = artifact(SOURCES[name]);
  return (await new ContractFactory(abi, bytecode).getDeployTransaction(...args)).data as Hex;
}

/**
 * Deploys the city's contracts and founds it, or goes on where an earlier call was cut off: every address follows from
 * deployer and nonce, and every step is skipped where the chain shows that it was done.
 */
export async function deployCity(
  provider: ChainProvider,
  chainId: number,
  deployerKey: Hex,
  founding: Founding,
): Promise<Deployment> {
  const sender = new Sender(deployerKey, provider, chainId);
  const names = Object.keys(SOURCES) as ContractName[];
  const { addresses, args } = planCity(sender.address, founding);
  // A member that can't be seated is told before anything is sent.
  const seats = seatsOf(founding);
  await settled(provider, sender.address);
  const codes = await Promise.all(names.map((name) => provider.getCode(addresses[name])));
  const missing = names.filter((_, i) => codes[i] === "0x");
  const creations = await Promise.all(
    missing.map(async (name) => ({ what: `deploying ${name}`, data: await creationData(name, args[name]) })),
  );
  await sendAll(sender, creations, names.length - creations.length);
  await settled(provider, sender.address);
  await sendAll(
    sender,
    await foundingSteps(contractsAt(addresses, provider), addresses, founding, seats, sender.address),
    await sender.nonce(),
  );
  return { chainId, deployer: sender.address, addresses };
}

/** Waits until what an earlier run sent is in blocks: a step that waits there would be taken for one that was never sent. */
async function settled(provider: ChainProvider, account: Hex): Promise<void> {
  const count = (tag: string) => provider.getTransactionCount(account, tag);
  for (let waited = 0; waited < 60_000; waited += 100) {
    if ((await count("pending")) === (await count("latest"))) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`transactions of ${account} have waited for a block for 60 s: does the chain make blocks?`);
}

interface Step {
  what: string;
  to?: Hex;
  data: string;
}

/** Sends the steps one nonce after the other, all at once, and waits for them in order. */
async function sendAll(sender: Sender, steps: Step[], firstNonce: number): Promise<void> {
  const signed = await Promise.all(steps.map((step, i) => sender.sign(step, firstNonce + i)));
  for (const { raw } of signed) await sender.broadcast(raw);
  for (const [i, { hash }] of signed.entries())
    if ((await sender.wait(hash)).status !== 1)
      throw new Error(`${steps[i]?.what} failed: transaction ${hash} was reverted`);
}

/** What the chain does not show as done yet; nothing of a city that its founder has handed over. */
async function foundingSteps(
  contracts: Contracts,
  addresses: Addresses,
  founding: Founding,
  seats: Hex[],
  deployer: Hex,
): Promise<Step[]> {
  const { AccessManager, Arbitration, Directory, OracleCommittee, DeviceRegistry, MSecToken, Escrow } = contracts;
  if (!(await AccessManager.hasRole(roles.roles.ADMIN, deployer)).isMember) return [];
  const steps: Step[] = [];
  const add = (name: ContractName, method: string, ...values: unknown[]) =>
    steps.push({
      what: `${name}.${method}`,
      to: addresses[name],
      data: (contracts[name].interface as Interface).encodeFunctionData(method, values),
    });
  await addRoles(contracts, addresses, deployer, add);
  // Questions of one kind are asked at once.
  const modules = await Promise.all(PUBLIC_MODULES.map((name) => Directory.addressOf(encodeBytes32String(name))));
  for (const [i, name] of PUBLIC_MODULES.entries())
    if (modules[i] === ZeroAddress) add("Directory", "setModule", encodeBytes32String(name), addresses[name], 1);
  const accounts = accountsOf(founding);
  const known = await Promise.all(accounts.map(({ account }) => Directory.organisationOf(account)));
  for (const [i, { account, organisation }] of accounts.entries())
    if (known[i] !== organisation) add("Directory", "setOrganisation", account, organisation);
  if ((await OracleCommittee.configCount()) === 0n) add("OracleCommittee", "setConfig", founding.committee);
  for (const registrar of founding.registrars)
    if (!(await DeviceRegistry.isRegistrar(registrar))) add("DeviceRegistry", "setRegistrar", registrar, true);
  if ((await DeviceRegistry.threshold()) !== BigInt(founding.threshold))
    add("DeviceRegistry", "setThreshold", founding.threshold);
  for (const organisation of new Set(accounts.map((row) => row.organisation)))
    if ((await DeviceRegistry.softwareElements(organisation)).cap === 0n)
      add("DeviceRegistry", "setSoftwareCap", organisation, founding.softwareCap);
  if (!(await Escrow.isTokenAllowed(addresses.MSecToken))) add("Escrow", "setToken", addresses.MSecToken, true);
  if (seats.length > 0 && (await Arbitration.panelCount()) === 0n) add("Arbitration", "setPanel", seats);
  for (const { account, amount } of founding.balances)
    if ((await MSecToken.balanceOf(account)) === 0n) add("MSecToken", "mint", account, amount);
  return steps;
}

/** Every account of a founding with its organisation. */
const accountsOf = ({ committee, organisations }: Founding) => [
  ...committee.members.map((account, i) => ({ account, organisation: committee.organisations[i] as Hex })),
  ...organisations,
];

/** A panel's members as the contract takes them: ascending by their organisation. */
function seatsOf(founding: Founding): Hex[] {
  const accounts = accountsOf(founding);
  const seats = (founding.panel ?? []).map((member) => {
    const known = accounts.find(({ account }) => account === member);
    if (!known)
      throw new Error(`${member} is to judge and is of no organisation: name its organisation in the founding`);
    return known;
  });
  return seats.sort((a, b) => (a.organisation < b.organisation ? -1 : 1)).map(({ account }) => account);
}

/** Gives every restricted function the role that the table names; the deployer holds them all, without delay, until {@link handOver}. */
async function addRoles(
  { AccessManager }: Contracts,
  addresses: Addresses,
  deployer: Hex,
  add: (name: ContractName, method: string, ...values: unknown[]) => void,
): Promise<void> {
  const all = Object.values(roles.roles);
  const held = await Promise.all(all.map((role) => AccessManager.hasRole(role, deployer)));
  for (const [i, role] of all.entries()) if (!held[i]?.isMember) add("AccessManager", "grantRole", role, deployer, 0);
  const rows = roles.table.map((row) => ({
    target: addresses[row.contract as ContractName],
    selector: id(row.function).slice(0, 10),
    role: roles.roles[row.role as keyof typeof roles.roles],
  }));
  const given = await Promise.all(rows.map((row) => AccessManager.getTargetFunctionRole(row.target, row.selector)));
  for (const [i, { target, selector, role }] of rows.entries())
    if (given[i] !== BigInt(role)) add("AccessManager", "setTargetFunctionRole", target, [selector], role);
}

export function readDeployment(file: string): Deployment | undefined {
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Deployment) : undefined;
}

export function writeDeployment(file: string, deployment: Deployment): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(deployment, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}
