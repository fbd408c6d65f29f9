import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";

// The commands of a network without a node; with nodes they are in test/quorum.

const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const home = mkdtempSync(join(tmpdir(), "msec-network-cli-"));
const made = join(home, "made");
afterAll(() => rmSync(home, { recursive: true, force: true }));

function msec(dir: string, ...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, "network", ...args], {
      env: { ...process.env, MSEC_NETWORK_DIR: dir, GOQUORUM_BIN: "/nowhere/geth", NO_COLOR: "1" },
    });
    let [out, err] = ["", ""];
    child.stdout.on("data", (part) => (out += String(part)));
    child.stderr.on("data", (part) => (err += String(part)));
    child.on("close", (code) => resolve({ code, out, err }));
  });
}
const T = (n: number) => `http://127.0.0.1:910${n},http://127.0.0.1:908${n}`;

test("init writes what it was asked for, and prints it", async () => {
  const { code, out } = await msec(
    made,
    ...["init", "--validators", "4", "--observers", "1", "--members", "2", "--block-seconds", "2", "--json"],
  );
  expect(code).toBe(0);
  const plan = JSON.parse(out) as { blockSeconds: number; nodes: { validator: boolean; manager?: object }[] };
  expect(plan).toEqual(JSON.parse(readFileSync(join(made, "network.json"), "utf8")));
  expect(plan.blockSeconds).toBe(2);
  expect(plan.nodes.map(({ validator, manager }) => [validator, manager !== undefined])).toEqual([
    ...[
      [true, true],
      [true, true],
    ],
    ...[
      [true, false],
      [true, false],
      [false, false],
    ],
  ]);
});

test("init takes a Tessera for each member, and then needs no number of them", async () => {
  const dir = join(home, "tesseras");
  const { code, out } = await msec(dir, "init", "--tessera", T(1), "--tessera", T(2));
  expect(code).toBe(0);
  expect(out).toMatch(/node-2 .*http:\/\/127\.0\.0\.1:9102/);
  const mixed = await msec(join(home, "mixed"), "init", "--members", "3", "--tessera", T(1), "--json");
  expect([mixed.code, (JSON.parse(mixed.out) as { error: string }).error]).toEqual([
    1,
    expect.stringContaining("can't exchange payloads"),
  ]);
});

test.each([
  [["init", "--validators", "3"], /--validators takes a whole number from 4 to 64, not 3/],
  [["init", "--block-seconds", "0"], /--block-seconds takes a whole number from 1 to 60/],
  [["init", "--tessera", "http://127.0.0.1:9101"], /--tessera takes the URLs of its Q2T and ThirdParty servers/],
  [["up", "--node", "node-1", "--validators", "4"], /--node starts one of a network that is there/],
  [["up", "--members", "5"], /--members takes a whole number from 0 to 4, not 5/],
  [["follow", "0x12"], /0x12 is no address/],
  [["backup"], /required option '--out <FOLDER>' not specified/],
])("%j is wrong use: 2 and a sentence, and nothing is made", async (args, message) => {
  const dir = join(home, "wrong");
  const { code, err } = await msec(dir, ...args);
  expect(err).toMatch(message);
  expect(code).toBe(2);
  expect(existsSync(dir)).toBe(false);
});

test("a folder without a network is told how to get one; without a node's program none is made", async () => {
  const dir = join(home, "nothing");
  for (const name of ["up", "status", "down", "add-node"])
    expect(await msec(dir, name)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/GOQUORUM_BIN|msec network init/),
    });
  const first = await msec(dir, "up", "--validators", "4", "--members", "2");
  expect(first).toMatchObject({ code: 1, err: expect.stringContaining("GOQUORUM_BIN is /nowhere/geth") });
  expect(existsSync(dir)).toBe(false);
});

test("up does not take a network for another one than was asked for", async () => {
  const { code, err } = await msec(made, "up", "--validators", "4", "--members", "3");
  expect([code, err]).toEqual([2, expect.stringContaining("has 4 validators and 2 members: leave")]);
});

test("status of a network that is not up says so of each node, and ends with 1; there is nothing to stop", async () => {
  const status = await msec(made, "status", "--json");
  expect(status.code).toBe(1);
  const { nodes, validators } = JSON.parse(status.out) as { nodes: object[]; validators: string[] };
  expect(validators).toEqual([]);
  expect(nodes).toHaveLength(5);
  for (const one of nodes) expect(one).toMatchObject({ pid: null, block: null, peers: null, validator: false });
  expect((await msec(made, "status")).out).toMatch(/node-5 .*does not answer/);
  const down = await msec(made, "down", "--json");
  expect([down.code, JSON.parse(down.out)]).toEqual([0, { stopped: [] }]);
});
