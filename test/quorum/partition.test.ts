import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { toHex } from "@msec/core";
import {
  askAsOperator,
  enodeOf,
  initNetwork,
  ipcPath,
  NetworkFolder,
  NODE_FLAGS,
  openNodeKey,
  requireBinary,
} from "@msec/quorum";
import { writeJson } from "@msec/service";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { Machines, missingNamespaces } from "../support/namespaces.ts";
import { until } from "../support/network.ts";

// Four validators on machines of their own, whose network is cut in two.

const why = missingNamespaces();
if (why) console.log(`networks not cut in two: ${why}`);

const home = mkdtempSync(join(tmpdir(), "msec-partition-"));
const NUMBERS = [1, 2, 3, 4];
let machines: Machines | undefined;
let children: ChildProcess[] = [];
let folder: NetworkFolder;

afterEach(async () => {
  const ended = children.map((child) => new Promise((resolve) => child.on("exit", resolve)));
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(ended);
  children = [];
  machines?.remove();
  machines = undefined;
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** Makes a network, gives each of its nodes a machine, and starts them; the first ones are on one side of the cable. */
async function start(onFirst: number): Promise<void> {
  const binary = requireBinary();
  const root = join(home, `network-${onFirst}`);
  const plan = await initNetwork(root, { chainId: 20_261, validators: 4, observers: 0, members: 0, blockSeconds: 1 });
  folder = new NetworkFolder(root);
  const net = (machines = new Machines(4, onFirst));
  const enodes = plan.nodes.map((one, i) => enodeOf({ ...one, host: net.address(i + 1) }));
  for (const [i, one] of plan.nodes.entries()) {
    for (const file of ["static-nodes.json", "permissioned-nodes.json"])
      writeJson(join(folder.data(one.name), file), enodes);
    const config = readFileSync(folder.config(one.name), "utf8");
    writeFileSync(
      folder.config(one.name),
      config.replace(`ListenAddr = "127.0.0.1:`, `ListenAddr = "${net.address(i + 1)}:`),
    );
    const key = join(folder.node(one.name), "key");
    writeFileSync(key, toHex(openNodeKey(folder, one.name)).slice(2), { mode: 0o600 });
    spawnSync(binary.path, ["--datadir", folder.data(one.name), "init", folder.genesis]);
    const log = openSync(folder.log(one.name), "a");
    const args = ["--config", folder.config(one.name), "--nodekey", key, "--ipcpath", ipcPath(folder, one.name)];
    children.push(
      spawn("ip", ["netns", "exec", net.space(i + 1), binary.path, ...args, ...NODE_FLAGS], {
        cwd: folder.node(one.name),
        stdio: ["ignore", log, log],
        env: { ...process.env, PRIVATE_CONFIG: "ignore", GOMEMLIMIT: "900MiB" },
      }),
    );
    closeSync(log);
  }
  await until(async () => ((await height(1).catch(() => 0)) as number) > 2, 120);
}

const height = async (n: number) => Number(await askAsOperator<string>(folder, `node-${n}`, "eth_blockNumber"));
const hash = async (n: number, block: number) =>
  (
    await askAsOperator<{ hash: string }>(folder, `node-${n}`, "eth_getBlockByNumber", [
      `0x${block.toString(16)}`,
      false,
    ])
  ).hash;

async function sameChain(): Promise<void> {
  const at = Math.min(...(await Promise.all(NUMBERS.map(height))));
  expect(new Set(await Promise.all(NUMBERS.map((n) => hash(n, at)))).size).toBe(1);
}

describe.skipIf(why)("a network that is cut", () => {
  it("in halves makes no block on either side, and goes on without a fork when it heals", async () => {
    await start(2);
    const cut = machines as Machines;
    cut.connect(false);
    await sleep(3000);
    const stopped = await Promise.all(NUMBERS.map(height));
    await sleep(17_000);
    expect(await Promise.all(NUMBERS.map(height))).toEqual(stopped);
    cut.connect(true);
    const healed = performance.now();
    await until(async () => (await height(1)) > Math.max(...stopped) + 2, 200);
    console.log(`cut 2/2 for 20 s: blocks again ${Math.round((performance.now() - healed) / 1000)} s after it healed`);
    await until(async () => Math.min(...(await Promise.all(NUMBERS.map(height)))) >= (await height(1)) - 1, 90);
    await sameChain();
  });

  it("off from one goes on, and that one is level when it heals", async () => {
    await start(3);
    const cut = machines as Machines;
    cut.connect(false);
    await sleep(2000);
    const [majority, alone] = [await height(1), await height(4)];
    await sleep(15_000);
    expect(await height(1)).toBeGreaterThan(majority + 3);
    expect(await height(4)).toBe(alone);
    cut.connect(true);
    const healed = performance.now();
    await until(async () => (await height(4)) >= (await height(1)) - 1, 120);
    console.log(`cut 3/1 for 17 s: level ${Math.round((performance.now() - healed) / 1000)} s after it healed`);
    await sameChain();
  });
});
