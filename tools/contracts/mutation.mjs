// Mutation testing of the contracts that hold money or truth: of the mutants that change the bytecode at least 95 % must
// be killed, and every survivor is argued in mutation.json.
import { fork, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { root } from "../setup.mjs";

const SCORE = 0.95;
const STEP = 12;
const worker = join(root, "tools/contracts/mutation-worker.mjs");

function share(work, onOutcome) {
  return new Promise((resolve, reject) => {
    const child = fork(worker, { cwd: root, execArgv: ["--stack-size=4000"] });
    child.on("message", (message) => {
      if (message.error) {
        child.kill();
        reject(new Error(message.error));
      } else if (message.done) {
        child.kill();
        resolve();
      } else onOutcome(message);
    });
    child.on("error", reject);
    child.on("exit", (code) => code && reject(new Error(`a worker of the mutation tests ended with ${code}`)));
    child.send(work);
  });
}

/**
 * MSEC_LONG=1 tests every mutant and asks for the score; otherwise each STEP-th is tested, and one that survives without an
 * argument is as wrong.
 * @returns {Promise<string[]>} Scores that are too low, survivors without an argument, arguments without a survivor.
 */
export async function checkMutation(say) {
  const { targets, survivors } = JSON.parse(readFileSync(join(root, "tools/contracts/mutation.json"), "utf8"));
  const step = process.env.MSEC_LONG === "1" ? 1 : STEP;
  const built = spawnSync("hardhat", ["build"], { cwd: root, encoding: "utf8" });
  if (built.status !== 0) throw new Error(`contracts and tests do not compile:\n${built.stderr.slice(-2000)}`);
  const wrong = [];
  if (step > 1)
    say(`every ${step}th mutant, from the first one on; MSEC_LONG=1 tests all and asks for ${100 * SCORE} %`);
  for (const target of targets) {
    const lines = readFileSync(join(root, target.file), "utf8").split("\n");
    const keyOf = ({ operator, line }) => `${operator}, ${lines[line - 1].trim()}`;
    const counts = { killed: 0, survived: 0, equal: 0, invalid: 0 };
    const alive = [];
    const shares = availableParallelism();
    await Promise.all(
      Array.from({ length: shares }, (_, n) =>
        share({ ...target, step, share: n, shares }, ({ mutant, outcome }) => {
          counts[outcome]++;
          if (outcome === "survived") alive.push(mutant);
        }),
      ),
    );
    const score = counts.killed / (counts.killed + counts.survived);
    say(
      `${target.name}: ${counts.killed} of ${counts.killed + counts.survived} mutants killed (${(100 * score).toFixed(1)} %), ${counts.equal} with the same bytecode, ${counts.invalid} that do not compile`,
    );
    if (step === 1 && score < SCORE)
      wrong.push(`${target.name}: ${(100 * score).toFixed(1)} % killed, ${100 * SCORE} % are asked`);
    const argued = survivors.filter((s) => s.contract === target.name).map((s) => `${s.operator}, ${s.line}`);
    const survived = new Set(alive.map(keyOf));
    for (const mutant of alive.toSorted((a, b) => a.line - b.line))
      if (!argued.includes(keyOf(mutant)))
        wrong.push(`${target.file}:${mutant.line}: survives ${keyOf(mutant)} (\`${mutant.original}\`)`);
    for (const key of step === 1 ? argued : [])
      if (!survived.has(key))
        wrong.push(`mutation.json argues for a mutant that does not survive: ${target.name}, ${key}`);
  }
  return wrong;
}
