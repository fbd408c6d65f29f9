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

  test("docs/contracts.md has no figure of gas that snapshots/ has not", () => {
    const kept = new Set(
      files("snapshots", ".json").flatMap((file) => Object.values(JSON.parse(read(file)) as Record<string, string>)),
    );
    const figures = figuresOf(read("docs/contracts.md"), "Gas");
    expect(figures.length).toBeGreaterThan(20);
    expect(figures.filter((figure) => !kept.has(figure.replaceAll(",", "")))).toEqual([]);
  });

  test("docs/contracts.md says who may do what as roles.json has it", () => {
    const { roles, delays, table } = JSON.parse(read("contracts/access/roles.json")) as {
      roles: Record<string, number>;
      delays: Record<string, number>;
      table: { contract: string; function: string; role: string }[];
    };
    const rows = [...read("docs/contracts.md").matchAll(/^\| ([A-Z]+) (\d+) \| (none|\d+ days) \| (.*) \|$/gm)];
    expect(Object.fromEntries(rows.map(([, role, id]) => [role, Number(id)]))).toEqual(roles);
    const secondsOf = (delay = "") => (delay === "none" ? 0 : Number.parseInt(delay) * 86_400);
    expect(Object.fromEntries(rows.map(([, role, , delay]) => [role, secondsOf(delay)]))).toEqual(delays);
    // What the admin may do is the manager's own, and no row of the table.
    const told = rows
      .filter(([, role]) => role !== "ADMIN")
      .flatMap(([, role, , , functions]) => rowsOf(functions as string).map((row) => `${role} ${row}`));
    const kept = table.map((row) => `${row.role} ${row.contract}.${row.function.split("(")[0]}`);
    expect(told.sort()).toEqual(kept.sort());
  });
});

/** Figures with commas of the tables under a heading, up to the next one. */
function figuresOf(text: string, heading: string): string[] {
  const [, section = ""] = text.split(`\n## ${heading}\n`);
  const [part = ""] = section.split("\n## ");
  const rows = part.split("\n").filter((line) => line.startsWith("|"));
  return rows.flatMap(
    (row) =>
      row
        .split("|")
        .at(-2)
        ?.match(/\d{1,3}(?:,\d{3})+/g) ?? [],
  );
}

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
