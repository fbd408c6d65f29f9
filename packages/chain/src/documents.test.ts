import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const root = new URL("../../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), "utf8");
const files = (folder: string, end: string): string[] =>
  readdirSync(new URL(folder, root), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(end) && !file.includes("node_modules"))
    .map((file) => `${folder}/${file}`);

/** What an auditor reads must be there: documents name tests, files and roles. */
describe("the documents", () => {
  const solidity = files("contracts", ".t.sol").map(read).join("\n");
  const documents = files("docs", ".md").filter((file) => !file.includes("images"));

  test("name only Solidity tests that exist; a name that ends in … stands for all that begin so", () => {
    const missing = documents.flatMap((file) =>
      [...read(file).matchAll(/`((?:test|testFuzz|invariant)_\w+)(…?)`/g)]
        .filter(([, name, open]) => !solidity.includes(open ? `function ${name}` : `function ${name}(`))
        .map(([name]) => `${file}: ${name}`),
    );
    expect(missing).toEqual([]);
    expect(documents.some((file) => /`test_\w+/.test(read(file)))).toBe(true);
  });

  test("name only test contracts and test files that exist", () => {
    const contracts = new Set([...solidity.matchAll(/contract (\w+)/g)].map(([, name]) => name));
    const all = new Set(
      ["packages", "oracles", "apps", "device-firmware", "test", "contracts"].flatMap((folder) => files(folder, ".ts")),
    );
    const missing = documents.flatMap((file) => [
      ...[...read(file).matchAll(/`([A-Z]\w+(?:Test|Invariants|Handler))`/g)]
        .filter(([, name]) => !contracts.has(name))
        .map(([, name]) => `${file}: ${name}`),
      ...[...read(file).matchAll(/`([\w/.-]+\.test\.ts)`/g)]
        .filter(([, name]) => ![...all].some((path) => path.endsWith(name as string)))
        .map(([, name]) => `${file}: ${name}`),
    ]);
    expect(missing).toEqual([]);
  });

  test("say of each event and error when it comes, in the interface that declares it", () => {
    const undocumented = files("contracts", ".sol")
      .filter((file) => /\/I[A-Z]\w+\.sol$/.test(file))
      .flatMap((file) =>
        [...read(file).matchAll(/^(.*)\n +((?:event|error) \w+)\(/gm)]
          .filter(([, before]) => !before?.trim().startsWith("///"))
          .map(([, , what]) => `${file}: ${what}`),
      );
    expect(undocumented).toEqual([]);
  });

  test("docs/contracts.md says who may do what as roles.json has it", () => {
    const { roles, table } = JSON.parse(read("contracts/access/roles.json")) as {
      roles: Record<string, number>;
      table: { contract: string; function: string; role: string }[];
    };
    const text = read("docs/contracts.md");
    const told = [...text.matchAll(/^\| ([A-Z]+) (\d+)[^|]*\| (.*) \|$/gm)].flatMap(([, role, id, functions]) => {
      expect(roles[role as string], role).toBe(Number(id));
      return rowsOf(functions as string).map((row) => `${role} ${row}`);
    });
    const kept = table.map((row) => `${row.role} ${row.contract}.${row.function.split("(")[0]}`);
    expect(told.sort()).toEqual(kept.sort());
  });
});

/** "`A.f`, `g`; `B.h`" and "`f` of `A`, `B`" as contract.function. */
function rowsOf(cell: string): string[] {
  const of = /^`(\w+)` of (.*)$/.exec(cell);
  if (of) return [...(of[2] as string).matchAll(/`(\w+)`/g)].map(([, contract]) => `${contract}.${of[1]}`);
  return cell.split(";").flatMap((part) => {
    let contract = "";
    return [...part.matchAll(/`(?:(\w+)\.)?(\w+)`/g)].map(([, named, name]) => {
      contract = named ?? contract;
      return `${contract}.${name}`;
    });
  });
}
