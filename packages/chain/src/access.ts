import { type Hex } from "@msec/core";
import { decodeBytes32String, type JsonRpcProvider } from "ethers";
import roles from "../../../contracts/access/roles.json" with { type: "json" };
import { atBlock, type Block } from "./at-block.ts";
import { type Addresses, type ContractName, contractsAt } from "./contracts.ts";

/** Who may do what now, and what is named and paused. All of it read from the chain, the history from its events. */
export interface AccessState {
  /** Every role that the table knows, that somebody holds, or whose settings were changed; by id. */
  roles: {
    id: string;
    name: string;
    admin: string;
    guardian: string;
    /** Seconds between granting and holding. */
    grantDelay: number;
    /** `delay`: seconds between scheduling and executing. */
    members: { account: Hex; delay: number }[];
  }[];
  /** Every function that was ever given to a role and is not the admin's. */
  functions: { contract: string; selector: string; role: string }[];
  /** Contracts whose functions are closed by the manager, or whose settings have a delay. */
  targets: { contract: string; closed: boolean; adminDelay: number }[];
  modules: { name: string; address: Hex; version: number; codehash: Hex }[];
  /** null where a contract does not answer. */
  paused: Record<string, boolean | null>;
}

const lower = (text: string) => text.toLowerCase() as Hex;

export async function readAccess(
  provider: JsonRpcProvider,
  addresses: Addresses,
  block: Block = "latest",
): Promise<AccessState> {
  const contracts = contractsAt(addresses, atBlock(provider, block));
  const { AccessManager: manager, Directory } = contracts;
  const named = new Map(Object.entries(addresses).map(([name, at]) => [lower(at), name]));
  const nameOf = (at: string) => named.get(lower(at)) ?? lower(at);
  const logs = await manager.queryFilter("*" as never, 0, block);
  const events = logs.flatMap((log) => manager.interface.parseLog(log) ?? []);
  const of = (...names: string[]) => events.filter((event) => names.includes(event.name));

  const roleNames = new Map(Object.entries(roles.roles).map(([name, id]) => [BigInt(id), name]));
  roleNames.set(0n, "ADMIN");
  const ids = new Set<bigint>(roleNames.keys());
  for (const event of of(
    "RoleGranted",
    "RoleAdminChanged",
    "RoleGuardianChanged",
    "RoleGrantDelayChanged",
    "TargetFunctionRoleUpdated",
  ))
    ids.add(event.args.roleId as bigint);
  const state: AccessState = { roles: [], functions: [], targets: [], modules: [], paused: {} };
  // What is asked of each is asked at once.
  const ordered = [...ids].sort((a, b) => (a < b ? -1 : 1));
  const settings = await Promise.all(
    ordered.map((id) => {
      const granted = of("RoleGranted").filter((event) => event.args.roleId === id);
      const accounts = [...new Set(granted.map((event) => lower(event.args.account as string)))].sort();
      return Promise.all([
        manager.getRoleAdmin(id),
        manager.getRoleGuardian(id),
        manager.getRoleGrantDelay(id),
        Promise.all(
          accounts.map(async (account) => {
            const [since, delay] = await manager.getAccess(id, account);
            return { account, since, delay: Number(delay) };
          }),
        ),
      ]);
    }),
  );
  for (const [i, id] of ordered.entries()) {
    const [admin, guardian, grantDelay, accounts] = settings[i] as (typeof settings)[number];
    const role = {
      id: String(id),
      name: roleNames.get(id) ?? "unknown",
      admin: String(admin),
      guardian: String(guardian),
      grantDelay: Number(grantDelay),
      // A grant that waits for its delay counts: it will hold.
      members: accounts.flatMap(({ account, since, delay }) => (since === 0n ? [] : [{ account, delay }])),
    };
    const untouched = role.admin === "0" && role.guardian === "0" && role.grantDelay === 0 && role.members.length === 0;
    if (roleNames.has(id) || !untouched) state.roles.push(role);
  }

  const functions = new Map<string, { target: string; selector: string }>();
  for (const { args } of of("TargetFunctionRoleUpdated"))
    functions.set(`${String(args.target)}${String(args.selector)}`, {
      target: args.target as string,
      selector: args.selector as string,
    });
  const restricted = [...functions.values()];
  const given = await Promise.all(
    restricted.map(({ target, selector }) => manager.getTargetFunctionRole(target, selector)),
  );
  for (const [i, { target, selector }] of restricted.entries()) {
    const role = given[i] ?? 0n;
    if (role !== 0n) state.functions.push({ contract: nameOf(target), selector, role: String(role) });
  }
  state.functions.sort((a, b) => (a.contract + a.selector < b.contract + b.selector ? -1 : 1));

  const targets = new Set(of("TargetClosed", "TargetAdminDelayUpdated").map((event) => event.args.target as string));
  for (const target of targets) {
    const closed = await manager.isTargetClosed(target);
    const adminDelay = Number(await manager.getTargetAdminDelay(target));
    if (closed || adminDelay !== 0) state.targets.push({ contract: nameOf(target), closed, adminDelay });
  }
  state.targets.sort((a, b) => (a.contract < b.contract ? -1 : 1));

  const moved = await Directory.queryFilter(Directory.filters.ModuleSet(), 0, block);
  const names = [...new Set(moved.map((event) => event.args.name))].sort();
  const modules = await Promise.all(names.map((name) => Directory.module(name)));
  for (const [i, name] of names.entries()) {
    const { module, version, codehash } = modules[i] as (typeof modules)[number];
    state.modules.push({
      name: decodeBytes32String(name),
      address: lower(module),
      version: Number(version),
      codehash: codehash as Hex,
    });
  }
  for (const name of Object.keys(addresses) as ContractName[]) {
    const contract = contracts[name];
    if (contract.interface.getFunction("paused" as never) !== null)
      state.paused[name] = await (contract as unknown as { paused(): Promise<boolean> }).paused().catch(() => null);
  }
  return state;
}
