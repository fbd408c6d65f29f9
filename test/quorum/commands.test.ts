import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startPostgres } from "@msec/companion-db";
import {
  ask,
  databaseName,
  downNetwork,
  NetworkFolder,
  type NodeStatus,
  readPlan,
  runningProcesses,
} from "@msec/quorum";
import { afterAll, expect, it } from "vitest";
import { until } from "../support/network.ts";

// `msec network …` as an operator runs it, from nothing to nothing, in the order of the tests.

const main = fileURLToPath(new URL("../../apps/cli/src/main.ts", import.meta.url));
const home = mkdtempSync(join(tmpdir(), "msec-commands-"));
const dir = join(home, "network");
const folder = new NetworkFolder(dir);
/** What GoQuorum writes at a start after it was killed. */
const UNCLEAN = "Unclean shutdown detected";

afterAll(async () => {
  if (existsSync(folder.plan)) await downNetwork(dir);
  rmSync(home, { recursive: true, force: true });
});

function msec(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, MSEC_NETWORK_DIR: dir, NO_COLOR: "1" };
    const command = ["--disable-warning=ExperimentalWarning", main, "network", ...args];
    execFile(process.execPath, command, { env }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
  });
}

/** What a command prints with --json, if it ends with `code`. */
async function json<T>(code: number, ...args: string[]): Promise<T> {
  const ran = await msec(...args, "--json");
  expect([ran.code, ran.err], args.join(" ")).toEqual([code, ""]);
  return JSON.parse(ran.out) as T;
}

type Status = { nodes: NodeStatus[]; validators: string[] };
const isWell = async () => (await msec("status")).code === 0;
const unclean = (n: number) => readFileSync(folder.log(`node-${n}`), "utf8").split(UNCLEAN).length - 1;
const NODES = [1, 2, 3, 4].map((n) => `node-${n}`);
const ALL = [...NODES, ...NODES.map((name) => `${name}/edge`), "node-1/manager", "node-2/manager"].sort();

it("up makes a network where there is none, and ends when it makes blocks; the nodes go on", async () => {
  const up = await json<{ rpcs: string[]; pids: object }>(0, "up", "--validators", "4", "--members", "2");
  expect(Object.keys(up.pids).sort()).toEqual(ALL);
  expect(up.rpcs).toHaveLength(4);
  expect(Number(await ask<string>(up.rpcs[3] as string, "eth_blockNumber"))).toBeGreaterThan(0);
  expect(runningProcesses(folder)).toEqual(up.pids);
  const again = await json<{ error: string }>(1, "up", "--validators", "4", "--members", "2");
  expect(again.error).toContain("run already");
});

it("status says how each node is, and with 1 that one does not answer, until it is started", async () => {
  await until(isWell, 60);
  const { nodes, validators } = await json<Status>(0, "status");
  expect(validators.sort()).toEqual(nodes.map(({ address }) => address).sort());
  for (const one of nodes) expect(one).toMatchObject({ validator: true, peers: 3, pid: expect.any(Number) as number });
  expect(nodes.map(({ manager }) => manager !== null)).toEqual([true, true, false, false]);
  process.kill(nodes[3]?.pid as number, "SIGKILL");
  await until(() => Promise.resolve(runningProcesses(folder)["node-4"] === undefined), 20);
  expect((await json<Status>(1, "status")).nodes[3]).toMatchObject({ pid: null, block: null });
  expect((await msec("status")).out).toMatch(/^node-4 .*does not answer/m);
  const { code, out } = await msec("up", "--node", "node-4");
  expect([code, out]).toEqual([0, expect.stringContaining("node-4 runs")]);
  await until(isWell, 60);
});

it("backup, and restore into another folder, say what they took and put back", async () => {
  const [out, wrapping, other] = ["backup", "wrapping.json", "other"].map((name) => join(home, name)) as [
    string,
    string,
    string,
  ];
  const args = ["backup", "--out", out, "--wrapping-out", wrapping, "--node", "node-3"];
  expect((await json<{ nodes: string[] }>(0, ...args)).nodes).toEqual(["node-3"]);
  expect((await json<{ error: string }>(1, ...args)).error).toContain("never written over");
  const restore = ["restore", "--dir", other, "--from", out, "--wrapping", wrapping];
  expect(await json(0, ...restore)).toEqual({ restored: ["node-3"] });
  expect(existsSync(new NetworkFolder(other).startScript("node-3"))).toBe(true);
});

it("add-node and remove-validator change who makes blocks, and say what stands against it", async () => {
  expect((await json<{ error: string }>(1, "remove-validator", "node-3")).error).toContain("add a node first");
  const added = await json<{ name: string; address: string }>(0, "add-node");
  expect(added.name).toBe("node-5");
  const { validators } = await json<{ validators: string[] }>(0, "remove-validator", "node-3");
  expect(validators).toContain(added.address);
  expect(validators).toHaveLength(4);
  expect((await json<Status>(0, "status")).nodes.map(({ validator }) => validator)).toEqual([
    ...[true, true, false, true, true],
  ]);
});

it("down ends every process, nodes in order, so that the next start finds nothing that was cut off", async () => {
  const { stopped } = await json<{ stopped: string[] }>(0, "down");
  expect(stopped.sort()).toEqual([...ALL, "node-5", "node-5/edge"].sort());
  expect(runningProcesses(folder)).toEqual({});
  expect(existsSync(folder.run)).toBe(false);
  const before = [1, 2, 3, 4, 5].map(unclean);
  // The one that was killed above, and no other.
  expect(before).toEqual([0, 0, 0, 1, 0]);
  await json(0, "up");
  await until(isWell, 60);
  await json(0, "down");
  await json(0, "up");
  // It is told of once more at each start; nobody else is.
  expect([1, 2, 3, 5].map(unclean)).toEqual([0, 0, 0, 0]);
  expect(unclean(4)).toBeGreaterThan(1);
  await json(0, "down");
});

it("start.sh runs each node in the foreground with what belongs to it, and ends all of it when told to", async () => {
  const server = await startPostgres(folder.postgres);
  const { nodes } = readPlan(folder);
  const scripts = await Promise.all(
    nodes.map(async ({ name, manager }) => {
      const env = { ...process.env, ...(manager && { DATABASE_URL: await server.database(databaseName(name)) }) };
      const child = spawn(folder.startScript(name), { env, stdio: "ignore" });
      return { child, ended: new Promise((resolve) => child.on("exit", resolve)) };
    }),
  );
  await until(isWell, 120, 1000);
  const urls = nodes.flatMap(({ edge, manager }) => [
    `http://127.0.0.1:${edge?.health}/metrics`,
    ...(manager ? [`http://127.0.0.1:${manager.q2t}/upcheck`] : []),
  ]);
  const answering = async () =>
    (
      await Promise.all(
        urls.map((url) =>
          fetch(url).then(
            ({ ok }) => ok,
            () => false,
          ),
        ),
      )
    ).filter(Boolean).length;
  expect(await answering()).toBe(urls.length);
  for (const { child } of scripts) child.kill("SIGTERM");
  expect(await Promise.all(scripts.map(({ ended }) => ended))).toEqual([0, 0, 0, 0, 0]);
  expect(await answering()).toBe(0);
  expect(runningProcesses(folder)).toEqual({});
  await server.stop();
  expect([1, 2, 3, 5].map(unclean)).toEqual([0, 0, 0, 0]);
});
