import { execFileSync, spawn } from "node:child_process";
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, ErasureKeys, FileRoot, Frontiers, ownServer } from "@msec/companion-db";
import { derive, type Hex, rootNode } from "@msec/core";
import { freePort } from "@msec/service";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Store } from "../../oracles/custody/src/store.ts";

// The same SQL on a PostgreSQL of one's own, as DATABASE_URL names it: here the one that the system's packages installed.

const versions = existsSync("/usr/lib/postgresql") ? readdirSync("/usr/lib/postgresql").sort() : [];
const bin = versions.length > 0 ? `/usr/lib/postgresql/${versions[versions.length - 1]}/bin` : undefined;
if (!bin) console.log("skipped: no PostgreSQL of the system's own is installed under /usr/lib/postgresql");

const NOBODY = 65534;
const asNobody = (command: string, args: string[]): [string, string[]] =>
  process.getuid?.() === 0
    ? ["setpriv", [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", command, ...args]]
    : [command, args];

describe.skipIf(!bin)(`PostgreSQL ${versions[versions.length - 1] ?? ""} of the system`, () => {
  const folder = mkdtempSync(join(tmpdir(), "msec-own-postgres-"));
  const data = join(folder, "data");
  let url = "";
  let stop: () => Promise<void> = async () => undefined;

  beforeAll(async () => {
    mkdirSync(data, { mode: 0o700 });
    if (process.getuid?.() === 0) {
      chownSync(folder, NOBODY, NOBODY);
      chownSync(data, NOBODY, NOBODY);
    }
    execFileSync(...asNobody(`${bin}/initdb`, ["-D", data, "-U", "msec", "--auth=trust", "-E", "UTF8", "--no-locale"]));
    const port = await freePort();
    const child = spawn(...asNobody(`${bin}/postgres`, ["-D", data, "-p", String(port), "-h", "127.0.0.1", "-k", ""]), {
      stdio: "ignore",
    });
    const ended = new Promise<void>((resolve) => child.on("exit", () => resolve()));
    stop = async () => {
      child.kill("SIGINT");
      await ended;
    };
    url = `postgres://msec@127.0.0.1:${port}/postgres`;
    for (let i = 0; ; i++) {
      const pool = connect(url, 1);
      try {
        await pool.query("select 1");
        await pool.end();
        break;
      } catch (error) {
        await pool.end();
        if (i > 100) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  });

  afterAll(async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("a city that is given the server gets a database for each process, once", async () => {
    const server = ownServer(url, "msec_0a1b");
    const one = await server.database("operator_1");
    expect(await server.database("operator_1")).toBe(one);
    const pool = connect(one, 1);
    expect((await pool.query("select current_database() as name")).rows).toEqual([{ name: "msec_0a1b_operator_1" }]);
    await pool.end();
    const nobody = ownServer(url.replace("msec@", "stranger@"), "x");
    await expect(nobody.database("y")).rejects.toThrow(/able to log in and to create databases/);
  });

  test("holds an operator's tables, its packs and its key frontiers, and forgets what is punctured", async () => {
    const db = connect(url);
    const store = await Store.open(db, (error) => {
      throw error;
    });
    const streamId: Hex = `0x${"5a".repeat(32)}`;
    const pack = {
      headerDigest: `0x${"01".repeat(32)}` as Hex,
      streamId,
      keyEpoch: 1,
      seq: 1,
      slot: 7,
      readings: 3,
      cose: Uint8Array.of(1, 2, 3),
      content: Uint8Array.of(4, 5, 6),
      contentDigest: `0x${"02".repeat(32)}` as Hex,
      receivedAt: 1,
      epoch: null,
    };
    await store.putPacks([pack], []);
    expect(await store.pending()).toEqual([pack]);

    const keys = await ErasureKeys.open(join(folder, "erasure.keys"), new FileRoot(join(folder, "erasure.root")));
    const frontiers = await Frontiers.open(db, keys);
    expect(await frontiers.keep(streamId, [rootNode(new Uint8Array(32).fill(9))])).toBe(true);
    await frontiers.puncture(streamId, 7, 7);
    const left = (await frontiers.get(streamId)) ?? [];
    expect(() => derive(left, [{ depth: 32, firstSlot: 7 }])).toThrow(/not held/);
    expect(derive(left, [{ depth: 32, firstSlot: 8 }])).toHaveLength(1);
    await store.close();
  });
});
