import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PRIVACY, PrivacyManager } from "@msec/chain";
import { connect } from "@msec/companion-db";
import { type Hex, utf8 } from "@msec/core";
import { partyEntry } from "@msec/privacy";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { certificateOf, toPem } from "../../oracles/privacy/src/certificate.ts";
import { until } from "../support/city.ts";
import { type ManagerProcess, PrivacyNetwork } from "../support/privacy.ts";

/** A node gives up a manager that is silent for five seconds. */
const NODE_PATIENCE_MS = 5000;
const TERMS = "price per reading 5, until further notice";

let network: PrivacyNetwork;
let a: ManagerProcess, b: ManagerProcess, c: ManagerProcess, q: ManagerProcess;
let keyB: string, keyC: string;
const client = (m: ManagerProcess) => new PrivacyManager(`unix:${m.socket}`, m.thirdParty);
const status = async (m: ManagerProcess) =>
  (await (await fetch(`${m.health}/status`)).json()) as {
    payloads: number;
    healthy: boolean;
    problems: string[];
    parties: string[];
    waiting: Record<string, number>;
  };

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "msec-privacy-faults-"));
  network = await PrivacyNetwork.create(folder, ["alpha", "beta", "gamma", "queue"], (name) =>
    name === "queue" ? { whenAway: "queue" } : {},
  );
  [a, b, c, q] = network.managers as [ManagerProcess, ManagerProcess, ManagerProcess, ManagerProcess];
  await network.start();
  [keyB, keyC] = [network.keyOf("beta"), network.keyOf("gamma")];
});
afterAll(() => network?.stop());

/** Sends twenty at once. To be called: in the end each is done and answered, or was not taken in, says so and has no effect. */
async function underWay(from: ManagerProcess): Promise<() => Promise<void>> {
  const before = (await status(b)).payloads;
  const sending = Array.from({ length: 20 }, () => client(from).send(utf8(TERMS), { to: [keyB] }));
  const settled = Promise.allSettled(sending);
  return async () => {
    const results = await settled;
    for (const result of results)
      if (result.status === "rejected") expect(String(result.reason)).toMatch(/does not answer/);
    expect((await status(b)).payloads - before).toBe(results.filter(({ status }) => status === "fulfilled").length);
  };
}

describe("a manager that was killed", () => {
  test("is back before its node gives up, with all that it had, over the socket that it left behind", async () => {
    const { key } = await client(a).send(utf8(TERMS), { to: [keyB] });
    await a.stop("SIGKILL");
    expect(existsSync(a.socket)).toBe(true);
    const ms = await a.start();
    console.log(`answers ${Math.round(ms)} ms after a SIGKILL`);
    expect(ms).toBeLessThan(NODE_PATIENCE_MS);
    expect((await client(a).receive(key))?.payload).toEqual(utf8(TERMS));
  });

  test("after it handed a payload over and before it kept it, has told its node nothing; a retry has one effect", async () => {
    const key = await client(a).storeRaw(utf8(TERMS));
    const before = (await status(b)).payloads;
    await a.stop();
    await a.start({ MSEC_KILL_AT: "pushed" });
    await expect(client(a).sendStored(key, { to: [keyB] })).rejects.toThrow(/does not answer/);
    await a.ended();
    await a.start();
    expect(await client(a).receive(key)).toBeUndefined();
    await client(a).sendStored(key, { to: [keyB] });
    expect((await status(b)).payloads).toBe(before + 1);
    expect((await client(b).receive(key))?.payload).toEqual(utf8(TERMS));
  });

  test("is not replaced by a second one at the same socket", async () => {
    expect(await a.run("main")).toMatchObject({ code: 1, output: expect.stringMatching(/EADDRINUSE/) });
  });
});

describe("a manager that is told by SIGHUP that its party list has changed", () => {
  test("takes the new one before its node gives up, in the same process; what is under way is answered", async () => {
    const file = a.config.partyList;
    const kept = readFileSync(file, "utf8");
    const { pid } = a;
    const identity = generateKeyPairSync("ed25519").privateKey;
    const newcomer = partyEntry("delta", "https://127.0.0.1:1", identity, [Buffer.alloc(32, 9).toString("base64")]);
    try {
      writeFileSync(file, JSON.stringify([...network.parties, newcomer]));
      const answered = await underWay(a);
      await sleep(30);
      const told = performance.now();
      process.kill(pid, "SIGHUP");
      await answered();
      for (;;) {
        if ((await status(a).catch(() => undefined))?.parties.includes("delta")) break;
        await sleep(10);
      }
      const ms = performance.now() - told;
      console.log(`has the new list ${Math.round(ms)} ms after a SIGHUP`);
      expect(ms).toBeLessThan(NODE_PATIENCE_MS);
      expect(a.pid).toBe(pid);
      await expect(client(a).send(utf8(TERMS), { to: newcomer.keys })).rejects.toThrow(/delta .* does not answer/);
    } finally {
      writeFileSync(file, kept);
      process.kill(pid, "SIGHUP");
    }
    while ((await status(a).catch(() => undefined))?.parties.includes("delta") !== false) await sleep(10);
  });

  test("goes on with the one that it has where the new one is not usable", async () => {
    const file = a.config.partyList;
    const kept = readFileSync(file, "utf8");
    try {
      writeFileSync(file, "[]");
      process.kill(a.pid, "SIGHUP");
      while (!a.log.includes("the party list stays as it was")) await sleep(10);
      const { key } = await client(a).send(utf8(TERMS), { to: [keyB] });
      expect((await client(b).receive(key))?.payload).toEqual(utf8(TERMS));
    } finally {
      writeFileSync(file, kept);
    }
  });

  test("told again and again while it starts anew, with a list that changes meanwhile, it goes on", async () => {
    const file = a.config.partyList;
    const kept = readFileSync(file, "utf8");
    const { pid } = a;
    for (let i = 0; i < 40; i++) {
      writeFileSync(file, i % 2 === 0 ? "[]" : kept);
      process.kill(pid, "SIGHUP");
      await sleep(5);
    }
    writeFileSync(file, kept);
    process.kill(pid, "SIGHUP");
    const { key } = await until("it answers", () => client(a).send(utf8(TERMS), { to: [keyB] }));
    expect((await client(b).receive(key))?.payload).toEqual(utf8(TERMS));
    expect(a.pid).toBe(pid);
  });
});

test("a stop answers what is under way and leaves no socket", async () => {
  const answered = await underWay(c);
  await sleep(30);
  expect(await c.stop()).toBe(0);
  await answered();
  expect(existsSync(c.socket)).toBe(false);
  await c.start();
});

describe("while a party's manager is away", () => {
  test("a send fails at once and names it; a retry after its return has one effect", async () => {
    await b.stop("SIGKILL");
    const started = performance.now();
    const key = await client(a).storeRaw(utf8(TERMS));
    const sending = client(a).sendStored(key, { to: [keyB, keyC] });
    await expect(sending).rejects.toMatchObject({
      status: 503,
      message: expect.stringMatching(/of beta at .* try again/),
    });
    expect(performance.now() - started).toBeLessThan(NODE_PATIENCE_MS);
    expect(await client(a).receive(key)).toBeUndefined();
    await b.start();
    await client(a).sendStored(key, { to: [keyB, keyC] });
    for (const m of [a, b, c]) expect((await client(m).receive(key))?.payload).toEqual(utf8(TERMS));
  });

  test("one that hangs is given up before the node gives up its own", async () => {
    process.kill(b.pid, "SIGSTOP");
    try {
      const started = performance.now();
      await expect(client(a).send(utf8(TERMS), { to: [keyB] })).rejects.toMatchObject({ status: 503 });
      expect(performance.now() - started).toBeLessThan(NODE_PATIENCE_MS);
    } finally {
      process.kill(b.pid, "SIGCONT");
    }
  });

  test("a manager that queues keeps flag 0 for it, in order, over its own death; the other flags still fail", async () => {
    await b.stop();
    const keys: Hex[] = [];
    for (let i = 0; i < 5; i++) keys.push((await client(q).send(utf8(`${TERMS} ${i}`), { to: [keyB] })).key);
    await expect(client(q).send(utf8(TERMS), { to: [keyB], flag: PRIVACY.partyProtection })).rejects.toMatchObject({
      status: 503,
    });
    await q.stop("SIGKILL");
    await q.start();
    expect((await status(q)).waiting).toEqual({ beta: 5 });
    await expect.poll(async () => (await status(q)).problems.join()).toMatch(/beta .* does not answer/);
    await b.start();
    await expect.poll(async () => (await status(q)).waiting).toEqual({});
    await expect.poll(async () => (await status(q)).healthy).toBe(true);
    for (const [i, key] of keys.entries())
      expect((await client(b).receive(key))?.payload).toEqual(utf8(`${TERMS} ${i}`));
    const db = connect(b.config.databaseUrl);
    const { rows } = await db.query("select key from payloads where key = any($1) order by number", [keys.map(base64)]);
    await db.end();
    expect(rows.map((row) => row.key as string)).toEqual(keys.map(base64));
  });
});

const base64 = (key: Hex) => Buffer.from(key.slice(2), "hex").toString("base64");

test("a manager that lost its database gets back what it sent and received, and only that", async () => {
  const flag = PRIVACY.partyProtection;
  const created = await client(a).send(utf8(TERMS), { to: [keyB, keyC], flag });
  const call = await client(b).send(utf8("call"), { to: [network.keyOf("alpha")], flag, affected: [created.key] });
  const strange = await client(b).send(utf8("not for alpha"), { to: [keyC] });
  await a.stop();
  const url = new URL(a.config.databaseUrl);
  url.pathname = "/postgres";
  const db = connect(url.href);
  await db.query("drop database alpha with (force)");
  await db.query("create database alpha");
  await db.end();
  await c.stop();
  const partly = await a.run("recover");
  expect([partly.code, partly.output]).toEqual([1, expect.stringMatching(/not all parties were heard.*gamma/s)]);
  await c.start();
  expect(await a.run("recover")).toMatchObject({ code: 0, output: expect.stringMatching(/beta: \d+ payloads/) });
  await a.start();
  expect(await client(a).receive(created.key)).toMatchObject({ payload: utf8(TERMS), sender: network.keyOf("alpha") });
  expect((await client(a).participants(created.key)).sort()).toEqual([keyB, keyC].sort());
  expect(await client(a).receive(call.key)).toMatchObject({ payload: utf8("call"), affected: [created.key] });
  expect(await client(a).receive(strange.key)).toBeUndefined();
  // And the contract can be used as before.
  await client(a).send(utf8("again"), { to: [keyB], flag, affected: [created.key] });
});

describe("who may talk to a manager", () => {
  /** A request to beta's side for other managers, under an identity; undefined: without a certificate. */
  const ask = (identity: ReturnType<typeof createPrivateKey> | undefined, path: string, body: string) =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const own = identity && {
        key: identity.export({ format: "pem", type: "pkcs8" }),
        cert: toPem("CERTIFICATE", certificateOf(identity)),
      };
      const call = request(
        new URL(path, b.config.p2p.url),
        { method: "POST", rejectUnauthorized: false, agent: false, ...own },
        (answer) => {
          let text = "";
          answer.on("data", (part) => (text += String(part)));
          answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
        },
      );
      call.on("error", reject);
      call.end(body);
    });

  test("a stranger's certificate, or none, ends the connection", async () => {
    const stranger = generateKeyPairSync("ed25519").privateKey;
    for (const identity of [stranger, undefined])
      await expect(ask(identity, "/resend", '{"after":"0"}')).rejects.toThrow(/certificate|alert|ECONNRESET|hang up/i);
  });

  test("a party gets back its own payloads alone, and hands over only what it sent", async () => {
    const { identityKey } = await import("@msec/privacy");
    const gamma = identityKey(c.config.dataDir);
    const { key } = await client(a).send(utf8("for beta alone"), { to: [keyB] });
    const page = await ask(gamma, "/resend", '{"after":"0"}');
    expect(page.status).toBe(200);
    const { envelopes } = JSON.parse(page.text) as { envelopes: { boxes: { recipient: string }[]; body: string }[] };
    const db = connect(b.config.databaseUrl);
    const { rows } = await db.query("select body from payloads where key = $1", [base64(key)]);
    const envelope = await db.query("select recipient, box from boxes where key = $1", [base64(key)]);
    await db.end();
    expect(envelopes.map(({ body }) => body)).not.toContain((rows[0].body as Buffer).toString("base64"));
    const stolen = {
      ...{
        body: rows[0].body.toString("base64"),
        flag: 0,
        execHash: "",
        affected: [],
        mandatory: [],
        participants: [],
      },
      boxes: envelope.rows.map((row) => ({ recipient: row.recipient, box: row.box.toString("base64") })),
    };
    expect(await ask(gamma, "/push", JSON.stringify(stolen))).toEqual({
      status: 403,
      text: expect.stringMatching(/gamma is not the sender/),
    });
    expect((await ask(gamma, "/push", '{"body":1}')).status).toBe(400);
    expect((await ask(gamma, "/resend", '{"after":"-1"}')).status).toBe(400);
  });
});

describe("at rest and in the logs", () => {
  test("nothing of a payload or a private key stands in any database, log or configuration", async () => {
    await client(a).send(utf8(TERMS), { to: [keyB] });
    const needles = [TERMS, Buffer.from(TERMS).toString("base64"), Buffer.from(TERMS).toString("hex")];
    for (const m of network.managers) {
      const db = connect(m.config.databaseUrl);
      const tables = ["payloads", "boxes", "raw", "outbox"];
      const dump = await Promise.all(
        tables.map(async (t) => JSON.stringify((await db.query(`select t::text from ${t} t`)).rows)),
      );
      await db.end();
      for (const text of [...dump, m.log, readFileSync(m.file, "utf8")])
        for (const needle of needles) expect(text.includes(needle)).toBe(false);
    }
  });

  test("a lost key is not made anew: the manager says what to restore", async () => {
    const file = join(c.config.dataDir, "key-main.sealed");
    const kept = readFileSync(file);
    await c.stop();
    rmSync(file);
    await expect(c.start()).rejects.toThrow(/key-main\.sealed .* make the keys with keygen, or restore them/);
    writeFileSync(file, kept, { mode: 0o600 });
    await c.start();
  });

  test("a party list that was tampered with is not used", async () => {
    const file = c.config.partyList;
    const kept = readFileSync(file, "utf8");
    const [alpha, ...rest] = network.parties as [(typeof network.parties)[0], ...typeof network.parties];
    const refused = async (list: object, message: RegExp) => {
      writeFileSync(file, JSON.stringify(list));
      await expect(c.start()).rejects.toThrow(message);
    };
    await c.stop();
    try {
      await refused([{ ...alpha, url: "https://127.0.0.1:1" }, ...rest], /entry of alpha is not signed/);
      await refused([{ ...alpha, keys: [keyB] }, ...rest], /entry of alpha is not signed/);
      await refused([alpha, alpha, ...rest], /two entries are named alpha/);
      await refused([alpha], /no entry has this manager's certificate/);
      const mallory = generateKeyPairSync("ed25519").privateKey;
      const thief = partyEntry("mallory", "https://127.0.0.1:1", mallory, alpha.keys);
      await refused([alpha, ...rest, thief], /is in the entries of alpha and mallory/);
    } finally {
      writeFileSync(file, kept);
    }
    await c.start();
  });
});
