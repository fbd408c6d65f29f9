import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Hex } from "@msec/core";
import { type Party, partySchema } from "@msec/privacy";
import { readJson, writeJson } from "@msec/service";
import { computeAddress } from "ethers";
import { z } from "zod";
import { LOOPBACK, type NewNode, nextNode, writeNode, writePeers, writePlan } from "./init.ts";
import { askAsOperator } from "./ipc.ts";
import { checkParties, writeManager } from "./manager.ts";
import { enodeOf, NetworkFolder, networkPlan, type NetworkPlan, type NodePlan, nodePlan, readPlan } from "./network.ts";
import { hasOnePlace } from "./order.ts";
import { NetworkProblem } from "./problem.ts";
import { managerOf, runningNodes, runningProcesses } from "./run.ts";
import { writeUnits } from "./units.ts";

// A node of another organisation, on a machine of its own: it is made from an invitation, and each other operator takes in its card.
// Neither holds a secret.

const invitation = z.strictObject({ network: networkPlan, genesis: z.looseObject({}), parties: z.array(partySchema) });
const card = z.strictObject({ node: nodePlan, party: partySchema.optional() });

/** What a newcomer needs to know of a network. */
export type Invitation = z.infer<typeof invitation>;
/** A node, and the party of its privacy manager, as the other operators take them in. */
export type NodeCard = z.infer<typeof card>;

const RELOAD_MS = 15_000;

/** The invitation to a network, as this folder knows it. */
export function invite(root: string): Invitation {
  const folder = new NetworkFolder(root);
  return {
    network: readPlan(folder),
    genesis: readJson<Invitation["genesis"]>(folder.genesis) as Invitation["genesis"],
    parties: readJson<Party[]>(folder.parties) ?? [],
  };
}

/** Makes one more node of a network, in a folder that holds none. It connects to the others once they have taken in its card. */
export async function joinNetwork(root: string, invitationFile: string, given: NewNode): Promise<NodeCard> {
  const folder = new NetworkFolder(root);
  if (existsSync(folder.plan))
    throw new NetworkProblem(`there is a network in ${folder.root} already: choose another folder with --dir`);
  const { network, genesis, parties } = read(
    invitation,
    invitationFile,
    "invitation, as msec network invite writes it",
  );
  refuseUnreachable(given.host, network.nodes);
  refuseOtherKind(given.member === true, given.tessera !== undefined, network.nodes);
  const node = await nextNode(folder, network, given);
  const plan = { ...network, nodes: [...network.nodes, node] };
  writeJson(folder.genesis, genesis);
  writeNode(folder, plan, node);
  const party = node.manager && writeManager(folder, node, node.manager);
  if (party) writeJson(folder.parties, ordered([...parties, party]));
  const own = { node, ...(party ? { party } : {}) };
  writeJson(folder.card, own);
  writePlan(folder, plan);
  writeUnits(folder, plan);
  return own;
}

export interface Admitted {
  node: NodePlan;
  /** Nodes here whose managers run and do not know the new party yet, since somebody else starts them. */
  unaware: string[];
}

/**
 * Takes in a node of another organisation: the plan has it, the nodes here let it in (where the network follows a Directory: once its
 * account is in there), the managers here know its party. Done again it changes nothing; a newer card of the same node replaces it.
 */
export async function admitNode(root: string, cardFile: string): Promise<Admitted> {
  const folder = new NetworkFolder(root);
  const before = readPlan(folder);
  const { node, party } = read(card, cardFile, "card of a node, as msec network join writes it");
  const others = before.nodes.filter(({ publicKey }) => publicKey !== node.publicKey);
  refuseClash(node, others);
  refuseUnreachable(node.host, others);
  refuseOtherKind(node.manager !== undefined, node.tessera !== undefined, others);
  if ((node.manager && party?.name) !== (node.manager && node.name))
    throw new NetworkProblem(
      `${cardFile} has no entry for the privacy manager of ${node.name}: ask for the whole card`,
    );
  const plan = { ...before, nodes: ordered([...others, node]) };
  if (party) putParty(folder, party, others);
  writePlan(folder, plan);
  writeUnits(folder, plan);
  if (!plan.directory) await letIn(folder, plan, node);
  return { node, unaware: party ? await reloadManagers(folder, others) : [] };
}

async function letIn(folder: NetworkFolder, plan: NetworkPlan, added: NodePlan): Promise<void> {
  const running = runningNodes(folder);
  for (const one of plan.nodes.filter(({ name }) => name !== added.name && existsSync(folder.node(name)))) {
    writePeers(folder, plan, one);
    if (running[one.name] !== undefined) await askAsOperator(folder, one.name, "admin_addPeer", [enodeOf(added)]);
  }
}

/** The list of all parties is the same file everywhere, so that organisations can compare its digest. */
const ordered = <T extends { name: string }>(all: T[]): T[] =>
  all.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));

/** Adds a party to the list, unless a manager here would not start with it. */
function putParty(folder: NetworkFolder, party: Party, others: readonly NodePlan[]): void {
  const next = `${folder.parties}.next`;
  const parties = readJson<Party[]>(folder.parties) ?? [];
  writeJson(next, ordered([...parties.filter(({ name }) => name !== party.name), party]));
  try {
    for (const { name } of managersHere(folder, others)) checkParties(folder, name, next);
  } catch (error) {
    rmSync(next);
    throw new NetworkProblem(`the party of the card is not usable: ${(error as Error).message.replace(next, "")}`);
  }
  renameSync(next, folder.parties);
}

const managersHere = (folder: NetworkFolder, nodes: readonly NodePlan[]) =>
  nodes.flatMap(({ name, manager }) =>
    manager && existsSync(folder.managerConfig(name)) ? [{ name, health: manager.health }] : [],
  );

/** Has the managers that run here read the list of parties anew. @returns The nodes of those that did not. */
async function reloadManagers(folder: NetworkFolder, nodes: readonly NodePlan[]): Promise<string[]> {
  const digest = createHash("sha256").update(readFileSync(folder.parties)).digest("hex");
  const knows = async (health: number): Promise<boolean | undefined> => {
    const signal = AbortSignal.timeout(3000);
    const answer = await fetch(`http://127.0.0.1:${health}/status`, { signal }).catch(() => undefined);
    return answer?.ok ? ((await answer.json()) as { partyList: string }).partyList === digest : undefined;
  };
  const running = runningProcesses(folder);
  const unaware = [];
  for (const { name, health } of managersHere(folder, nodes)) {
    const pid = running[managerOf(name)];
    if ((await knows(health)) !== false) continue;
    if (pid !== undefined) process.kill(pid, "SIGHUP");
    const end = Date.now() + (pid === undefined ? 0 : RELOAD_MS);
    let known: boolean | undefined;
    while ((known = await knows(health)) !== true && Date.now() < end) await sleep(100);
    if (!known) unaware.push(name);
  }
  return unaware;
}

function refuseClash(node: NodePlan, others: readonly NodePlan[]): void {
  const again = "it has to join again, in a new folder and with an invitation that is made now";
  if (computeAddress(`0x04${node.publicKey}`).toLowerCase() !== node.address)
    throw new NetworkProblem(`the card of ${node.name} names the address of another key: ask for it again`);
  if (others.some(({ name }) => name === node.name))
    throw new NetworkProblem(`another node is named ${node.name} here: ${again}`);
  const neighbour = others.find(({ host, p2p }) => host === node.host && p2p === node.p2p);
  if (neighbour) throw new NetworkProblem(`${neighbour.name} is at ${node.host}:${node.p2p} already: ${again}`);
  const addresses: Hex[] = others.map(({ address }) => address);
  if (!hasOnePlace(node.address, addresses))
    throw new NetworkProblem(`nodes would not agree on whose turn it is beside ${node.address}: ${again}`);
}

/** On one machine all nodes are on loopback, on several none is. */
function refuseUnreachable(host: string, others: readonly NodePlan[]): void {
  const other = others.find((one) => (one.host === LOOPBACK) !== (host === LOOPBACK));
  if (!other) return;
  throw new NetworkProblem(
    host === LOOPBACK
      ? `${other.name} is at ${other.host}, from where nothing on loopback is reached: give this machine's address with --host`
      : `${other.name} is on loopback, where no other machine reaches it: networks of several machines are made by msec network init --hosts`,
  );
}

function refuseOtherKind(ours: boolean, tessera: boolean, others: readonly NodePlan[]): void {
  const other = others.find((one) => (ours && one.tessera) || (tessera && one.manager));
  if (other)
    throw new NetworkProblem(
      `a Tessera and this project's privacy manager can't exchange payloads, and ${other.name} has the other kind`,
    );
}

function read<T extends z.ZodType>(schema: T, file: string, what: string): z.infer<T> {
  try {
    return schema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new NetworkProblem(`${file} is no ${what}: ${why}`);
  }
}
