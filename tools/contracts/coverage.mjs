// Lines that no test reaches. Figures of gas are left out: instrumented code costs more.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../setup.mjs";

const LEAST = 0.95;

/** @returns {string[]} What is not covered enough, and uncovered lines without an explanation in coverage.json. */
export function checkCoverage(say) {
  const { status, stdout, stderr } = spawnSync(
    "hardhat",
    ["test", "solidity", "--network", "istanbul", "--coverage", "--grep-exclude", "[gG]as"],
    { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 },
  );
  if (status !== 0) throw new Error(`tests fail under coverage:\n${(stdout + stderr).slice(-2000)}`);
  const explained = JSON.parse(readFileSync(join(root, "tools/contracts/coverage.json"), "utf8"));
  const wrong = [];
  let all = 0;
  let hit = 0;
  let file = "";
  let source = [];
  let counts = [0, 0];
  for (const line of readFileSync(join(root, "coverage/lcov.info"), "utf8").split("\n")) {
    const [kind, value = ""] = line.split(/:(.*)/);
    if (kind === "SF") {
      file = value;
      source = readFileSync(join(root, file), "utf8").split("\n");
      counts = [0, 0];
    } else if (kind === "DA") {
      const [number, times] = value.split(",").map(Number);
      counts[0]++;
      if (times > 0) counts[1]++;
      else if (!explained.some((e) => e.file === file && e.line === source[number - 1].trim()))
        wrong.push(`${file}:${number}: no test reaches: ${source[number - 1].trim()}`);
    } else if (kind === "end_of_record") {
      all += counts[0];
      hit += counts[1];
      if (counts[1] < LEAST * counts[0]) wrong.push(`${file}: ${counts[1]} of ${counts[0]} lines are reached`);
    }
  }
  say(`${hit} of ${all} lines are reached (${((100 * hit) / all).toFixed(1)} %)`);
  return wrong;
}
