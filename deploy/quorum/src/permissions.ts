import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Hex } from "@msec/core";
import { writeJson } from "@msec/service";
import { Interface } from "ethers";
import { askAsOperator, validatorsOf } from "./ipc.ts";
import { enodeOf, NetworkFolder, type NodePlan, readPlan } from "./network.ts";
import { ask, askAll } from "./node.ts";

// A node is let in while its account (the address of its node key) is in an organisation of the Directory. So nobody has to
// vouch for an enode: whoever has the key has the account, and the plan says only where the node is.

const DIRECTORY = new Interface(["function organisationOf(address account) view returns (bytes32)"]);
const NONE = `0x${"0".repeat(64)}`;
/** A node whose newest block is older does not know what the Directory says now, and cuts nobody off. */
const FRESH_SECONDS = 60;

/** Who is let in, and who is not in the Directory and stays all the same. */
export interface Admission {
  admitted: NodePlan[];
  /** Validators without whom the chain would stop, and nobody could be put back: they must be voted out first. */
  spared: NodePlan[];
}

/** Of the nodes that are not in the Directory, validators are let go only while two thirds of all validators stay. */
export function admission(
  nodes: readonly NodePlan[],
  isMember: (one: NodePlan) => boolean,
  validators: string[],
): Admission {
  const stay = nodes.filter((one) => isMember(one) && validators.includes(one.address)).length;
  const stops = stay < Math.ceil((2 * validators.length) / 3);
  const isSpared = (one: NodePlan) => !isMember(one) && stops && validators.includes(one.address);
  return { admitted: nodes.filter((one) => isMember(one) || isSpared(one)), spared: nodes.filter(isSpared) };
}

/** Which of these nodes' accounts are in an organisation at a block, as a node says. */
export async function membersAt(
  rpc: string,
  directory: Hex,
  nodes: readonly NodePlan[],
  block: string,
): Promise<Set<string>> {
  const answers = await askAll<string>(
    rpc,
    nodes.map(({ address }) => [
      "eth_call",
      [{ to: directory, data: DIRECTORY.encodeFunctionData("organisationOf", [address]) }, block],
    ]),
  );
  if (answers.includes("0x")) throw new Error(`there is no Directory at ${directory} in block ${block}`);
  return new Set(nodes.filter((_, i) => answers[i] !== NONE).map(({ address }) => address));
}

export interface Kept extends Admission {
  block: number;
  /** Names of nodes that were cut off, and dialled again. */
  removed: string[];
  added: string[];
}

/**
 * Brings the peers of one node in step with the Directory, unless its newest block is the one of which this was done last, or the
 * node is behind.
 */
export async function keepPeers(root: string, name: string, lastBlock?: number): Promise<Kept | "same" | "behind"> {
  const folder = new NetworkFolder(root);
  const { nodes, directory } = readPlan(folder);
  const own = nodes.find((one) => one.name === name);
  if (!directory || !own) throw new Error(`${folder.plan} names no Directory, or no ${name}`);
  const rpc = `http://127.0.0.1:${own.rpc}`;
  const block = await ask<{ number: string; timestamp: string }>(rpc, "eth_getBlockByNumber", ["latest", false]);
  if (Date.now() / 1000 - Number(block.timestamp) > FRESH_SECONDS) return "behind";
  if (Number(block.number) === lastBlock) return "same";
  const members = await membersAt(rpc, directory, nodes, block.number);
  const kept = admission(nodes, (one) => members.has(one.address), await validatorsOf(folder, name));
  writePermissions(folder, own, kept.admitted);

  const peers = await askAsOperator<{ enode: string }[]>(folder, name, "admin_peers");
  const connected = new Set(peers.map(({ enode }) => /^enode:\/\/([0-9a-f]{128})@/.exec(enode)?.[1]));
  const others = nodes.filter((one) => one !== own);
  const removed = others.filter((one) => connected.has(one.publicKey) && !kept.admitted.includes(one));
  const added = others.filter((one) => !connected.has(one.publicKey) && kept.admitted.includes(one));
  for (const one of removed) await askAsOperator(folder, name, "admin_removePeer", [enodeOf(one)]);
  for (const one of added) await askAsOperator(folder, name, "admin_addPeer", [enodeOf(one)]);
  const names = (all: NodePlan[]) => all.map((one) => one.name);
  return { ...kept, block: Number(block.number), removed: names(removed), added: names(added) };
}

/** The node reads permissioned-nodes.json at every connection, static-nodes.json at its start. */
function writePermissions(folder: NetworkFolder, own: NodePlan, admitted: readonly NodePlan[]): void {
  const enodes = [...new Set([...admitted, own])].map(enodeOf);
  for (const file of ["permissioned-nodes.json", "static-nodes.json"]) {
    const path = join(folder.data(own.name), file);
    if (readFileSync(path, "utf8").trim() !== JSON.stringify(enodes, null, 2)) writeJson(path, enodes);
  }
}
