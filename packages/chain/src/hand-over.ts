import { type Hex } from "@msec/core";
import { type Interface, isAddress } from "ethers";
import roles from "../../../contracts/access/roles.json" with { type: "json" };
import { type Addresses, contractsAt } from "./contracts.ts";
import { type ChainProvider } from "./provider.ts";
import { Sender } from "./sender.ts";

export type RoleName = keyof typeof roles.roles;
export const ROLES = Object.keys(roles.roles) as RoleName[];

/** Seconds that whoever holds a role waits between scheduling a call and making it, once a city was handed over; by role id. */
export const delayOf = (roleId: string): number | undefined => {
  const name = ROLES.find((role) => String(roles.roles[role]) === roleId);
  return name && roles.delays[name];
};

/**
 * Ends a city's founding: each role goes to those who shall hold it, with the delay of contracts/access/roles.json, and the
 * account that deployed keeps none. Goes on where an earlier call was cut off, since the right to grant goes last.
 * @throws Before anything is sent, if a role would be held by nobody or by the deployer.
 */
export async function handOver(
  provider: ChainProvider,
  chainId: number,
  deployerKey: Hex,
  addresses: Addresses,
  holders: Record<RoleName, Hex[]>,
): Promise<void> {
  const sender = new Sender(deployerKey, provider, chainId);
  for (const role of ROLES) {
    if ((holders[role] ?? []).length === 0) throw new Error(`name who shall hold ${role}: nobody would`);
    for (const account of holders[role]) {
      if (!isAddress(account)) throw new Error(`${String(account)}, named for ${role}, is no address`);
      if (account.toLowerCase() === sender.address)
        throw new Error(`${role} can't stay with ${account}: its key founded the city and lies in the city's folder`);
    }
  }
  const { AccessManager } = contractsAt(addresses, provider);
  const holds = async (role: RoleName) => (await AccessManager.hasRole(roles.roles[role], sender.address)).isMember;
  if (!(await holds("ADMIN"))) throw new Error(`${sender.address} has handed over before: it grants no roles any more`);
  const send = (method: string, ...values: unknown[]) =>
    sender.transact({
      to: addresses.AccessManager,
      data: (AccessManager.interface as Interface).encodeFunctionData(method, values),
    });
  for (const role of ROLES)
    for (const account of holders[role]) {
      const { since, currentDelay } = await AccessManager.getAccess(roles.roles[role], account);
      if (since === 0n || Number(currentDelay) !== roles.delays[role])
        await send("grantRole", roles.roles[role], account, roles.delays[role]);
    }
  for (const role of [...ROLES.filter((name) => name !== "ADMIN"), "ADMIN" as const])
    if (await holds(role)) await send("renounceRole", roles.roles[role], sender.address);
}
