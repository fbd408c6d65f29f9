import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { z } from "zod";
import { address, bytes32, chain, readConfig } from "./config.ts";

const folder = mkdtempSync(join(tmpdir(), "msec-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ADDRESS = `0x${"ab".repeat(20)}`;
const schema = z.strictObject({
  name: z.string().min(1),
  port: z.int().min(0).max(65535),
  owner: address,
  id: bytes32,
  databaseUrl: z.string().startsWith("postgres"),
  chain,
  delayMs: z.int().default(1000),
});
const good = {
  name: "one",
  port: 80,
  owner: ADDRESS,
  id: `0x${"cd".repeat(32)}`,
  databaseUrl: "postgres://127.0.0.1/one",
  chain: { rpc: "http://127.0.0.1:8545", blockSeconds: 1, chainId: 20260, addresses: { DataAnchor: ADDRESS } },
};

function file(value: unknown): string {
  const path = join(folder, "config.json");
  writeFileSync(path, typeof value === "string" ? value : JSON.stringify(value));
  return path;
}

function problems(value: unknown): string[] {
  try {
    readConfig(schema, file(value));
  } catch (error) {
    return (error as Error).message.split("\n");
  }
  return [];
}

test("a good file is read, with defaults for what it leaves out", () => {
  expect(readConfig(schema, file(good))).toEqual({ ...good, delayMs: 1000 });
});

test("each wrong field is one line that names it", () => {
  const lines = problems({
    ...good,
    name: "",
    port: 70_000,
    owner: ADDRESS.toUpperCase(),
    id: "0x12",
    chain: { ...good.chain, rpc: "not a url", addresses: { DataAnchor: "0x1" } },
  });
  expect(lines[0]).toMatch(/^the configuration .*config\.json is not usable:$/);
  const fields = lines.slice(1).map((line) => /^ {2}([^:]+): \S/.exec(line)?.[1]);
  expect(fields).toEqual(["name", "port", "owner", "id", "chain.rpc", "chain.addresses.DataAnchor"]);
  expect(lines[3]).toBe("  owner: expected a lower-case address of 0x and 40 hex digits");
});

test.each(Object.keys(good))("without %s there is one line about it", (field) => {
  const { [field as keyof typeof good]: _, ...rest } = good;
  const lines = problems(rest);
  expect(lines).toHaveLength(2);
  expect(lines[1]).toMatch(new RegExp(`^  ${field}: `));
});

test("a field that nobody knows is a mistake, not a default", () => {
  const lines = problems({ ...good, prot: 80 });
  expect(lines).toHaveLength(2);
  expect(lines[1]).toMatch(/^ {2}\(file\): .*"prot"/);
});

test("what the environment gives wins; what it leaves empty does not", () => {
  expect(readConfig(schema, file(good), { databaseUrl: "postgresql://db/two" }).databaseUrl).toBe(
    "postgresql://db/two",
  );
  expect(readConfig(schema, file(good), { databaseUrl: "", name: undefined })).toMatchObject(good);
  expect(() => readConfig(schema, file(good), { databaseUrl: "mysql://db" })).toThrow(/\n {2}databaseUrl: /);
});

test("a file that is missing or is no JSON says which", () => {
  const missing = join(folder, "missing.json");
  expect(() => readConfig(schema, missing)).toThrow(`cannot read the configuration ${missing}: ENOENT`);
  expect(() => readConfig(schema, file("{"))).toThrow(/^cannot read the configuration .*config\.json: .*JSON/);
});

test.each(["null", "[]", '"text"', "7"])("%s in place of an object is refused by its fields", (text) => {
  expect(problems(text)[1]).toMatch(/^ {2}name: /);
});
