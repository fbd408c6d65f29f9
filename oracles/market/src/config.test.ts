import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readConfig } from "./config.ts";

const folder = mkdtempSync(join(tmpdir(), "msec-market-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const good = {
  name: "market-1",
  dataDir: "/var/lib/msec/market",
  databaseUrl: "postgres://127.0.0.1/market",
  port: 8081,
  chain: { rpc: "http://127.0.0.1:8545", blockSeconds: 1, chainId: 20260, addresses: {} },
  custody: { url: "http://127.0.0.1:8080", dataDir: "/var/lib/msec/operator" },
  bond: { token: `0x${"70".repeat(20)}`, amount: "100000000" },
};
const read = (value: unknown, env: NodeJS.ProcessEnv = {}) => {
  const file = join(folder, "config.json");
  writeFileSync(file, JSON.stringify(value));
  return readConfig(file, env);
};

test("what is left out is on loopback and at log level info", () => {
  expect(read(good)).toEqual({ ...good, host: "127.0.0.1", logLevel: "info" });
});

test("DATABASE_URL wins over the file", () => {
  expect(read(good, { DATABASE_URL: "postgres://db/market" }).databaseUrl).toBe("postgres://db/market");
});

test("a bond is a whole number as text, so that no unit is lost", () => {
  for (const amount of ["1.5", "", "-1", 100])
    expect(() => read({ ...good, bond: { ...good.bond, amount } })).toThrow(/\n {2}bond\.amount: /);
});
