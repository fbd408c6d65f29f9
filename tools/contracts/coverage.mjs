// Lines that no test reaches and branches that no test takes, counted in a copy of the contracts whose conditions are probed.
// Figures of gas are left out: instrumented code costs more.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../setup.mjs";
import { PROBE, PROBE_FILE, probe, tagOf } from "./branches.mjs";
import { solidityTests } from "./tests.mjs";

const LEAST = 0.95;
/** What the tests need beside the contracts. */
const COPIED = ["hardhat.config.ts", "package.json", "packages/core/vectors", "packages/trust/vectors"];

/** @returns {object[]} The conditions of the probed copy that this makes in an empty folder. */
function probedCopy(folder) {
  cpSync(join(root, "contracts"), join(folder, "contracts"), { recursive: true });
  for (const path of COPIED) cpSync(join(root, path), join(folder, path), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const sites = [];
  for (const name of readdirSync(join(folder, "contracts"), { recursive: true, encoding: "utf8" }).sort()) {
    const file = join("contracts", name);
    if (!file.endsWith(".sol") || file.endsWith(".t.sol")) continue;
    const probed = probe(file, readFileSync(join(root, file), "utf8"), sites.length);
    writeFileSync(join(folder, file), probed.source);
    sites.push(...probed.sites);
  }
  writeFileSync(join(folder, PROBE_FILE), PROBE);
  return sites;
}

/** Adds one to what a file has, and to what of it was hit. */
class Tally {
  #files = new Map();

  count(file, hit) {
    const [all, hits] = this.#files.get(file) ?? [0, 0];
    this.#files.set(file, [all + 1, hits + (hit ? 1 : 0)]);
  }

  /** @returns {string[]} The files with too little of it. */
  tooLow(what) {
    return [...this.#files]
      .filter(([, [all, hits]]) => hits < LEAST * all)
      .map(([file, [all, hits]]) => `${file}: ${hits} of ${all} ${what} are reached`);
  }

  toString() {
    const [all, hits] = [...this.#files.values()].reduce((sum, [a, h]) => [sum[0] + a, sum[1] + h], [0, 0]);
    return `${hits} of ${all} (${((100 * hits) / all).toFixed(1)} %)`;
  }
}

function lines(folder, missed) {
  const tally = new Tally();
  let file = "";
  let source = [];
  for (const line of readFileSync(join(folder, "coverage/lcov.info"), "utf8").split("\n")) {
    const [kind, value = ""] = line.split(/:(.*)/);
    if (kind === "SF") {
      file = value;
      if (file !== PROBE_FILE) source = readFileSync(join(root, file), "utf8").split("\n");
    } else if (kind === "DA" && file !== PROBE_FILE) {
      const [number, times] = value.split(",").map(Number);
      tally.count(file, times > 0);
      if (times === 0) missed({ file, number, line: source[number - 1].trim() });
    }
  }
  return tally;
}

function branches(folder, sites, missed) {
  const data = join(folder, "coverage/data");
  const hit = new Set(
    readdirSync(data, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".json"))
      .flatMap((name) => Object.keys(JSON.parse(readFileSync(join(data, name), "utf8"))))
      .map((tag) => String(BigInt(`0x${tag}`))),
  );
  const tally = new Tally();
  for (const [site, { file, line: number, text: line }] of sites.entries())
    for (const taken of [true, false]) {
      const reached = hit.has(tagOf(site, taken));
      tally.count(file, reached);
      if (!reached) missed({ file, number, line, never: taken });
    }
  return tally;
}

/**
 * @returns {string[]} Files with too little covered, what is not covered and not explained in coverage.json, and
 * explanations of what is covered.
 */
export function checkCoverage(say) {
  const explained = JSON.parse(readFileSync(join(root, "tools/contracts/coverage.json"), "utf8"));
  const used = new Set();
  const wrong = [];
  const missed = ({ file, number, line, never }) => {
    const reason = explained.find((e) => e.file === file && e.line === line && e.never === never);
    if (reason) used.add(reason);
    else
      wrong.push(
        `${file}:${number}: no test ${never === undefined ? "reaches" : `finds it ${String(never)}`}: ${line}`,
      );
  };
  const folder = mkdtempSync(join(tmpdir(), "msec-coverage-"));
  try {
    const sites = probedCopy(folder);
    const { failed, output } = solidityTests(
      ["--network", "istanbul", "--coverage", "--grep-exclude", "[gG]as"],
      false,
      folder,
    );
    if (failed) throw new Error(`tests fail under coverage:\n${output}`);
    const ofLines = lines(folder, missed);
    const ofBranches = branches(folder, sites, missed);
    say(`lines reached: ${ofLines}; ways of conditions taken: ${ofBranches}`);
    wrong.push(...ofLines.tooLow("lines"), ...ofBranches.tooLow("ways of conditions"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  for (const e of explained)
    if (!used.has(e)) wrong.push(`coverage.json explains what is covered: ${e.file}: ${e.line}`);
  return wrong;
}
