import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { computeAddress, SigningKey } from "ethers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { toHex } from "@msec/core";
import { findBinary } from "./binary.ts";
import { initNetwork, planNextNode } from "./init.ts";
import { enodeOf, NetworkFolder, openNodeKey, privacyOf, profileOf, readPlan } from "./network.ts";
import { hasOnePlace } from "./order.ts";

const options = { chainId: 20_261, validators: 4, observers: 1, members: 3, blockSeconds: 1 };
let root: string;
beforeEach(() => (root = mkdtempSync(join(tmpdir(), "msec-network-"))));
afterEach(() => rmSync(root, { recursive: true, force: true }));

const json = (file: string): unknown => JSON.parse(readFileSync(file, "utf8"));

describe("init", () => {
  it("gives each node a key of its own, sealed, that its address and enode follow from", async () => {
    const { nodes } = await initNetwork(root, options);
    const folder = new NetworkFolder(root);
    for (const node of nodes) {
      const key = new SigningKey(toHex(openNodeKey(folder, node.name)));
      expect(computeAddress(key.publicKey).toLowerCase()).toBe(node.address);
      expect(enodeOf(node)).toContain(key.publicKey.slice(4));
      const sealed = join(folder.node(node.name), "node-key.sealed");
      expect(statSync(sealed).mode & 0o077).toBe(0);
      expect(readFileSync(sealed).includes(Buffer.from(key.privateKey.slice(2), "hex"))).toBe(false);
    }
    expect(new Set(nodes.map(({ address }) => address)).size).toBe(5);
    const ports = nodes.flatMap(({ p2p, rpc, ws, manager }) => [p2p, rpc, ws, ...Object.values(manager ?? {})]);
    expect(new Set(ports).size).toBe(ports.length);
  });

  it("has every node dial and admit all, listen on loopback only, and offer users no operator's call", async () => {
    const plan = await initNetwork(root, options);
    const folder = new NetworkFolder(root);
    for (const { name } of plan.nodes) {
      const enodes = plan.nodes.map(enodeOf);
      expect(json(join(folder.data(name), "static-nodes.json"))).toEqual(enodes);
      expect(json(join(folder.data(name), "permissioned-nodes.json"))).toEqual(enodes);
      const toml = readFileSync(folder.config(name), "utf8");
      expect(toml.match(/(?:\w*Host|ListenAddr) = "([^":]*)/g)).toEqual([
        'HTTPHost = "127.0.0.1',
        'WSHost = "127.0.0.1',
        'ListenAddr = "127.0.0.1',
      ]);
      expect(toml).not.toMatch(/admin|personal|istanbul|debug|miner"/);
    }
  });

  it("gives each member a manager that knows the others, with keys sealed, and a node without one none", async () => {
    const { nodes } = await initNetwork(root, options);
    const folder = new NetworkFolder(root);
    expect(nodes.map(({ manager }) => manager !== undefined)).toEqual([true, true, true, false, false]);
    // An account for extensions of private contracts is unlocked where there can be one.
    const unlocks = nodes.map(({ name }) =>
      readFileSync(folder.config(name), "utf8").includes("InsecureUnlockAllowed"),
    );
    expect(unlocks).toEqual([true, true, true, false, false]);
    const parties = json(folder.parties) as { name: string; keys: string[] }[];
    expect(parties.map(({ name }) => name)).toEqual(["node-1", "node-2", "node-3"]);
    expect(new Set(parties.flatMap(({ keys }) => keys)).size).toBe(3);
    expect(json(folder.managerConfig("node-2"))).toMatchObject({ partyList: folder.parties, keys: ["main"] });
    expect(statSync(join(folder.manager("node-1"), "identity.sealed")).mode & 0o077).toBe(0);
  });

  it("has nodes listen for each other, and managers for theirs, where it was asked for, and for nobody else", async () => {
    const hosts = [1, 2, 3, 4, 5].map((n) => `10.0.0.${n}`);
    const plan = await initNetwork(root, { ...options, hosts });
    const folder = new NetworkFolder(root);
    for (const [i, one] of plan.nodes.entries()) {
      expect(enodeOf(one)).toContain(`@${hosts[i]}:${one.p2p}`);
      expect(readFileSync(folder.config(one.name), "utf8").match(/(?:\w*Host|ListenAddr) = "([^":]*)/g)).toEqual([
        'HTTPHost = "127.0.0.1',
        'WSHost = "127.0.0.1',
        `ListenAddr = "${hosts[i]}`,
      ]);
      expect(profileOf(plan, one)).toMatchObject({ rpc: `http://127.0.0.1:${one.rpc}` });
    }
    const { p2p, ...others } = json(folder.managerConfig("node-2")) as { p2p: object };
    expect(p2p).toMatchObject({ host: "10.0.0.2", url: `https://10.0.0.2:${plan.nodes[1]?.manager?.p2p}` });
    expect(JSON.stringify(others)).not.toContain("10.0.0.");
    expect((json(folder.parties) as { url: string }[]).map(({ url }) => new URL(url).hostname)).toEqual(
      hosts.slice(0, 3),
    );
  });

  it.each([[["10.0.0.1"]], [["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "node-5.example"]]])(
    "takes an address for every node or for none: not %j",
    async (hosts) => {
      await expect(initNetwork(root, { ...options, hosts })).rejects.toThrow("an IPv4 address for each of the 5 nodes");
      expect(readdirSync(root)).toEqual([]);
    },
  );

  it("gives each member the Tessera that it has, and none of our managers", async () => {
    const servers = [1, 2, 3].map((n) => ({ q2t: `http://127.0.0.1:910${n}`, thirdParty: `http://127.0.0.1:908${n}` }));
    const { nodes } = await initNetwork(root, { ...options, tesseras: servers });
    const folder = new NetworkFolder(root);
    expect(nodes.map(privacyOf)).toEqual([...servers, undefined, undefined]);
    expect(readPlan(folder).nodes).toEqual(nodes);
    expect(existsSync(folder.parties) || existsSync(folder.manager("node-1"))).toBe(false);
    expect(json(folder.edgeConfig("node-1"))).toMatchObject({ privateState: true });
    expect(readFileSync(folder.compose, "utf8")).toContain(servers[0]?.q2t);
    expect(readFileSync(folder.startScript("node-1"), "utf8")).not.toContain("databaseUrl");
  });

  it("refuses to mix Tesseras with our managers, when made and when changed by hand", async () => {
    const one = { q2t: "http://127.0.0.1:9101", thirdParty: "http://127.0.0.1:9081" };
    const never = /can't exchange payloads: give each of the 3 members a Tessera, or none/;
    await expect(initNetwork(root, { ...options, tesseras: [one] })).rejects.toThrow(never);
    await expect(initNetwork(root, { ...options, tesseras: [one, one, one, one] })).rejects.toThrow("one each");
    expect(readdirSync(root)).toEqual([]);
    const plan = await initNetwork(root, options);
    const { manager: _, ...first } = plan.nodes[0] as (typeof plan.nodes)[0];
    const folder = new NetworkFolder(root);
    writeFileSync(
      folder.plan,
      JSON.stringify({ ...plan, nodes: [{ ...first, tessera: one }, ...plan.nodes.slice(1)] }),
    );
    expect(() => readPlan(folder)).toThrow(never);
  });

  it("leaves ports to whoever is to have them", async () => {
    const from = Number(process.env.MSEC_PORTS_FROM ?? 20_000);
    // All but every seventh of the range.
    const taken = new Set(Array.from({ length: 12_000 }, (_, i) => from + i).filter((port) => port % 7 !== 0));
    const { nodes } = await initNetwork(root, { ...options, taken });
    const ports = nodes.flatMap(({ p2p, rpc, ws, edge, manager }) => [
      ...[p2p, rpc, ws],
      ...Object.values(edge ?? {}),
      ...Object.values(manager ?? {}),
    ]);
    expect(ports.filter((port) => port % 7 !== 0)).toEqual([]);
  });

  it("names only the validators in the genesis block", async () => {
    const { nodes } = await initNetwork(root, options);
    const { extraData } = json(new NetworkFolder(root).genesis) as { extraData: string };
    expect(nodes.map(({ address }) => extraData.includes(address.slice(2)))).toEqual([true, true, true, true, false]);
  });

  it("refuses a folder that holds a network, and fewer than four validators, and a manager alone", async () => {
    await expect(initNetwork(root, { ...options, members: 1 })).rejects.toThrow("from two to 5");
    await expect(initNetwork(root, { ...options, validators: 3 })).rejects.toThrow("at least four");
    await initNetwork(root, options);
    const before = readFileSync(new NetworkFolder(root).plan, "utf8");
    await expect(initNetwork(root, options)).rejects.toThrow("there is a network");
    expect(readFileSync(new NetworkFolder(root).plan, "utf8")).toBe(before);
  });

  it("writes no key over that of a network whose plan was lost", async () => {
    await initNetwork(root, options);
    const folder = new NetworkFolder(root);
    const key = openNodeKey(folder, "node-1");
    rmSync(folder.plan);
    await expect(initNetwork(root, options)).rejects.toThrow("holds a key");
    expect(openNodeKey(folder, "node-1")).toEqual(key);
  });

  it("draws every key so that all nodes order the addresses alike", async () => {
    await initNetwork(root, { ...options, validators: 16, observers: 4 });
    const folder = new NetworkFolder(root);
    await planNextNode(folder, true);
    const addresses = readPlan(folder).nodes.map(({ address }) => address);
    expect(addresses.filter((one, i) => !hasOnePlace(one, addresses.slice(0, i)))).toEqual([]);
  });

  it("plans one more node that all others know of", async () => {
    await initNetwork(root, options);
    const folder = new NetworkFolder(root);
    const added = await planNextNode(folder, true);
    expect(added.name).toBe("node-6");
    for (const { name } of readPlan(folder).nodes)
      expect(json(join(folder.data(name), "permissioned-nodes.json"))).toContain(enodeOf(added));
  });
});

describe("a plan", () => {
  it("that is missing or damaged is an error that says what to do", async () => {
    expect(() => readPlan(new NetworkFolder(root))).toThrow("msec network init");
    writeFileSync(join(root, "network.json"), "{");
    expect(() => readPlan(new NetworkFolder(root))).toThrow("restore it");
  });
});

describe("the node's program", () => {
  const program = (text: string) => {
    const path = join(root, "geth");
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
    return path;
  };

  it("is what GOQUORUM_BIN names, else a geth on the PATH, if its version says Quorum", () => {
    const path = program('echo "Geth"; echo "Quorum Version: 24.4.1"');
    expect(findBinary({ GOQUORUM_BIN: path, PATH: "" })).toEqual({ path, version: "24.4.1" });
    expect(findBinary({ PATH: `/nowhere:${root}` })).toEqual({ path, version: "24.4.1" });
  });

  it("is no other geth", () => {
    const path = program('echo "Geth"; echo "Version: 1.13.0"');
    expect(findBinary({ GOQUORUM_BIN: path })).toMatchObject({ missing: expect.stringContaining("not GoQuorum") });
  });

  it("may be missing: then it says where to take one from", () => {
    expect(findBinary({ PATH: "" })).toMatchObject({ missing: expect.stringContaining("GOQUORUM_BIN") });
    expect(findBinary({ GOQUORUM_BIN: "/nowhere" })).toMatchObject({ missing: expect.stringContaining("/nowhere") });
  });
});
