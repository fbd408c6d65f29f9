// The tests of each file as a tree: contract, function, "when …", "it …", as the tests' names say it. It lies beside the tests
// as `*.tree`, so that what they cover is read at a glance and a test that goes shows in a review.
// `node tools/contracts/trees.mjs` writes the trees, the check compares them.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../setup.mjs";

/** "whenATombstoneCame" as "when a tombstone came". */
const words = (name) => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).trim();

const KINDS = { test: "", testFuzz: " (fuzz)", invariant: " (invariant)" };

/** The parts of a test's name, the last one said to be of a fuzz test or an invariant. */
function pathOf(kind, name) {
  const [first, ...rest] = name.split("_");
  // A function's name stays as it is; a condition or a sentence that stands first is spelt out.
  const isFunction = rest.length > 0 && !/^(when|while|after|every)[A-Z]/.test(first);
  const parts = [isFunction ? first : words(first), ...rest.map(words)];
  return [...parts.slice(0, -1), parts.at(-1) + KINDS[kind]];
}

function* linesOf(node, indent) {
  const entries = [...node];
  for (const [i, [text, children]] of entries.entries()) {
    const last = i === entries.length - 1;
    yield `${indent}${last ? "└──" : "├──"} ${text}`;
    yield* linesOf(children, `${indent}${last ? "   " : "│  "} `);
  }
}

/**
 * @param {string} source Of a file of tests.
 * @returns {string} One tree a contract that has tests; empty if none has.
 */
export function treeOf(source) {
  const trees = new Map();
  let tree;
  for (const [, contract, kind, name] of source.matchAll(
    /^(?:abstract )?contract (\w+)|^ +function (test|testFuzz|invariant)_(\w+)\(/gm,
  )) {
    if (contract) {
      trees.set(contract, (tree = new Map()));
      continue;
    }
    let node = tree;
    for (const part of pathOf(kind, name)) {
      if (!node.has(part)) node.set(part, new Map());
      node = node.get(part);
    }
  }
  return [...trees]
    .filter(([, tests]) => tests.size > 0)
    .map(([contract, tests]) => [contract, ...linesOf(tests, ""), ""].join("\n"))
    .join("\n");
}

/** @returns {Map<string, string>} What the tree beside each file of tests must be, by the file; empty where there must be none. */
function wanted() {
  const files = readdirSync(join(root, "contracts"), { recursive: true, encoding: "utf8" }).sort();
  return new Map(
    files
      .filter((name) => name.endsWith(".t.sol"))
      .map((name) => join("contracts", name))
      .map((file) => [file, treeOf(readFileSync(join(root, file), "utf8"))]),
  );
}

const treeBeside = (file) => file.replace(/\.t\.sol$/, ".tree");

/** Every file that has tests. */
export const testFiles = () => [...wanted()].filter(([, tree]) => tree !== "").map(([file]) => file);

/** @returns {string[]} Trees that are not those of the tests beside them, and trees beside none. */
export function checkTrees(say) {
  const trees = new Map([...wanted()].map(([file, tree]) => [treeBeside(file), tree]));
  const read = (file) => (existsSync(join(root, file)) ? readFileSync(join(root, file), "utf8") : "");
  const wrong = [...trees]
    .filter(([file, tree]) => read(file) !== tree)
    .map(([file]) => `${file} is not the tree of its tests: run node tools/contracts/trees.mjs, and read what changed`);
  for (const name of readdirSync(join(root, "contracts"), { recursive: true, encoding: "utf8" }))
    if (name.endsWith(".tree") && !trees.has(join("contracts", name)))
      wrong.push(`contracts/${name} lies beside no tests`);
  say(`${[...trees.values()].filter(Boolean).length} files of tests, ${wrong.length} trees that are not theirs`);
  return wrong;
}

if (process.argv[1] === import.meta.filename)
  for (const [file, tree] of wanted())
    if (tree === "") rmSync(join(root, treeBeside(file)), { force: true });
    else writeFileSync(join(root, treeBeside(file)), tree);
