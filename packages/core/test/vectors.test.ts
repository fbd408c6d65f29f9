import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { decodeBundle, encodeBundle, verify } from "../src/index.ts";
import { makeVectors } from "../vectors/make.ts";
import { mismatches, outcome, type VectorFile } from "../vectors/operations.ts";

const folder = new URL("../vectors/", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, folder), "utf8");
const names = readdirSync(folder).filter((name) => name.endsWith(".json"));

test("the files are what make.ts makes, and no others", () => {
  const made = makeVectors();
  expect(names.sort()).toEqual(Object.keys(made).sort());
  for (const [name, text] of Object.entries(made)) expect(read(name), `${name}: run make.ts`).toBe(text);
});

describe.each(names.filter((name) => !name.includes("bundle")))("%s", (name) => {
  const file = JSON.parse(read(name)) as VectorFile;
  test("comes out of the code as it stands in the file", () => {
    expect(file.cases.length).toBeGreaterThan(1);
    expect(mismatches(file)).toEqual([]);
  });
  test("would show a difference", () => {
    const [first] = file.cases as [VectorFile["cases"][0]];
    expect(mismatches({ ...file, cases: [{ ...first, out: { refused: "x" } }] })).toEqual([first.what]);
  });
});

test("vectors of the key tree, covers, packs and windows hold more than agreement: right ones pass, wrong ones fail", () => {
  const window = JSON.parse(read("window.json")) as VectorFile;
  const passed = window.cases.filter((c) => !("refused" in c.out)).map((c) => c.what);
  expect(passed).toEqual(["complete", "complete, committee pinned", "with holes", "ended by a head", "without packs"]);
  expect(outcome(window, "verify", { bundle: { shared: "window" } })).toMatchObject({
    packs: 6,
    readings: 8,
    gaps: 1,
    emptySlots: 1,
    recorded: 1,
  });
});

test("a saved bundle with its deal is read and verified", () => {
  const text = read("deal.bundle.json");
  const bundle = decodeBundle(text);
  expect(encodeBundle(bundle)).toBe(text);
  expect(verify(bundle)).toMatchObject({ packs: 4, readings: 6 });
});
