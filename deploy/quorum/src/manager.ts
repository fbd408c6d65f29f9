import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { identityKey, KeyRing, makeKeys, partyEntry } from "@msec/privacy";
import { writeJson } from "@msec/service";
import { managerUrl, type NetworkFolder, type NetworkPlan, type NodePlan } from "./network.ts";
import { answering, type Running } from "./node.ts";

// The privacy managers of a network: the project's own, which no Tessera can exchange payloads with.

type Ports = NonNullable<NodePlan["manager"]>;

const KEY = "main";
const MAIN = fileURLToPath(new URL("../../../oracles/privacy/src/main.ts", import.meta.url));
/** Compiled code of every process: a node ends when its manager takes five seconds to come back. */
const NODE_COMPILE_CACHE = fileURLToPath(new URL("../../../node_modules/.cache/msec", import.meta.url));

/** Makes the keys and the configuration of each manager, and the list by which they know one another. */
export function writeManagers(folder: NetworkFolder, plan: NetworkPlan): void {
  const members = plan.nodes.flatMap(({ name, manager }) => (manager ? [{ name, manager }] : []));
  const entries = members.map(({ name, manager }) => {
    const dataDir = folder.manager(name);
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    makeKeys(dataDir, [KEY]);
    const url = `https://127.0.0.1:${manager.p2p}`;
    writeJson(folder.managerConfig(name), {
      name,
      dataDir,
      // Replaced by DATABASE_URL wherever `network up` starts it.
      databaseUrl: "postgres://127.0.0.1/privacy",
      partyList: folder.parties,
      keys: [KEY],
      q2t: { port: manager.q2t },
      thirdParty: { port: manager.thirdParty },
      p2p: { port: manager.p2p, url },
      port: manager.health,
    });
    return partyEntry(name, url, identityKey(dataDir), KeyRing.open(dataDir, [KEY]).publicKeys);
  });
  if (entries.length > 0) writeJson(folder.parties, entries);
}

/** Starts a node's manager and waits until it answers. */
export async function startManager(folder: NetworkFolder, one: NodePlan, databaseUrl: string): Promise<Running> {
  const ports = one.manager as Ports;
  const file = `${folder.manager(one.name)}/manager.log`;
  const log = openSync(file, "a", 0o600);
  try {
    const args = ["--disable-warning=ExperimentalWarning", MAIN, folder.managerConfig(one.name)];
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", log, log],
      detached: true,
      env: { ...process.env, NODE_COMPILE_CACHE, DATABASE_URL: databaseUrl },
    });
    const answers = () => fetch(`${managerUrl(ports)}/upcheck`, { signal: AbortSignal.timeout(1000) });
    return await answering(`the privacy manager of ${one.name}`, child, file, answers);
  } finally {
    closeSync(log);
  }
}
