import { createHash } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  createReadStream,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { addressOfKey } from "@msec/core";
import { dumpPayloads, loadPayloads } from "@msec/privacy";
import { putPrivate, readJson, step, writeJson } from "@msec/service";
import { z } from "zod";
import { writePeers } from "./init.ts";
import { checkParties, withDatabase } from "./manager.ts";
import { NetworkFolder, type NetworkPlan, type NodePlan, openNodeKey, parsePlan, readPlan } from "./network.ts";
import { NetworkProblem } from "./problem.ts";
import { runningProcesses } from "./run.ts";
import { writeUnits } from "./units.ts";

// What an organisation needs to come back: a folder of files with a list of their digests, written last. Keys stay sealed; the
// wrapping keys that open them go into a file of their own, for another medium. Blocks come back from the other nodes.

const FORMAT = "msec.network-backup/1";
const WRAPPING_FORMAT = "msec.wrapping-keys/1";
const MANIFEST = "manifest.json";
const PAYLOADS = "payloads.jsonl";
const ROOT_FILES = ["network.json", "genesis.json", "parties.json"];
const PEER_FILES = ["data/static-nodes.json", "data/permissioned-nodes.json"];
const CHAIN_DATA = "data/geth/chaindata";
const WRAPPING_KEY = "wrapping.key";
/** What a node and its manager keep besides logs, blocks and the keys that open the others. */
const KEPT = /\.(sealed|json|toml)$/;

const digest = z.string().regex(/^[0-9a-f]{64}$/);
/** Below the folder: no part is hidden, or leads upwards. */
const path = z.string().regex(/^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)*$/);
const manifest = z.strictObject({
  format: z.literal(FORMAT),
  time: z.iso.datetime(),
  chainId: z.int(),
  nodes: z.array(z.string().regex(/^node-\d+$/)).min(1),
  files: z.array(z.strictObject({ path, bytes: z.int().nonnegative(), sha256: digest })),
});
const wrappingKeys = z.strictObject({
  format: z.literal(WRAPPING_FORMAT),
  /** Base64 of each key, by the folder that it opens. */
  keys: z.record(path, z.base64()),
});

export type BackupManifest = z.infer<typeof manifest>;

export interface BackupOptions {
  /** Which nodes, all if left out. */
  nodes?: string[];
  /** New file for the keys that open the backup's; they are the same in every backup. */
  wrappingOut?: string;
  /** Takes the blocks as well, of nodes that do not run. */
  chainData: boolean;
}

/** Writes a backup into a new folder. The network may be up: databases are taken as they are at one moment. */
export async function backupNetwork(root: string, out: string, options: BackupOptions): Promise<BackupManifest> {
  const folder = new NetworkFolder(root);
  const plan = readPlan(folder);
  const nodes = chosen(plan, options.nodes);
  const target = resolve(out);
  for (const taken of [target, options.wrappingOut ?? []].flat())
    if (existsSync(taken)) throw new NetworkProblem(`${taken} is there already: a backup is never written over`);
  const running = runningProcesses(folder);
  const busy = nodes.find(({ name }) => options.chainData && running[name] !== undefined);
  if (busy) throw new NetworkProblem(`${busy.name} writes its blocks now: stop it, or leave the chain data out`);

  const stage = `${target}.partial`;
  rmSync(stage, { recursive: true, force: true });
  mkdirSync(stage, { recursive: true, mode: 0o700 });
  const files: BackupManifest["files"] = [];
  const note = async (name: string) => {
    sync(join(stage, name));
    files.push({ path: name, bytes: statSync(join(stage, name)).size, sha256: await sha256(join(stage, name)) });
  };
  const take = async (name: string) => {
    mkdirSync(dirname(join(stage, name)), { recursive: true, mode: 0o700 });
    copyFileSync(join(folder.root, name), join(stage, name));
    await note(name);
  };
  for (const name of ROOT_FILES.filter((file) => existsSync(join(folder.root, file)))) await take(name);
  for (const one of nodes) {
    openNodeKey(folder, one.name);
    for (const name of filesOf(folder, one, options.chainData)) await take(name);
    if (!one.manager) continue;
    const file = join(stage, "nodes", one.name, PAYLOADS);
    await withDatabase(folder, databaseUrlOf(folder, one), one.name, (url) => dumpPayloads(url, file));
    await note(join("nodes", one.name, PAYLOADS));
  }
  const written: BackupManifest = {
    format: FORMAT,
    time: new Date().toISOString(),
    chainId: plan.chainId,
    nodes: nodes.map(({ name }) => name),
    files,
  };
  writeJson(join(stage, MANIFEST), written);
  sync(join(stage, MANIFEST));
  step("backup-written");
  renameSync(stage, target);
  sync(dirname(target));
  if (options.wrappingOut)
    writeJson(options.wrappingOut, {
      format: WRAPPING_FORMAT,
      keys: Object.fromEntries(
        nodes
          .flatMap(sealedFolders)
          .map((name) => [name, readFileSync(join(folder.root, name, WRAPPING_KEY)).toString("base64")]),
      ),
    });
  return written;
}

/**
 * Puts nodes of a backup back: into a folder that holds no network or, node by node, into one that lost them. Everything is
 * checked first, keys by opening them; what is there is never replaced, and a restore that was cut off left nothing but
 * a folder that the next one removes.
 */
export async function restoreNetwork(
  root: string,
  from: string,
  wrapping: string,
  only?: string[],
): Promise<NodePlan[]> {
  const folder = new NetworkFolder(root);
  const source = resolve(from);
  const { nodes: held, files } = readManifest(source);
  const plan = parsePlan(join(source, "network.json"));
  const nodes = chosen(plan, only ?? held);
  const missing = nodes.find(({ name }) => !held.includes(name));
  if (missing) throw new NetworkProblem(`${missing.name} is not in the backup, which holds ${held.join(", ")}`);
  const present = existsSync(folder.plan) ? readPlan(folder) : undefined;
  if (present) refuseOthers(folder, source, present, nodes);
  else if (existsSync(folder.root) && readdirSync(folder.root).length > 0)
    throw new NetworkProblem(`${folder.root} is not empty and holds no network: choose another folder`);

  const wanted = files.filter(
    ({ path: name }) => ROOT_FILES.includes(name) || nodes.some((one) => name.startsWith(`nodes/${one.name}/`)),
  );
  const stage = new NetworkFolder(present ? join(folder.root, ".restoring") : `${folder.root}.restoring`);
  rmSync(stage.root, { recursive: true, force: true });
  mkdirSync(stage.root, { recursive: true, mode: 0o700 });
  try {
    for (const { path: name, sha256: expected } of wanted) {
      const to = join(stage.root, name);
      mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
      if (!existsSync(join(source, name))) throw new NetworkProblem(`the backup lacks ${name}: take another`);
      copyFileSync(join(source, name), to);
      if ((await sha256(to)) !== expected) throw new NetworkProblem(`${name} of the backup is damaged: take another`);
      sync(to);
    }
    putWrappingKeys(stage, nodes, wrapping);
    for (const one of nodes) {
      await checkKeys(stage, one);
      if (present) writePeers(stage, present, one);
      if (existsSync(stage.keeperConfig(one.name)))
        writeJson(stage.keeperConfig(one.name), {
          ...readJson<object>(stage.keeperConfig(one.name)),
          network: folder.root,
        });
      if (one.manager)
        writeJson(stage.managerConfig(one.name), {
          ...readJson<object>(stage.managerConfig(one.name)),
          dataDir: folder.manager(one.name),
          partyList: folder.parties,
        });
    }
    for (const one of nodes.filter(({ manager }) => manager)) {
      const dump = join(stage.node(one.name), PAYLOADS);
      const url = databaseUrlOf(stage, one);
      await withDatabase(present ? folder : stage, url, one.name, (database) => loadPayloads(database, dump));
      rmSync(dump);
    }
    step("restore-checked");
    if (present) for (const one of nodes) renameSync(stage.node(one.name), folder.node(one.name));
    else renameSync(stage.root, folder.root);
    writeUnits(folder, present ?? plan);
  } finally {
    rmSync(stage.root, { recursive: true, force: true });
  }
  return nodes;
}

function chosen(plan: NetworkPlan, names: string[] | undefined): NodePlan[] {
  const unknown = names?.find((name) => !plan.nodes.some((one) => one.name === name));
  if (unknown !== undefined)
    throw new NetworkProblem(`there is no ${unknown}: the nodes are ${plan.nodes.map(({ name }) => name).join(", ")}`);
  return plan.nodes.filter(({ name }) => names?.includes(name) ?? true);
}

function refuseOthers(folder: NetworkFolder, source: string, present: NetworkPlan, nodes: NodePlan[]): void {
  if (!readFileSync(folder.genesis).equals(readFileSync(join(source, "genesis.json"))))
    throw new NetworkProblem(`the backup is of another network than ${folder.root}: its genesis block differs`);
  for (const one of nodes) {
    const now = present.nodes.find(({ name }) => name === one.name);
    if (JSON.stringify(now) !== JSON.stringify(one))
      throw new NetworkProblem(`${one.name} is not what it was in the backup: its key or ports have changed since`);
    if (existsSync(folder.node(one.name)))
      throw new NetworkProblem(
        `${folder.node(one.name)} is there, and nothing is written over: move it away, or name other nodes with --node`,
      );
  }
}

function readManifest(source: string): BackupManifest {
  const file = join(source, MANIFEST);
  if (!existsSync(file)) throw new NetworkProblem(`${source} is no whole backup: it has no ${MANIFEST}`);
  return parsed(manifest, file);
}

/** Folders of a node that have a wrapping key. */
const sealedFolders = (one: NodePlan): string[] => [
  `nodes/${one.name}`,
  ...(one.manager ? [`nodes/${one.name}/manager`] : []),
];

function filesOf(folder: NetworkFolder, one: NodePlan, chainData: boolean): string[] {
  const inside = (name: string, wanted: (file: string) => boolean) =>
    readdirSync(join(folder.root, name), { withFileTypes: true })
      .filter((entry) => entry.isFile() && wanted(entry.name))
      .map((entry) => `${name}/${entry.name}`);
  const blocks = `nodes/${one.name}/${CHAIN_DATA}`;
  return [
    ...sealedFolders(one).flatMap((name) => inside(name, (file) => KEPT.test(file))),
    ...PEER_FILES.map((name) => `nodes/${one.name}/${name}`),
    ...(chainData ? inside(blocks, (file) => file !== "LOCK") : []),
  ];
}

const databaseUrlOf = (folder: NetworkFolder, one: NodePlan): string =>
  (readJson<{ databaseUrl: string }>(folder.managerConfig(one.name)) as { databaseUrl: string }).databaseUrl;

function putWrappingKeys(stage: NetworkFolder, nodes: NodePlan[], file: string): void {
  const { keys } = parsed(wrappingKeys, file);
  for (const name of nodes.flatMap(sealedFolders)) {
    const key = keys[name];
    if (key === undefined) throw new NetworkProblem(`${file} has no key for ${name}: it is of another backup`);
    putPrivate(join(stage.root, name, WRAPPING_KEY), Buffer.from(key, "base64"));
  }
}

/** Opens every key of a node: each is the one that the network knows it by. */
async function checkKeys(stage: NetworkFolder, one: NodePlan): Promise<void> {
  try {
    if (addressOfKey(openNodeKey(stage, one.name)) !== one.address)
      throw new Error(`its key is not that of ${one.address}`);
    if (one.manager) checkParties(stage, one.name, stage.parties);
  } catch (error) {
    throw new NetworkProblem(`${one.name} of the backup is not usable: ${(error as Error).message}`);
  }
}

function parsed<T extends z.ZodType>(schema: T, file: string): z.infer<T> {
  try {
    return schema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new NetworkProblem(`${file} cannot be used: ${why}`);
  }
}

async function sha256(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}

/** A file or the names in a folder, on disk. */
function sync(name: string): void {
  const fd = openSync(name, "r");
  fsyncSync(fd);
  closeSync(fd);
}
