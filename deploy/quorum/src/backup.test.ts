import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { dumpPayloads, loadPayloads } from "@msec/privacy";
import { readJson } from "@msec/service";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { backupNetwork, restoreNetwork } from "./backup.ts";
import { initNetwork } from "./init.ts";
import { withDatabase } from "./manager.ts";
import { NetworkFolder, type NetworkPlan, openNodeKey } from "./network.ts";

const home = mkdtempSync(join(tmpdir(), "msec-backup-"));
const root = join(home, "network");
const folder = new NetworkFolder(root);
const [out, wrapping] = [join(home, "backup"), join(home, "wrapping.json")];
const payload = {
  ...{ flag: 1, execHash: "", affected: [], mandatory: [], participants: [], boxes: [], waiting: [] },
  body: randomBytes(200).toString("base64"),
  boxes: [{ recipient: "b", box: randomBytes(20).toString("base64") }],
};
let plan: NetworkPlan;
let n = 0;

const put = async (line: string) => {
  const file = join(home, `line-${n++}`);
  writeFileSync(file, line);
  await withDatabase(folder, ownUrl(folder), "node-1", (url) => loadPayloads(url, file));
};
const ownUrl = (of: NetworkFolder) =>
  readJson<{ databaseUrl: string }>(of.managerConfig("node-1"))?.databaseUrl as string;
const payloadsOf = async (of: NetworkFolder) => {
  const file = join(home, `dump-${n++}`);
  await withDatabase(of, ownUrl(of), "node-1", (url) => dumpPayloads(url, file));
  return readFileSync(file, "utf8").trim().split("\n");
};
const filesIn = (name: string) =>
  readdirSync(name, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
const copyOf = (name: string) => {
  const copy = join(home, `copy-${n++}`);
  cpSync(name, copy, { recursive: true });
  return copy;
};

beforeAll(async () => {
  plan = await initNetwork(root, { chainId: 20_261, validators: 4, observers: 0, members: 2, blockSeconds: 1 });
  await put(JSON.stringify(payload));
  // What may be in a folder and is no part of a backup.
  mkdirSync(join(folder.data("node-1"), "geth/chaindata"), { recursive: true });
  writeFileSync(join(folder.data("node-1"), "geth/chaindata/000001.ldb"), "blocks");
  writeFileSync(folder.log("node-1"), "log");
});
afterEach(() => {
  for (const name of [out, wrapping, join(home, "back")]) rmSync(name, { recursive: true, force: true });
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

const back = new NetworkFolder(join(home, "back"));

describe("a backup", () => {
  it("brings a whole network back in another folder: keys, payloads, whom each node knows", async () => {
    await backupNetwork(root, out, { wrappingOut: wrapping, chainData: false });
    await restoreNetwork(back.root, out, wrapping);
    for (const { name } of plan.nodes) {
      expect(openNodeKey(back, name)).toEqual(openNodeKey(folder, name));
      for (const file of ["permissioned-nodes.json", "static-nodes.json"])
        expect(readJson(join(back.data(name), file))).toEqual(readJson(join(folder.data(name), file)));
    }
    expect(readJson(back.plan)).toEqual(plan);
    expect(await payloadsOf(back)).toEqual(await payloadsOf(folder));
    expect(readJson(back.managerConfig("node-1"))).toMatchObject({
      dataDir: back.manager("node-1"),
      partyList: back.parties,
    });
    expect(statSync(join(back.node("node-1"), "wrapping.key")).mode & 0o077).toBe(0);
    expect(existsSync(join(back.data("node-1"), "geth"))).toBe(false);
    expect(readFileSync(back.compose, "utf8")).toContain(back.config("node-1"));
  });

  it("holds no key that opens anything, no log and no block; those only if asked", async () => {
    const { files } = await backupNetwork(root, out, { chainData: false });
    const wrappingKeys = filesIn(root)
      .filter((name) => name.endsWith("wrapping.key"))
      .map((name) => readFileSync(name));
    expect(wrappingKeys).toHaveLength(6);
    for (const file of filesIn(out))
      for (const key of wrappingKeys) expect(readFileSync(file).includes(key)).toBe(false);
    expect(files.filter(({ path }) => /log|geth|wrapping/.test(path))).toEqual([]);
    const other = join(home, `chain-${n++}`);
    const withBlocks = await backupNetwork(root, other, { nodes: ["node-1"], chainData: true });
    expect(withBlocks.files.map(({ path }) => path)).toContain("nodes/node-1/data/geth/chaindata/000001.ldb");
    expect(withBlocks.files.some(({ path }) => path.startsWith("nodes/node-2"))).toBe(false);
  });

  it("puts one node back into the network that lost it, beside payloads that came since", async () => {
    await backupNetwork(root, out, { wrappingOut: wrapping, chainData: false });
    const [before] = await payloadsOf(folder);
    const key = openNodeKey(folder, "node-1");
    rmSync(folder.node("node-1"), { recursive: true });
    expect(() => openNodeKey(folder, "node-1")).toThrow("msec network restore");
    await restoreNetwork(root, out, wrapping, ["node-1"]);
    expect(openNodeKey(folder, "node-1")).toEqual(key);
    await put(JSON.stringify({ ...payload, body: randomBytes(200).toString("base64") }));
    rmSync(folder.node("node-1"), { recursive: true });
    await restoreNetwork(root, out, wrapping, ["node-1"]);
    expect(await payloadsOf(folder)).toHaveLength(2);
    rmSync(folder.node("node-1"), { recursive: true });
    rmSync(folder.postgres, { recursive: true });
    await restoreNetwork(root, out, wrapping, ["node-1"]);
    expect(await payloadsOf(folder)).toEqual([before]);
    await expect(restoreNetwork(root, out, wrapping, ["node-1"])).rejects.toThrow("nothing is written over");
  });

  it("is never written over another, nor restored over anything", async () => {
    await backupNetwork(root, out, { wrappingOut: wrapping, chainData: false });
    await expect(backupNetwork(root, out, { chainData: false })).rejects.toThrow("never written over");
    await expect(backupNetwork(root, join(home, "new"), { wrappingOut: wrapping, chainData: false })).rejects.toThrow(
      "never written over",
    );
    await expect(restoreNetwork(root, out, wrapping)).rejects.toThrow("nothing is written over");
    mkdirSync(back.root);
    writeFileSync(join(back.root, "mine"), "");
    await expect(restoreNetwork(back.root, out, wrapping)).rejects.toThrow("not empty");
    await expect(restoreNetwork(join(home, "x"), out, wrapping, ["node-9"])).rejects.toThrow("there is no node-9");
  });

  it("that is damaged, cut off, of another network or opened by another's keys is refused, and leaves nothing", async () => {
    await backupNetwork(root, out, { wrappingOut: wrapping, chainData: false });
    const refused = async (from: string, keys: string, why: string | RegExp) => {
      await expect(restoreNetwork(back.root, from, keys)).rejects.toThrow(why);
      expect(existsSync(back.root) || existsSync(`${back.root}.restoring`)).toBe(false);
    };
    const altered = copyOf(out);
    appendFileSync(join(altered, "nodes/node-1/payloads.jsonl"), "x");
    await refused(altered, wrapping, "payloads.jsonl of the backup is damaged");
    const lacking = copyOf(out);
    rmSync(join(lacking, "nodes/node-2/node-key.sealed"));
    await refused(lacking, wrapping, "lacks nodes/node-2/node-key.sealed");
    const cut = copyOf(out);
    rmSync(join(cut, "manifest.json"));
    await refused(cut, wrapping, "no whole backup");
    const upwards = copyOf(out);
    const list = readJson<{ files: object[] }>(join(upwards, "manifest.json")) as { files: object[] };
    list.files.push({ path: "../../etc/passwd", bytes: 1, sha256: "0".repeat(64) });
    writeFileSync(join(upwards, "manifest.json"), JSON.stringify(list));
    await refused(upwards, wrapping, "manifest.json cannot be used");

    const second = join(home, `network-${n++}`);
    await initNetwork(second, { chainId: 20_261, validators: 4, observers: 0, members: 2, blockSeconds: 1 });
    const [otherOut, otherKeys] = [join(home, `out-${n++}`), join(home, `keys-${n++}`)];
    await backupNetwork(second, otherOut, { nodes: ["node-3"], wrappingOut: otherKeys, chainData: false });
    await refused(out, otherKeys, "has no key for nodes/node-1");
    const mixed = join(home, `keys-${n++}`);
    const keysOf = (file: string) => (readJson<{ keys: object }>(file) as { keys: object }).keys;
    writeFileSync(
      mixed,
      JSON.stringify({ ...readJson(wrapping), keys: { ...keysOf(wrapping), ...keysOf(otherKeys) } }),
    );
    await refused(out, mixed, /node-3 of the backup is not usable: .*does not open/);
    const at = new NetworkFolder(second);
    rmSync(at.node("node-1"), { recursive: true });
    await expect(restoreNetwork(second, out, wrapping, ["node-1"])).rejects.toThrow("another network");
  });

  it.each([
    ["backup", "backup-written"],
    ["restore", "restore-checked"],
  ])("killed in the middle of a %s leaves nothing that passes for one, and is taken again", async (what, step) => {
    if (what === "restore") await backupNetwork(root, out, { wrappingOut: wrapping, chainData: false });
    const module = fileURLToPath(new URL("./backup.ts", import.meta.url));
    const call =
      what === "backup"
        ? `backupNetwork(${JSON.stringify(root)}, ${JSON.stringify(out)}, { chainData: false, wrappingOut: ${JSON.stringify(wrapping)} })`
        : `restoreNetwork(${JSON.stringify(back.root)}, ${JSON.stringify(out)}, ${JSON.stringify(wrapping)})`;
    const { signal, stderr } = spawnSync(
      process.execPath,
      ["--input-type=module", "--eval", `const m = await import(${JSON.stringify(module)}); await m.${call};`],
      { env: { ...process.env, MSEC_KILL_AT: step }, encoding: "utf8" },
    );
    expect(signal, stderr).toBe("SIGKILL");
    expect(existsSync(what === "backup" ? out : back.root)).toBe(false);
    if (what === "backup") {
      await expect(restoreNetwork(back.root, `${out}.partial`, wrapping)).rejects.toThrow();
      await backupNetwork(root, out, { wrappingOut: wrapping, chainData: false });
    }
    await restoreNetwork(back.root, out, wrapping);
    expect(openNodeKey(back, "node-4")).toEqual(openNodeKey(folder, "node-4"));
  });
});
