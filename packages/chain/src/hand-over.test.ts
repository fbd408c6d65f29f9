import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Hex } from "@msec/core";
import { encodeBytes32String, type Interface } from "ethers";
import { afterAll, beforeAll, expect, test } from "vitest";
import roles from "../../../contracts/access/roles.json" with { type: "json" };
import { readAccess } from "./access.ts";
import { type EmbeddedChain, startChain } from "./anvil.ts";
import { type ContractName, contractsAt } from "./contracts.ts";
import { deployCity, type Deployment, type Founding } from "./deploy.ts";
import { contractError } from "./errors.ts";
import { handOver, type RoleName, ROLES } from "./hand-over.ts";
import { checkManifest, isBeingFounded, type Manifest, manifestOf } from "./manifest.ts";
import { type ChainProvider, connectChain, embedded } from "./provider.ts";
import { Sender } from "./sender.ts";
import { freePort } from "../../service/src/ports.ts";

const key = (n: number) => `0x${n.toString(16).padStart(64, "0")}` as Hex;
const DEPLOYER = key(0xd0d3);
const founding: Founding = {
  committee: { q: 1, members: [`0x${"0b".repeat(20)}`], organisations: [key(12)], fromEpoch: 1 },
  organisations: [],
  registrars: [`0x${"15".repeat(20)}`],
  threshold: 1,
  softwareCap: 10,
  balances: [],
};

let folder: string;
let chain: EmbeddedChain;
let provider: ChainProvider;
let deployment: Deployment;
let manifest: Manifest;
let holders: Record<RoleName, Hex[]>;

const as = (n: number) => new Sender(key(n), provider, chain.chainId);
/** Key of the account that is to hold a role. */
const HOLDER: Record<RoleName, number> = {
  ADMIN: 90,
  GOVERNOR: 91,
  OFFICER: 92,
  GUARDIAN: 93,
  MEMBERSHIP: 94,
  MINTER: 95,
};

function dataOf(name: ContractName, method: string, ...values: unknown[]): string {
  const { interface: abi } = contractsAt(deployment.addresses, provider)[name];
  return (abi as Interface).encodeFunctionData(method, values);
}
const call = (n: number, name: ContractName, method: string, ...values: unknown[]) =>
  as(n).transact({ to: deployment.addresses[name], data: dataOf(name, method, ...values) });
const refusal = (sent: Promise<unknown>) =>
  sent.then(
    () => "it was taken",
    (error: unknown) => contractError(error)?.name ?? String(error),
  );
const hand = (to: Record<RoleName, Hex[]>) => handOver(provider, chain.chainId, DEPLOYER, deployment.addresses, to);
const pass = async (seconds: number) => {
  await provider.send("evm_increaseTime", [seconds]);
  await provider.send("evm_mine", []);
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "msec-hand-over-"));
  chain = await startChain(folder, await freePort());
  provider = connectChain(embedded(chain.rpc, chain.chainId));
  deployment = await deployCity(provider, chain.chainId, DEPLOYER, founding);
  manifest = await manifestOf(provider, chain.chainId, DEPLOYER, founding);
  holders = Object.fromEntries(ROLES.map((role) => [role, [as(HOLDER[role]).address]])) as Record<RoleName, Hex[]>;
}, 240_000);
afterAll(async () => {
  provider?.destroy();
  await chain?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("is refused whole while a role would be held by nobody, by the founder or by what is no account", async () => {
  await expect(hand({ ...holders, OFFICER: [] })).rejects.toThrow(/name who shall hold OFFICER/);
  await expect(hand({ ...holders, MINTER: [deployment.deployer] })).rejects.toThrow(/MINTER can't stay with/);
  await expect(hand({ ...holders, ADMIN: ["0x12"] })).rejects.toThrow(/0x12, named for ADMIN, is no address/);
  expect(isBeingFounded(manifest.access, manifest.deployer)).toBe(true);
  expect(await checkManifest(provider, manifest)).toEqual([]);
}, 60_000);

test("each role has its holders with the delays of the table, and the founder has none", async () => {
  // As if an earlier one had been cut off after a grant, of another delay.
  await as(0xd0d3).transact({
    to: deployment.addresses.AccessManager,
    data: dataOf("AccessManager", "grantRole", roles.roles.GOVERNOR, holders.GOVERNOR[0], 0),
  });
  await hand(holders);
  manifest = { ...manifest, access: await readAccess(provider, deployment.addresses) };
  expect(isBeingFounded(manifest.access, manifest.deployer)).toBe(false);
  expect(Object.fromEntries(manifest.access.roles.map(({ name, members }) => [name, members]))).toEqual(
    Object.fromEntries(ROLES.map((role) => [role, [{ account: holders[role][0], delay: roles.delays[role] }]])),
  );
  expect(await checkManifest(provider, manifest)).toEqual([]);
  await expect(hand(holders)).rejects.toThrow(/has handed over before/);
  // A city that comes up again finds nothing to do.
  const before = await as(0xd0d3).nonce();
  await deployCity(provider, chain.chainId, DEPLOYER, founding);
  expect(await as(0xd0d3).nonce()).toBe(before);
}, 120_000);

test("a governor's act is seen for as long as its delay, a guardian's is at once, the founder's is refused", async () => {
  const act = ["setModule", encodeBytes32String("Escrow"), deployment.addresses.Marketplace, 2] as const;
  expect(await refusal(call(HOLDER.GOVERNOR, "Directory", ...act))).toBe("AccessManagerNotScheduled");
  expect(await refusal(call(0xd0d3, "Directory", ...act))).toBe("AccessManagedUnauthorized");
  await call(HOLDER.GUARDIAN, "Escrow", "pause");
  const { Directory, Escrow } = contractsAt(deployment.addresses, provider);
  expect(await Escrow.paused()).toBe(true);
  const scheduled = [deployment.addresses.Directory, dataOf("Directory", ...act)] as const;
  await call(HOLDER.GOVERNOR, "AccessManager", "schedule", ...scheduled, 0);
  expect(await refusal(call(HOLDER.GOVERNOR, "AccessManager", "execute", ...scheduled))).toBe("AccessManagerNotReady");
  await pass(roles.delays.GOVERNOR);
  await call(HOLDER.GOVERNOR, "AccessManager", "execute", ...scheduled);
  expect((await Directory.module(encodeBytes32String("Escrow"))).version).toBe(2n);
}, 120_000);

test("who holds a role with less delay than the table has is named", async () => {
  const grant = [
    deployment.addresses.AccessManager,
    dataOf("AccessManager", "grantRole", roles.roles.GOVERNOR, as(96).address, 60),
  ] as const;
  await call(HOLDER.ADMIN, "AccessManager", "schedule", ...grant, 0);
  await pass(roles.delays.ADMIN);
  await call(HOLDER.ADMIN, "AccessManager", "execute", ...grant);
  expect(await checkManifest(provider, manifest)).toContainEqual(
    expect.objectContaining({ where: "access.roles.GOVERNOR 1.delay", expected: 172_800, found: 60 }),
  );
}, 120_000);
