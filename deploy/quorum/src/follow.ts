import { existsSync } from "node:fs";
import { type Hex } from "@msec/core";
import { freePort, writeJson } from "@msec/service";
import { writeKeeper } from "./companions.ts";
import { validatorsOf } from "./ipc.ts";
import { NetworkFolder, type NetworkPlan, readPlan } from "./network.ts";
import { admission, membersAt } from "./permissions.ts";
import { NetworkProblem } from "./problem.ts";
import { writeUnits } from "./units.ts";

/**
 * Has the nodes of a network follow a Directory from now on: notes it in the plan, with a port for the keeper of each. The first
 * node must run, and `others` are ports that somebody else is to have. Refuses a Directory that names too few of the validators.
 */
export async function planToFollow(
  root: string,
  directory: Hex,
  others: ReadonlySet<number> = new Set(),
): Promise<NetworkPlan> {
  const folder = new NetworkFolder(root);
  const plan = readPlan(folder);
  const [asked] = plan.nodes as [NetworkPlan["nodes"][number]];
  const rpc = `http://127.0.0.1:${asked.rpc}`;
  const members = await membersAt(rpc, directory, plan.nodes, "latest");
  const { spared } = admission(plan.nodes, (one) => members.has(one.address), await validatorsOf(folder, asked.name));
  if (spared.length > 0)
    throw new NetworkProblem(
      `the Directory puts too few validators into an organisation; missing are the accounts ${spared.map((one) => `${one.address} (${one.name})`).join(", ")}`,
    );
  const taken = new Set(others);
  const nodes = [];
  for (const one of plan.nodes) {
    const keeper = one.keeper ?? (await freePort(taken));
    taken.add(keeper);
    nodes.push({ ...one, keeper });
  }
  const next = { ...plan, directory, nodes };
  writeJson(folder.plan, next);
  for (const one of next.nodes) if (existsSync(folder.node(one.name))) writeKeeper(folder, one);
  writeUnits(folder, next);
  return next;
}
