// solc's model checker over contracts/models: every assertion is proved for any sequence of calls, and a model with a bug
// in it is refuted, so that the proof can fail.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { root } from "../setup.mjs";

const solc = createRequire(join(root, "package.json"))("solc");
const folder = "contracts/models";
const PROVED = "9576";

/** Contracts of a model, asked one by one: together the solver gives up. */
const MODELS = {
  "EscrowModel.t.sol": ["EscrowModel", "EscrowShares"],
  "ReputationModel.t.sol": ["PairModel", "CitizensModel", "DecayDown", "DecayUp", "Mean", "Objective", "Weight"],
  "SubscriptionModel.t.sol": ["SubscriptionMoney", "SubscriptionTime", "SubscriptionShares"],
};

/** What must be found out. */
const BUGS = [
  {
    file: "EscrowModel.t.sol",
    contract: "EscrowModel",
    bug: "a refunded deal goes on holding its money",
    from: "        credits += held;\n        held = 0;\n",
    to: "        credits += held;\n",
  },
  {
    file: "ReputationModel.t.sol",
    contract: "PairModel",
    bug: "the cap does not count what was given before",
    from: "require(decayed + weight <= 65_536);",
    to: "require(weight <= 65_536);",
  },
  {
    file: "SubscriptionModel.t.sol",
    contract: "SubscriptionMoney",
    bug: "a batch proved wrong is paid back and kept",
    from: "        pending -= amount;\n        credits += amount;\n        _end();\n",
    to: "        credits += amount;\n        _end();\n",
  },
];

/** What the checker says of each target of one contract. No time-out: it would end solc's own process. */
function ask(file, contract, content) {
  const path = `${folder}/${file}`;
  const output = JSON.parse(
    solc.compile(
      JSON.stringify({
        language: "Solidity",
        sources: { [path]: { content } },
        settings: {
          evmVersion: "istanbul",
          modelChecker: {
            engine: "chc",
            contracts: { [path]: [contract] },
            targets: ["assert", "divByZero"],
            solvers: ["z3"],
            showProvedSafe: true,
            showUnproved: true,
          },
          outputSelection: { [path]: { [contract]: [] } },
        },
      }),
    ),
  );
  return output.errors ?? [];
}

/** @returns {string[]} Targets that are not proved, models in which nothing is, bugs that are not found. */
export function checkSmt(say) {
  const wrong = [];
  let proved = 0;
  for (const [file, names] of Object.entries(MODELS)) {
    const source = readFileSync(join(root, folder, file), "utf8");
    const contracts = [...source.matchAll(/^contract (\w+)/gm)].map((m) => m[1]);
    for (const name of contracts) if (!names.includes(name)) wrong.push(`${file}: nobody asks about ${name}`);
    for (const name of names) {
      const said = ask(file, name, source);
      const safe = said.filter((e) => e.errorCode === PROVED).length;
      if (safe === 0) wrong.push(`${file}: nothing is proved of ${name}`);
      proved += safe;
      for (const e of said)
        if (e.errorCode !== PROVED)
          wrong.push(`${name}: ${e.formattedMessage.split("\n").slice(0, 4).join(" ").trim()}`);
    }
  }
  for (const { file, contract, bug, from, to } of BUGS) {
    const source = readFileSync(join(root, folder, file), "utf8");
    if (source.split(from).length !== 2)
      wrong.push(`${file}: the place of a bug to be found is not there: ${from.trim()}`);
    else if (!ask(file, contract, source.replace(from, to)).some((e) => e.message.includes("happens here")))
      wrong.push(`${contract}: the model checker does not find that ${bug}`);
  }
  say(
    `${proved} targets proved in ${Object.values(MODELS).flat().length} models, ${BUGS.length} bugs put in and found`,
  );
  return wrong;
}
