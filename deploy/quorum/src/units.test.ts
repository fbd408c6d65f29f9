import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { toHex } from "@msec/core";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { initNetwork } from "./init.ts";
import { NetworkFolder, type NetworkPlan, openNodeKey } from "./network.ts";
import { composeOf, unitsOf, writeUnits } from "./units.ts";
import { type Yaml, yaml } from "./yaml.ts";

const { load } = createRequire(import.meta.url)("js-yaml") as { load(text: string): unknown };

const home = mkdtempSync(join(tmpdir(), "msec-units-"));
// What quoting is for.
const root = join(home, `50% of "it's" $HOME`);
const folder = new NetworkFolder(root);
let plan: NetworkPlan;

beforeAll(async () => {
  plan = await initNetwork(root, { chainId: 20_261, validators: 4, observers: 0, members: 2, blockSeconds: 1 });
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

interface Service {
  network_mode: string;
  command: string[];
  image: string;
  restart: string;
  mem_limit: string;
  volumes: { source: string }[];
  healthcheck?: { test: string[] };
  depends_on?: Record<string, { condition: string }>;
}

describe("systemd units", () => {
  const verify = spawnSync("systemd-analyze", ["--version"]);

  it.skipIf(verify.error)("are taken by systemd-analyze", () => {
    writeUnits(folder, { ...plan, directory: `0x${"1".repeat(40)}` });
    const files = readdirSync(folder.units).map((name) => join(folder.units, name));
    expect(files).toHaveLength(4 + 2 + 4 + 4);
    const { stderr, status } = spawnSync("systemd-analyze", ["verify", ...files], {
      encoding: "utf8",
      env: { ...process.env, SYSTEMD_LOG_LEVEL: "warning" },
    });
    expect({ stderr: stderr.split("\n").filter((line) => line.includes("msec-")), status }).toEqual({
      ...{ stderr: [], status: 0 },
    });
  });
  if (verify.error) console.log("units not checked: there is no systemd-analyze (Debian package systemd)");

  it("start a manager before its node, start what ends again, limit memory, and name the folder as it is", () => {
    const units = unitsOf(folder, plan, plan.nodes[0]!);
    expect(Object.keys(units)).toEqual([
      "msec-node-1.service",
      "msec-node-1-manager.service",
      "msec-node-1-edge.service",
    ]);
    expect(units["msec-node-1.service"]).toContain("After=msec-node-1-manager.service");
    for (const text of Object.values(units)) {
      expect(text).toMatch(/^Restart=always$/m);
      const limit = Number(/^MemoryMax=(\d+)M$/m.exec(text)?.[1]);
      if (!text.includes("run-node.ts")) {
        expect(Number(/--max-old-space-size=(\d+)"/.exec(text)?.[1])).toBeLessThan(limit);
        expect(limit).toBeGreaterThan(0);
      }
    }
    expect(units["msec-node-1.service"]).toContain(`50%% of \\"it's\\" $$HOME`);
    const edge = units["msec-node-1-edge.service"] as string;
    expect(edge).not.toContain("ReadWritePaths");
    expect(/^InaccessiblePaths=.*$/m.exec(edge)?.[0]).toContain("nodes/node-1/manager");
    expect(unitsOf(folder, plan, plan.nodes[3]!)["msec-node-4.service"]).not.toContain("manager");
  });
});

describe("the compose file", () => {
  const services = () => (load(composeOf(folder, plan)) as { services: Record<string, Service> }).services;

  it("is YAML, has the official images, limits and restarts, and starts a manager before its node", () => {
    const all = services();
    expect(Object.keys(all)).toHaveLength(4 * 3 + 2);
    for (const [name, one] of Object.entries(all)) {
      expect(one.image).toMatch(/^(quorumengineering\/quorum:24\.4\.1|node:24-)/);
      expect(one.mem_limit).toMatch(/^\d+m$/);
      expect(one.restart).toBe(name.endsWith("-key") ? "no" : "unless-stopped");
    }
    expect(all["node-1"]?.depends_on).toEqual({
      "node-1-key": { condition: "service_completed_successfully" },
      "node-1-manager": { condition: "service_healthy" },
    });
    const { test } = all["node-1-manager"]?.healthcheck ?? { test: [] };
    expect(test).toHaveLength(4);
    expect(
      test.filter((word) => word.includes(" ")),
      "Podman takes a word apart at a space",
    ).toEqual([]);
    expect(all["node-4"]?.depends_on).toEqual({ "node-4-key": { condition: "service_completed_successfully" } });
    expect(all["node-1"]?.command.join(" ").replaceAll("$$", "$")).toContain(`--config ${folder.config("node-1")}`);
  });

  it("publishes no port: everything listens where the plan says, on loopback, and nobody sees keys but who needs them", () => {
    for (const [name, one] of Object.entries(services())) {
      expect(one.network_mode).toBe("host");
      expect(one).not.toHaveProperty("ports");
      const sources = one.volumes.map(({ source }) => source.replaceAll("$$", "$"));
      const node = name.split("-").slice(0, 2).join("-");
      expect(sources.includes(folder.node(node))).toBe(name === `${node}-key`);
      expect(sources.includes(folder.manager(node))).toBe(name === `${node}-manager`);
      expect(sources).not.toContain(root);
    }
  });
});

describe("a start script", () => {
  const script = (name: string) => readFileSync(folder.startScript(name), "utf8");

  it("is a program of its own for each node, that a shell understands, and starts the manager before it", () => {
    for (const { name } of plan.nodes) {
      expect(statSync(folder.startScript(name)).mode & 0o111).toBe(0o111);
      expect(spawnSync("sh", ["-n", folder.startScript(name)], { encoding: "utf8" })).toMatchObject({
        ...{ status: 0, stderr: "" },
      });
    }
    const [manager, node] = ["privacy/src/main.ts", "run-node.ts"].map((part) => script("node-1").indexOf(part));
    expect(manager).toBeGreaterThan(0);
    expect(node).toBeGreaterThan(manager as number);
    expect(script("node-4")).not.toContain("privacy/src/main.ts");
    expect(script("node-1")).toContain("edge/src/main.ts");
  });

  it("says so where nobody has named the manager's database", () => {
    const { DATABASE_URL: _, ...env } = process.env;
    const { status, stderr } = spawnSync(folder.startScript("node-1"), { encoding: "utf8", env });
    expect(status).toBe(1);
    expect(stderr).toContain(`in DATABASE_URL or as databaseUrl in ${folder.managerConfig("node-1")}`);
  });

  it("ends what it started, and with 1, where there is no node to run", () => {
    const { status, stderr } = spawnSync(folder.startScript("node-4"), {
      encoding: "utf8",
      env: { ...process.env, GOQUORUM_BIN: "/nowhere/geth" },
    });
    expect(status).toBe(1);
    expect(stderr).toContain("GOQUORUM_BIN is /nowhere/geth");
  });
});

describe("a key for a container", () => {
  it("is written for its owner alone, and only of a node that has one", () => {
    const out = join(home, "key");
    const unseal = (name: string) =>
      spawnSync(process.execPath, [fileURLToPath(new URL("./unseal.ts", import.meta.url)), root, name, out], {
        encoding: "utf8",
      });
    expect(unseal("node-2").status).toBe(0);
    expect(readFileSync(out, "utf8")).toBe(toHex(openNodeKey(folder, "node-2")).slice(2));
    expect(statSync(out).mode & 0o777).toBe(0o600);
    expect(unseal("node-2").status).toBe(0);
    expect(unseal("node-9")).toMatchObject({ status: 1, stderr: expect.stringContaining("no key of node-9") });
  });
});

describe("yaml", () => {
  it("is read back as what it was written from", () => {
    const { value } = fc.letrec<{ value: Yaml }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.string(),
        fc.integer(),
        fc.boolean(),
        fc.array(tie("value"), { maxLength: 4 }),
        fc.dictionary(
          fc.string({ minLength: 1 }).filter((name) => name !== "__proto__"),
          tie("value"),
          { maxKeys: 4, noNullPrototype: true },
        ),
      ),
    }));
    fc.assert(
      fc.property(value, (one) => {
        expect(load(yaml(one))).toEqual(one);
      }),
    );
  });
});
