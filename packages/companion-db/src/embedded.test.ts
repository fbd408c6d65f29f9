import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTcp } from "node:net";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, expect, test } from "vitest";
import { type EmbeddedPostgres, startPostgres } from "./embedded.ts";

const folder = mkdtempSync(join(tmpdir(), "msec-postgres-"));
let server: EmbeddedPostgres | undefined;

afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query({ text, rowMode: "array" })).rows as unknown[];
  } finally {
    await client.end();
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A process that has ended and that nobody has waited for is not alive.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

test("a server is started, outlives the process that started it, is adopted by the next, and stops", async () => {
  const module = fileURLToPath(new URL("./embedded.ts", import.meta.url));
  const script = `
    const { startPostgres } = await import(${JSON.stringify(module)});
    const server = await startPostgres(${JSON.stringify(folder)});
    const url = await server.database("kept");
    process.stdout.write(JSON.stringify({ pid: server.pid, url }) + "\\n");
    setInterval(() => undefined, 1000);`;
  const parent = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const first = await new Promise<{ pid: number; url: string }>((resolve, reject) => {
    let text = "";
    parent.stdout.on("data", (part) => {
      text += String(part);
      if (text.includes("\n")) resolve(JSON.parse(text) as { pid: number; url: string });
    });
    parent.on("exit", () => reject(new Error("the parent ended before its server ran")));
  });
  await query(first.url, "create table notes (n int)");
  await query(first.url, "insert into notes values (42)");
  parent.kill("SIGKILL");
  await new Promise((resolve) => parent.on("exit", resolve));
  expect(alive(first.pid)).toBe(true);

  server = await startPostgres(folder);
  expect(server.pid).toBe(first.pid);
  const url = await server.database("kept");
  expect(url).toBe(first.url);
  expect(await query(url, "select n from notes")).toEqual([[42]]);
  expect(await server.database("kept")).toBe(url);

  await server.stop();
  expect(alive(first.pid)).toBe(false);
  await expect(query(url, "select 1")).rejects.toThrow();
});

test("after a stop, and with a process id of before that is somebody else's now, it starts again with its data", async () => {
  // What a machine that lost power leaves, once this number has been given to another program.
  writeFileSync(
    join(folder, "data", "postmaster.pid"),
    `${process.pid}\n${join(folder, "data")}\n1700000000\n65000\n\n127.0.0.1\n        0         0\nready   \n`,
  );
  server = await startPostgres(folder);
  expect(server.pid).not.toBe(process.pid);
  expect(await query(await server.database("kept"), "select n from notes")).toEqual([[42]]);
});

test("it listens on loopback only and wants the password of its folder", async () => {
  const url = new URL(await (server as EmbeddedPostgres).database("kept"));
  expect(url.hostname).toBe("127.0.0.1");
  expect(await query(url.href, "show listen_addresses")).toEqual([["127.0.0.1"]]);
  expect(await query(url.href, "show unix_socket_directories")).toEqual([[""]]);
  const outside = Object.values(networkInterfaces())
    .flat()
    .find((address) => address && !address.internal && address.family === "IPv4");
  if (outside)
    await expect(
      new Promise((resolve, reject) => {
        const socket = connectTcp({ host: outside.address, port: Number(url.port), timeout: 2000 });
        socket.on("connect", () => (socket.destroy(), resolve("connected")));
        socket.on("error", reject);
        socket.on("timeout", () => (socket.destroy(), reject(new Error("timeout"))));
      }),
    ).rejects.toThrow();
  expect(url.password).toBe(readFileSync(join(folder, "password"), "utf8"));
  expect(statSync(join(folder, "password")).mode & 0o777).toBe(0o600);
  url.password = "guessed";
  await expect(query(url.href, "select 1")).rejects.toThrow(/password authentication failed/);
});

test("names of databases are taken as they are", async () => {
  const url = await (server as EmbeddedPostgres).database('a"b; drop database kept');
  expect(url).toMatch(/127\.0\.0\.1/);
  expect(
    await query(
      await (server as EmbeddedPostgres).database("kept"),
      "select count(*)::int from pg_database where datname in ('kept', 'a\"b; drop database kept')",
    ),
  ).toEqual([[2]]);
});
