import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ManagerProcess, PrivacyNetwork } from "../../../test/support/privacy.ts";

const V4 = "application/vnd.tessera-4.0+json";
let network: PrivacyNetwork;
let a: ManagerProcess, b: ManagerProcess, c: ManagerProcess;
let keyA: string, keyB: string;

beforeAll(async () => {
  network = await PrivacyNetwork.create(mkdtempSync(join(tmpdir(), "msec-privacy-")), ["alpha", "beta", "gamma"]);
  [a, b, c] = network.managers as [ManagerProcess, ManagerProcess, ManagerProcess];
  await network.start();
  keyA = network.keyOf("alpha");
  keyB = network.keyOf("beta");
});
afterAll(() => network?.stop());

async function send(m: ManagerProcess, body: object, path = "/send") {
  const answer = await fetch(m.url + path, {
    method: "POST",
    headers: { "content-type": V4 },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.text() };
}
const read = async (m: ManagerProcess, key: string, path = "") => {
  const answer = await fetch(`${m.url}/transaction/${encodeURIComponent(key)}${path}`, { headers: { accept: V4 } });
  return { status: answer.status, body: await answer.text() };
};

test("a payload reaches its parties and nobody else", async () => {
  const payload = Buffer.from("price per reading 5").toString("base64");
  const answer = await send(a, { payload, to: [keyB] });
  expect(answer.status).toBe(201);
  const { key } = JSON.parse(answer.body);
  for (const m of [a, b]) expect(JSON.parse((await read(m, key)).body)).toMatchObject({ payload, senderKey: keyA });
  expect((await read(c, key)).status).toBe(404);
});
