import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readConfig } from "./config.ts";

const folder = mkdtempSync(join(tmpdir(), "msec-custody-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const member = { address: `0x${"a1".repeat(20)}`, organisation: `0x${"01".repeat(32)}`, url: "http://127.0.0.1:8080" };
const good = {
  name: "operator-1",
  dataDir: "/var/lib/msec/operator",
  databaseUrl: "postgres://127.0.0.1/operator",
  port: 8080,
  mqttUrl: "mqtt://127.0.0.1:1883",
  chain: { rpc: "http://127.0.0.1:8545", blockSeconds: 1, chainId: 20260, addresses: {} },
  committee: [member],
};
const read = (value: unknown, env: NodeJS.ProcessEnv = {}) => {
  const file = join(folder, "config.json");
  writeFileSync(file, JSON.stringify(value));
  return readConfig(file, env);
};

test("what is left out: loopback, a second an epoch, three of silence, 20,000 packs a stream", () => {
  expect(read(good)).toEqual({
    ...good,
    host: "127.0.0.1",
    ipfsPort: 0,
    epochMs: 1000,
    silenceMs: 3000,
    maxPending: 20_000,
    erasureRoot: { kind: "file" },
    logLevel: "info",
  });
});

test("DATABASE_URL and IPFS_API_URL win over the file", () => {
  const env = { DATABASE_URL: "postgres://db/one", IPFS_API_URL: "http://127.0.0.1:5001" };
  expect(read({ ...good, ipfsApiUrl: "http://127.0.0.1:1" }, env)).toMatchObject({
    databaseUrl: "postgres://db/one",
    ipfsApiUrl: "http://127.0.0.1:5001",
  });
});

test.each([
  ["committee", { committee: [] }],
  ["committee.0.address", { committee: [{ ...member, address: member.address.toUpperCase() }] }],
  ["committee.0.organisation", { committee: [{ ...member, organisation: "operator-1" }] }],
  ["committee.0.url", { committee: [{ ...member, url: "127.0.0.1" }] }],
  ["mqttUrl", { mqttUrl: "http://127.0.0.1" }],
  ["epochMs", { epochMs: 10 }],
  ["silenceMs", { silenceMs: 100 }],
  ["maxPending", { maxPending: 0 }],
  ["port", { port: 65536 }],
  ["logLevel", { logLevel: "loud" }],
])("%s out of its range is refused by name", (field, change) => {
  expect(() => read({ ...good, ...change })).toThrow(new RegExp(`\\n  ${field.replaceAll(".", "\\.")}: `));
});
