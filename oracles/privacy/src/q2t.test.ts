import { randomBytes } from "node:crypto";
import { mkdtempSync, statSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ManagerProcess, PrivacyNetwork } from "../../../test/support/privacy.ts";

// Requests word for word as GoQuorum 24.4.1 sends them (private/engine/tessera): lists that it has not are null, slashes of
// base64 are escaped and plus signs are not, a GET has a body type and no body.

const V1 = "application/json";
const V2 = "application/vnd.tessera-2.1+json";
const V4 = "application/vnd.tessera-4.0+json";

let network: PrivacyNetwork;
let a: ManagerProcess, b: ManagerProcess;
let keyA: string, keyB: string;
const payload = Buffer.from("0x6080604052").toString("base64");

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "msec-q2t-"));
  network = await PrivacyNetwork.create(folder, ["alpha", "beta"], (name) =>
    name === "alpha"
      ? {
          keys: ["main", "desk"],
          residentGroups: [
            { name: "head office", description: "", keys: ["main"] },
            { name: "trading desk", description: "of the market", keys: ["desk"] },
          ],
        }
      : {},
  );
  [a, b] = network.managers as [ManagerProcess, ManagerProcess];
  await network.start();
  keyA = network.keyOf("alpha");
  keyB = network.keyOf("beta");
});
afterAll(() => network?.stop());

interface Answer {
  status: number;
  type: string;
  text: string;
  json: Record<string, unknown>;
}

/** Over the Unix socket, with Go's path escaping. */
function ask(
  m: ManagerProcess,
  method: string,
  path: string,
  { type = V4, body, headers = {} }: { type?: string; body?: object | string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const bytes = typeof body === "object" ? JSON.stringify(body) : body;
    const length = bytes === undefined ? {} : { "Content-Length": String(Buffer.byteLength(bytes)) };
    const all = { "Content-type": type, Accept: type, "User-Agent": "quorum-v24.4.1", ...length, ...headers };
    const call = request({ socketPath: m.socket, method, path, headers: all }, (answer) => {
      let text = "";
      answer.on("data", (part) => (text += String(part)));
      answer.on("end", () => {
        const json = text.startsWith("{") ? (JSON.parse(text) as Record<string, unknown>) : {};
        resolve({ status: answer.statusCode ?? 0, type: String(answer.headers["content-type"]), text, json });
      });
    });
    call.on("error", reject);
    call.end(bytes);
  });
}
const goPath = (key: string) => key.replaceAll("/", "%2F");
const sendBody = () => ({
  ...{ payload, to: [keyB], affectedContractTransactions: [], privacyFlag: 0, mandatoryRecipients: null },
});

describe("the node's start", () => {
  test("/upcheck, /version and /version/api answer on the socket, which is the owner's alone", async () => {
    expect(await ask(a, "GET", "/upcheck")).toMatchObject({ status: 200, text: "I'm up!" });
    expect((await ask(a, "GET", "/version")).text).toMatch(/^msec-privacy \d/);
    const versions = await ask(a, "GET", "/version/api");
    expect([versions.type, versions.text]).toEqual([V1, '["1.0","2.0","2.1","3.0","4.0"]']);
    expect(statSync(a.socket).mode & 0o777).toBe(0o600);
  });

  test("/groups/resident in plain JSON, each key in one group, ids in base64", async () => {
    const [, desk] = network.parties[0]?.keys as [string, string];
    expect(JSON.parse((await ask(a, "GET", "/groups/resident", { type: V1 })).text)).toEqual([
      {
        ...{ type: "RESIDENT", name: "head office", description: "", members: [keyA] },
        privacyGroupId: Buffer.from("head office").toString("base64"),
      },
      {
        ...{ type: "RESIDENT", name: "trading desk", description: "of the market", members: [desk] },
        privacyGroupId: Buffer.from("trading desk").toString("base64"),
      },
    ]);
  });
});

describe("media types", () => {
  test.each([V2, V4])("/send as %s answers 201 with key, managedParties and senderKey", async (type) => {
    const answer = await ask(a, "POST", "/send", { type, body: sendBody() });
    expect([answer.status, answer.type]).toEqual([201, type]);
    expect(answer.json).toEqual({ key: expect.any(String), managedParties: [keyA], senderKey: keyA });
    expect(Buffer.from(answer.json.key as string, "base64")).toHaveLength(64);
  });

  test("plain JSON selects the oldest form: the key alone, and no sender when it is read", async () => {
    const answer = await ask(a, "POST", "/send", { type: V1, body: sendBody() });
    expect([answer.status, answer.type, Object.keys(answer.json)]).toEqual([201, V1, ["key"]]);
    const read = await ask(b, "GET", `/transaction/${goPath(answer.json.key as string)}?isRaw=false`, { type: V1 });
    expect(read.json).toEqual({ payload, affectedContractTransactions: [], execHash: "", privacyFlag: 0 });
  });

  test("another media type is refused with those that are taken", async () => {
    const answer = await ask(a, "POST", "/send", { type: "text/plain", body: JSON.stringify(sendBody()) });
    expect([answer.status, answer.text]).toEqual([415, expect.stringContaining(V4)]);
  });

  test("/transaction answers in the form that is accepted", async () => {
    const { json } = await ask(a, "POST", "/send", { body: sendBody() });
    const path = `/transaction/${goPath(json.key as string)}?isRaw=false`;
    const read = await ask(b, "GET", path, { type: V2 });
    expect([read.status, read.type, read.json.senderKey]).toEqual([200, V2, keyA]);
  });

  test("isSender, participants and mandatory are plain text", async () => {
    const body = { ...sendBody(), privacyFlag: 2, mandatoryRecipients: [keyB] };
    const key = goPath((await ask(a, "POST", "/send", { body })).json.key as string);
    const get = async (m: ManagerProcess, what: string) => (await ask(m, "GET", `/transaction/${key}/${what}`)).text;
    expect([await get(a, "isSender"), await get(b, "isSender")]).toEqual(["true", "false"]);
    expect((await get(a, "participants")).split(",").sort()).toEqual([keyA, keyB].sort());
    expect(await get(b, "mandatory")).toBe(keyB);
  });
});

describe("octets", () => {
  const octets = "application/octet-stream";
  test("/sendraw takes the payload and its parties from headers, and answers the key as text", async () => {
    const headers = { "c11n-from": keyA, "c11n-to": keyB };
    const answer = await ask(a, "POST", "/sendraw", { type: octets, body: "raw words", headers });
    expect(answer.status).toBe(200);
    const read = await ask(b, "GET", `/transaction/${goPath(answer.text)}`);
    expect(read.json.payload).toBe(Buffer.from("raw words").toString("base64"));
  });

  test("/sendsignedtx takes the key of a stored payload", async () => {
    const stored = await ask(a, "POST", "/storeraw", { type: V2, body: { payload } });
    expect([stored.status, stored.type]).toEqual([200, V2]);
    const answer = await fetch(`${a.url}/sendsignedtx`, {
      method: "POST",
      headers: { "content-type": octets, "c11n-to": keyB },
      body: Buffer.from(stored.json.key as string, "base64"),
    });
    expect([answer.status, await answer.text()]).toEqual([200, stored.json.key]);
  });
});

test("/receive takes the key in the body of a GET", async () => {
  const { json } = await ask(a, "POST", "/send", { body: sendBody() });
  const read = await ask(b, "GET", "/receive", { type: V1, body: { key: json.key, to: keyB } });
  expect([read.status, read.json.payload]).toEqual([200, payload]);
  expect((await ask(b, "GET", "/receive", { type: V1, body: { key: json.key, to: keyA } })).status).toBe(404);
});

describe("what is only encoded, as an extension's vote needs it", () => {
  const create = async () => (await ask(a, "POST", "/encodedpayload/create", { body: { ...sendBody(), to: [] } })).json;

  test("comes back to its sender, and opens for nobody else", async () => {
    const encoded = await create();
    expect(encoded).toMatchObject({ senderKey: keyA, recipientKeys: [keyA] });
    // Go keeps these six fields alone.
    const back = await ask(a, "POST", "/encodedpayload/decrypt", { type: V2, body: encoded });
    expect([back.status, back.json.payload, back.json.senderKey]).toEqual([200, payload, keyA]);
    expect((await ask(b, "POST", "/encodedpayload/decrypt", { body: encoded })).status).toBe(404);
  });

  test("is refused once a byte is changed", async () => {
    const encoded = await create();
    const bytes = Buffer.from(encoded.cipherText as string, "base64");
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1;
    const body = { ...encoded, cipherText: bytes.toString("base64") };
    expect((await ask(a, "POST", "/encodedpayload/decrypt", { body })).status).toBe(403);
  });
});

describe("bad requests", () => {
  test.each([
    ["no payload", { payload: "" }, /payload: the payload is empty/],
    ["a payload that is no base64", { payload: "%%" }, /payload: expected base64/],
    ["a key of another length", { to: ["AAAA"] }, /to\.0: expected base64 of 32 bytes/],
    ["a flag that is none", { privacyFlag: 4 }, /privacyFlag/],
    ["a field that is unknown, such as a group", { privacyGroupId: "x" }, /privacyGroupId/],
    ["state validation without its root", { privacyFlag: 3 }, /execHash is missing/],
    ["mandatory recipients with another flag", { mandatoryRecipients: [1].map(() => "") }, /mandatoryRecipients/],
    ["flag 2 without mandatory recipients", { privacyFlag: 2 }, /mandatoryRecipients is empty/],
  ])("%s", async (_, change, message) => {
    const answer = await ask(a, "POST", "/send", { body: { ...sendBody(), ...change } });
    expect([answer.status, answer.text]).toEqual([400, expect.stringMatching(message)]);
  });

  test("a body that is no JSON, a path that is nowhere, a key that is none", async () => {
    expect((await ask(a, "POST", "/send", { body: "{" })).status).toBe(400);
    expect((await ask(a, "GET", "/nowhere")).status).toBe(404);
    expect((await ask(a, "GET", "/transaction/AAAA")).status).toBe(400);
    expect((await ask(a, "GET", "/transaction/%E0%A4%A/isSender")).status).toBe(400);
  });

  test("a payload or a body that is too large", async () => {
    const large = randomBytes(4 * 1024 * 1024 + 1).toString("base64");
    expect((await ask(a, "POST", "/send", { body: { ...sendBody(), payload: large } })).status).toBe(413);
    expect((await ask(a, "POST", "/send", { body: "x".repeat(9 * 1024 * 1024) })).status).toBe(413);
    expect((await ask(a, "GET", "/upcheck")).status).toBe(200);
  });
});

test("a web page that leads a name of its own to this machine reads nothing", async () => {
  const port = Number(new URL(a.url).port);
  const status = (host: string) =>
    new Promise((resolve, reject) => {
      const call = request({ host: "127.0.0.1", port, path: "/upcheck", headers: { host } }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      call.on("error", reject);
      call.end();
    });
  expect(await Promise.all([`evil.example:${port}`, `127.0.0.1:${port}`, "localhost"].map(status))).toEqual([
    403, 200, 200,
  ]);
});

test("applications store and learn keys at a server of their own, and read nothing there", async () => {
  const at = (path: string, init?: RequestInit) => fetch(a.thirdParty + path, init);
  const body = JSON.stringify({ payload });
  const stored = await at("/storeraw", { method: "POST", headers: { "content-type": V1 }, body });
  const { key } = (await stored.json()) as { key: string };
  expect((await (await at("/keys")).json()) as object).toEqual({
    keys: network.parties[0]?.keys.map((k) => ({ key: k })),
  });
  expect(((await (await at("/partyinfo/keys")).json()) as { keys: { key: string }[] }).keys).toContainEqual({
    key: keyB,
  });
  expect((await at("/upcheck")).status).toBe(200);
  for (const path of [`/transaction/${encodeURIComponent(key)}?isRaw=true`, "/receive", "/groups/resident"])
    expect((await at(path)).status).toBe(404);
  expect((await at("/send", { method: "POST", headers: { "content-type": V1 }, body })).status).toBe(404);
});

test("the manager's second key sends in its own name, and a payload for it is read as its", async () => {
  const [, desk] = network.parties[0]?.keys as [string, string];
  const { json } = await ask(a, "POST", "/send", { body: { ...sendBody(), from: desk } });
  expect(json).toMatchObject({ senderKey: desk, managedParties: [desk] });
  const back = await ask(b, "POST", "/send", { body: { ...sendBody(), to: [desk] } });
  const read = await ask(a, "GET", `/transaction/${goPath(back.json.key as string)}`);
  expect(read.json).toMatchObject({ payload, senderKey: keyB, managedParties: [desk] });
});
