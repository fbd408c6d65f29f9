import { setTimeout as sleep } from "node:timers/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { requireBinary } from "./binary.ts";
import { askAsOperator, validatorsOf } from "./ipc.ts";
import { planNextNode } from "./init.ts";
import { enodeOf, NetworkFolder, type NodePlan, readPlan } from "./network.ts";
import { ask } from "./node.ts";
import { membersAt } from "./permissions.ts";
import { NetworkProblem } from "./problem.ts";
import { runningNodes } from "./run.ts";
import { upNetwork } from "./up.ts";

const WAIT_MS = 120_000;
/** With three a network stops when one of them does. */
const FEWEST = 4;

const rpcOf = ({ rpc }: NodePlan) => `http://127.0.0.1:${rpc}`;
const height = async (one: NodePlan) => Number(await ask<string>(rpcOf(one), "eth_blockNumber"));

async function until(holds: () => Promise<boolean>, otherwise: string): Promise<void> {
  for (const end = Date.now() + WAIT_MS; Date.now() < end; await sleep(250)) if (await holds()) return;
  throw new NetworkProblem(otherwise);
}

/** Whether a node was planned and never started. */
const isNew = (folder: NetworkFolder, { name }: NodePlan): boolean => !existsSync(join(folder.data(name), "geth"));

/** The nodes of a network that is up; an error if one of them is not. */
function runningPlan(folder: NetworkFolder): NodePlan[] {
  const nodes = readPlan(folder).nodes.filter((one) => !isNew(folder, one));
  const running = runningNodes(folder);
  const away = nodes.filter(({ name }) => running[name] === undefined);
  if (away.length > 0)
    throw new NetworkProblem(
      `${away.map(({ name }) => name).join(", ")} does not run, and every node must know of the change: msec network up`,
    );
  return nodes;
}

/** How a vote stands: of how many validators it has, and needs, the approval, and whether it is decided. */
export interface Ballot {
  address: string;
  votes: number;
  needed: number;
  decided: boolean;
}

interface Snapshot {
  validators: string[];
  votes: { validator: string; address: string; authorize: boolean }[] | null;
}

/**
 * Casts the vote of those validators that run here, and needs nobody else's node: for operators on machines of their own, each of
 * whom does this once. A vote stands until it is decided; those of this machine that are decided are taken off the list.
 * @param who Name of a node of the plan, or the address of one that is not.
 */
export async function castVote(root: string, who: string, asValidator: boolean): Promise<Ballot> {
  const folder = new NetworkFolder(root);
  const { nodes } = readPlan(folder);
  const address = /^0x[0-9a-fA-F]{40}$/.test(who) ? who.toLowerCase() : nodes.find(({ name }) => name === who)?.address;
  if (!address)
    throw new NetworkProblem(
      `${who} is no address and no node of this plan: ${nodes.map(({ name }) => name).join(", ")}`,
    );
  const running = runningNodes(folder);
  const here = nodes.filter(({ name }) => running[name] !== undefined);
  if (here.length === 0) throw new NetworkProblem("no node runs here that could vote: msec network up");
  const [asked] = here as [NodePlan, ...NodePlan[]];
  const before = await validatorsOf(folder, asked.name);
  const voters = here.filter((one) => before.includes(one.address));
  if (voters.length === 0)
    throw new NetworkProblem(`${here.map(({ name }) => name).join(", ")} is no validator: validators alone vote`);
  if (!asValidator) refuseFewer(before, address, who);
  for (const { name } of voters) {
    const standing = (await askAsOperator<Record<string, boolean>>(folder, name, "istanbul_candidates")) ?? {};
    for (const [candidate, for_] of Object.entries(standing))
      if (before.includes(candidate.toLowerCase()) === for_)
        await askAsOperator(folder, name, "istanbul_discard", [candidate]);
    if (before.includes(address) !== asValidator)
      await askAsOperator(folder, name, "istanbul_propose", [address, asValidator]);
  }
  let ballot: Ballot | undefined;
  const isCast = async () => {
    const { validators, votes } = await askAsOperator<Snapshot>(folder, asked.name, "istanbul_getSnapshot", ["latest"]);
    const cast = (votes ?? [])
      .filter((one) => one.address.toLowerCase() === address && one.authorize === asValidator)
      .map(({ validator }) => validator.toLowerCase());
    const isOne = validators.some((one) => one.toLowerCase() === address);
    const needed = Math.floor(validators.length / 2) + 1;
    ballot = { address, votes: cast.length, needed, decided: isOne === asValidator };
    return ballot.decided || voters.every((one) => cast.includes(one.address));
  };
  // A vote is in the next block that its validator proposes.
  await until(
    isCast,
    `the vote is not in a block within ${WAIT_MS / 1000} s: it stands, and will be in one when the chain makes blocks`,
  );
  const { decided } = ballot as unknown as Ballot;
  if (decided) for (const { name } of voters) await askAsOperator(folder, name, "istanbul_discard", [address]);
  return ballot as unknown as Ballot;
}

function refuseFewer(validators: string[], address: string, who: string): void {
  if (!validators.includes(address)) throw new NetworkProblem(`${who} is no validator`);
  if (validators.length <= FEWEST)
    throw new NetworkProblem(
      `${validators.length - 1} validators would be left, and the chain would stop with the next one that fails: add a node first`,
    );
}

/** Has the validators vote, and waits for the block with which the vote is decided. */
async function vote(folder: NetworkFolder, voters: NodePlan[], address: string, for_: boolean): Promise<string[]> {
  const asked = voters[0] as NodePlan;
  const members = await validatorsOf(folder, asked.name);
  for (const voter of voters.filter((one) => members.includes(one.address)))
    await askAsOperator(folder, voter.name, "istanbul_propose", [address, for_]);
  await until(
    async () => (await validatorsOf(folder, asked.name)).includes(address) === for_,
    `the validators have not decided on ${address} within ${WAIT_MS / 1000} s: does the chain make blocks?`,
  );
  for (const voter of voters) await askAsOperator(folder, voter.name, "istanbul_discard", [address]);
  return validatorsOf(folder, asked.name);
}

/**
 * Adds a node to a network that is up: lets it in everywhere, starts it, waits until it is level, and votes for it. Goes on with
 * one that was planned before: where the network follows a Directory, the new node's account must be put in there between.
 */
export async function addNode(root: string, validator: boolean): Promise<NodePlan> {
  const folder = new NetworkFolder(root);
  requireBinary();
  const others = runningPlan(folder);
  const planned = readPlan(folder).nodes.find((one) => isNew(folder, one));
  const added = planned ?? (await planNextNode(folder, validator));
  const { directory } = readPlan(folder);
  const asked = rpcOf(others[0] as NodePlan);
  if (directory && !(await membersAt(asked, directory, [added], "latest")).has(added.address))
    throw new NetworkProblem(
      `put the account ${added.address} of ${added.name} into its organisation in the Directory, then repeat this`,
    );
  for (const one of others) await askAsOperator(folder, one.name, "admin_addPeer", [enodeOf(added)]);
  await upNetwork(root, () => undefined, added.name);
  await until(
    async () => (await height(added)) >= (await height(others[0] as NodePlan)) - 1,
    `${added.name} does not catch up with the others: see ${folder.log(added.name)}`,
  );
  if (validator) await vote(folder, others, added.address, true);
  return added;
}

/** Votes a validator out; it goes on following. @returns The validators that are left. */
export async function removeValidator(root: string, name: string): Promise<string[]> {
  const folder = new NetworkFolder(root);
  const nodes = readPlan(folder).nodes;
  const leaving = nodes.find((one) => one.name === name);
  if (!leaving)
    throw new NetworkProblem(`there is no ${name}: the nodes are ${nodes.map((one) => one.name).join(", ")}`);
  const running = runningNodes(folder);
  const voters = nodes.filter((one) => one.name !== name && running[one.name] !== undefined);
  if (voters.length === 0) throw new NetworkProblem("no other node runs that could vote: msec network up");
  const members = await validatorsOf(folder, (voters[0] as NodePlan).name);
  refuseFewer(members, leaving.address, name);
  return vote(folder, voters, leaving.address, false);
}
