import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { identityKey, KeyRing, makeKeys, Parties, type Party, partyEntry } from "@msec/privacy";
import { startPostgres } from "@msec/companion-db";
import { readJson, writeJson } from "@msec/service";
import { managerUrl, NetworkFolder, type NetworkPlan, type NodePlan, readPlan } from "./network.ts";
import { type Running } from "./node.ts";
import { NetworkProblem } from "./problem.ts";
import { programOf, startProgram } from "./program.ts";
import { runningProcesses } from "./run.ts";

// The privacy managers of a network: the project's own, which no Tessera can exchange payloads with.

type Ports = NonNullable<NodePlan["manager"]>;

const KEY = "main";
/** Stands for a database of the server that `network up` starts, and hands over in DATABASE_URL. */
export const OWN_DATABASE = "postgres://127.0.0.1/privacy";
/** Name of a manager's database on that server. */
export const databaseName = (node: string): string => node.replace("-", "_");
const RECOVER = fileURLToPath(new URL("../../../oracles/privacy/src/recover.ts", import.meta.url));
export const MANAGER = fileURLToPath(new URL("../../../oracles/privacy/src/main.ts", import.meta.url));

/** Makes the keys and the configuration of each manager, and the list by which they know one another. */
export function writeManagers(folder: NetworkFolder, plan: NetworkPlan): void {
  const entries = plan.nodes.flatMap((one) => (one.manager ? [writeManager(folder, one, one.manager)] : []));
  if (entries.length > 0) writeJson(folder.parties, entries);
}

/** @returns The entry by which the others know it. */
export function writeManager(folder: NetworkFolder, { name, host }: NodePlan, manager: Ports): Party {
  const dataDir = folder.manager(name);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  makeKeys(dataDir, [KEY]);
  const url = `https://${host}:${manager.p2p}`;
  writeJson(folder.managerConfig(name), {
    name,
    dataDir,
    databaseUrl: OWN_DATABASE,
    partyList: folder.parties,
    keys: [KEY],
    q2t: { port: manager.q2t },
    thirdParty: { port: manager.thirdParty },
    p2p: { host, port: manager.p2p, url },
    port: manager.health,
  });
  return partyEntry(name, url, identityKey(dataDir), KeyRing.open(dataDir, [KEY]).publicKeys);
}

/** Reads a party list as a manager of this folder does at its start. Throws what the manager would end with. */
export function checkParties(folder: NetworkFolder, name: string, file: string): void {
  const { keys } = readJson<{ keys: string[] }>(folder.managerConfig(name)) as { keys: string[] };
  Parties.read(file, identityKey(folder.manager(name)), KeyRing.open(folder.manager(name), keys).publicKeys);
}

/** Starts a node's manager and waits until it answers. */
export const startManager = (folder: NetworkFolder, one: NodePlan, databaseUrl: string): Promise<Running> =>
  startProgram(
    `the privacy manager of ${one.name}`,
    programOf("manager", MANAGER, folder.managerConfig(one.name)),
    folder.managerLog(one.name),
    `${managerUrl(one.manager as Ports)}/upcheck`,
    { DATABASE_URL: databaseUrl },
  );

/** Does something with the database that a manager's configuration names; the network's own server runs for as long. */
export async function withDatabase<T>(
  folder: NetworkFolder,
  databaseUrl: string,
  name: string,
  work: (url: string) => Promise<T>,
): Promise<T> {
  if (databaseUrl !== OWN_DATABASE) return work(databaseUrl);
  const server = await startPostgres(folder.postgres);
  try {
    return await work(await server.database(databaseName(name)));
  } finally {
    if (Object.keys(runningProcesses(folder)).length === 0) await server.stop();
  }
}

/** Has the other managers give back what they hold of this one's payloads, into its own database. */
export async function recoverPayloads(root: string, name: string, progress: (line: string) => void): Promise<void> {
  const folder = new NetworkFolder(root);
  const one = readPlan(folder).nodes.find((node) => node.name === name);
  if (!one?.manager) throw new NetworkProblem(`${name} has no privacy manager of this project's`);
  const { databaseUrl } = readJson<{ databaseUrl: string }>(folder.managerConfig(name)) as { databaseUrl: string };
  await withDatabase(folder, databaseUrl, name, async (url) => {
    const child = spawn(process.execPath, programOf("manager", RECOVER, folder.managerConfig(name)), {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, DATABASE_URL: url },
    });
    let errors = "";
    child.stderr.on("data", (part: Buffer) => (errors += part.toString()));
    createInterface({ input: child.stdout }).on("line", progress);
    const code = await new Promise((done, failed) => child.on("error", failed).on("close", done));
    if (code !== 0) throw new NetworkProblem(errors.trim());
  });
}
