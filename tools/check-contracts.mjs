// What an auditor runs: every check of the contracts, one after the other, each saying what it looked at.
import { checkBytecode } from "./contracts/bytecode.mjs";
import { checkCoverage } from "./contracts/coverage.mjs";
import { checkForks } from "./contracts/forks.mjs";
import { checkHalmos } from "./contracts/halmos.mjs";
import { checkMutation } from "./contracts/mutation.mjs";
import { checkSemgrep } from "./contracts/semgrep.mjs";
import { checkSlither } from "./contracts/slither.mjs";
import { checkSmt } from "./contracts/smt.mjs";
import { checkWycheproof } from "./contracts/wycheproof.mjs";

const checks = {
  bytecode: checkBytecode,
  semgrep: checkSemgrep,
  slither: checkSlither,
  wycheproof: checkWycheproof,
  smt: checkSmt,
  halmos: checkHalmos,
  forks: checkForks,
  coverage: checkCoverage,
  mutation: checkMutation,
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !checks[name]);
if (unknown.length > 0) {
  process.stderr.write(`no check is called ${unknown.join(", ")}: there are ${Object.keys(checks).join(", ")}\n`);
  process.exit(2);
}
let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const started = Date.now();
  process.stdout.write(`\n=== ${name}\n`);
  let wrong;
  try {
    wrong = await check((line) => process.stdout.write(`${line}\n`));
  } catch (error) {
    wrong = [error.message];
  }
  for (const line of wrong) process.stdout.write(`  ${line}\n`);
  if (wrong.length > 0) failed++;
  const seconds = Math.round((Date.now() - started) / 1000);
  process.stdout.write(`=== ${name}: ${wrong.length === 0 ? "passed" : `${wrong.length} wrong`} in ${seconds} s\n`);
}
process.stdout.write(`\n${failed === 0 ? "every check passed" : `${failed} checks failed`}\n`);
process.exit(failed === 0 ? 0 : 1);
