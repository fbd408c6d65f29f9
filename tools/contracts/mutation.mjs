// Mutation testing of the contracts that hold money or truth: of the mutants that change the bytecode at least 95 % must
// be killed, and every survivor is argued in mutation.json.
import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { root } from "../setup.mjs";

const SCORE = 0.95;
const worker = join(root, "tools/contracts/mutation-worker.mjs");

function share(target, n, shares, onOutcome) {
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
    child.send({ ...target, share: n, shares });
  });
}

/** @returns {Promise<string[]>} Scores that are too low, survivors without an argument, arguments without a survivor. */
export async function checkMutation(say) {
  const { targets, survivors } = JSON.parse(readFileSync(join(root, "tools/contracts/mutation.json"), "utf8"));
  const wrong = [];
  for (const target of targets) {
    const counts = { killed: 0, survived: 0, equal: 0, invalid: 0 };
    const alive = [];
    const shares = availableParallelism();
    await Promise.all(
      Array.from({ length: shares }, (_, n) =>
        share(target, n, shares, ({ mutant, outcome }) => {
          counts[outcome]++;
          if (outcome === "survived") alive.push(mutant);
        }),
      ),
    );
    const score = counts.killed / (counts.killed + counts.survived);
    say(
      `${target.name}: ${counts.killed} of ${counts.killed + counts.survived} mutants killed (${(100 * score).toFixed(1)} %), ${counts.equal} with the same bytecode, ${counts.invalid} that do not compile`,
    );
    if (score < SCORE) wrong.push(`${target.name}: ${(100 * score).toFixed(1)} % killed, ${100 * SCORE} % are asked`);
    const argued = survivors.filter((s) => s.contract === target.name);
    const used = new Set();
    for (const mutant of alive.toSorted((a, b) => a.line - b.line)) {
      const source = readFileSync(join(root, target.file), "utf8").split("\n")[mutant.line - 1].trim();
      const index = argued.findIndex((s) => s.operator === mutant.operator && s.line === source);
      if (index >= 0) used.add(index);
      else
        wrong.push(
          `${target.file}:${mutant.line}: survives ${mutant.operator} of \`${mutant.original}\` in: ${source}`,
        );
    }
    for (const [i, s] of argued.entries())
      if (!used.has(i))
        wrong.push(`mutation.json argues for a mutant that is killed: ${s.contract}, ${s.operator}, ${s.line}`);
  }
  return wrong;
}
