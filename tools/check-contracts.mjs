// What an auditor runs: every check of the contracts, one after the other, each saying what it looked at.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { checkBytecode } from "./contracts/bytecode.mjs";
import { checkCoverage } from "./contracts/coverage.mjs";
import { checkForks } from "./contracts/forks.mjs";
import { checkHalmos } from "./contracts/halmos.mjs";
import { checkMutation } from "./contracts/mutation.mjs";
import { checkSemgrep } from "./contracts/semgrep.mjs";
import { checkSlither } from "./contracts/slither.mjs";
import { checkSmt } from "./contracts/smt.mjs";
import { checkCampaigns, checkTests } from "./contracts/tests.mjs";
import { checkTrees } from "./contracts/trees.mjs";
import { checkWycheproof } from "./contracts/wycheproof.mjs";

const checks = {
  bytecode: checkBytecode,
  semgrep: checkSemgrep,
  slither: checkSlither,
  wycheproof: checkWycheproof,
  smt: checkSmt,
  halmos: checkHalmos,
  trees: checkTrees,
  tests: checkTests,
  forks: checkForks,
  coverage: checkCoverage,
  mutation: checkMutation,
  campaigns: checkCampaigns,
};

const given = process.argv.slice(2);
/** `-halmos`: all but that one. */
const leftOut = given.filter((name) => name.startsWith("-")).map((name) => name.slice(1));
const wanted = given.filter((name) => !name.startsWith("-"));
const unknown = [...wanted, ...leftOut].filter((name) => !checks[name]);
if (unknown.length > 0) {
  process.stderr.write(`no check is called ${unknown.join(", ")}: there are ${Object.keys(checks).join(", ")}\n`);
  process.exit(2);
}

/** Takes as long as all before it together, and one core: it runs beside them, in a process of its own. */
const BESIDE = "coverage";
const names = Object.keys(checks).filter(
  (name) => (wanted.length === 0 || wanted.includes(name)) && !leftOut.includes(name),
);
const beside = names.length > 1 && names.includes(BESIDE) ? inOwnProcess(BESIDE) : undefined;

let failed = 0;
const left = [];
for (const name of names) {
  if (name === BESIDE && beside) {
    const { code, output } = await beside;
    process.stdout.write(output);
    if (code !== 0) failed++;
  } else if (!(await run(name))) failed++;
}
// Of a single check its own last line says it.
if (names.length > 1) {
  const passed = left.length === 0 ? "every check passed" : `every check but ${left.join(", ")} was run and passed`;
  process.stdout.write(`\n${failed === 0 ? passed : `${failed} checks failed`}\n`);
}
process.exit(failed === 0 ? 0 : 1);

/** @returns {Promise<boolean>} Whether it passed, or says why it was not run. */
async function run(name) {
  const started = Date.now();
  process.stdout.write(`\n=== ${name}\n`);
  let wrong;
  try {
    wrong = await checks[name]((line) => process.stdout.write(`${line}\n`));
  } catch (error) {
    wrong = [error.message];
  }
  if (wrong === undefined) {
    left.push(name);
    process.stdout.write(`=== ${name}: not run\n`);
    return true;
  }
  for (const line of wrong) process.stdout.write(`  ${line}\n`);
  const seconds = Math.round((Date.now() - started) / 1000);
  process.stdout.write(`=== ${name}: ${wrong.length === 0 ? "passed" : `${wrong.length} wrong`} in ${seconds} s\n`);
  return wrong.length === 0;
}

/** @returns {Promise<{code: number, output: string}>} */
function inOwnProcess(name) {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), name], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}
