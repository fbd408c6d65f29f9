// Halmos runs the very bytecode that is deployed, of the contracts that hold money, on symbolic storage, callers and arguments:
// each `check_` is proved for all of them, and each `check_reachable_` must be refuted, so that nothing is proved of a call that
// can't succeed.
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fetchPackage } from "../npm-package.mjs";
import { root } from "../setup.mjs";
import { contracts } from "./build.mjs";
import { python } from "./python.mjs";

const cache = join(root, "node_modules", ".cache");
const solc = createRequire(join(root, "package.json")).resolve("solc");
const CHECKS = { EscrowCheck: 6, SubscriptionCheck: 3 };

/** forge builds what Halmos reads. */
const FORGE = {
  "linux-x64": [
    "@foundry-rs/forge-linux-amd64",
    "1.7.1",
    "sha512-/HQddyTanVOJKgvilmZrf8VOf7mhvwrWb59W73w5W5flX7b6zNh9CR6hKZzJwiRRi5Sxk/JOFEYIeKsQx7Teqg==",
  ],
  "darwin-arm64": [
    "@foundry-rs/forge-darwin-arm64",
    "1.7.1",
    "sha512-PwvdcKxniBoIic163Gw8t7rIOfE8ZfV2mCM2WOXnGdsUbCJRvkqCWq4qidkUORbibhfiRTyw3991hMFL8/qEfw==",
  ],
};

/** Of the checks themselves: the contracts under them come compiled. */
const FOUNDRY = `[profile.default]
src = "src"
test = "src"
out = "out"
solc = "SOLC"
evm_version = "istanbul"
optimizer = true
via_ir = true
bytecode_hash = "none"
remappings = ["@openzeppelin/=node_modules/@openzeppelin/", "contracts/=contracts/"]
`;

/** @returns {string[]} What is not proved, and ways that are not open. */
export function checkHalmos(say) {
  const pinned = FORGE[`${process.platform}-${process.arch}`];
  if (!pinned) throw new Error(`forge is not pinned for ${process.platform}-${process.arch}: run this check elsewhere`);
  const forge = fetchPackage(join(cache, "msec-forge"), ...pinned, say);
  const halmos = python("halmos");
  const project = join(cache, "msec-halmos");
  lay(project);
  const run = (...args) => {
    const { stdout, stderr } = spawnSync(halmos, ["--solver-timeout-assertion", "120000", ...args], {
      cwd: project,
      encoding: "utf8",
      maxBuffer: 1 << 28,
      // Its verdicts are read: FORCE_COLOR, whatever its value, has it draw boxes around them.
      env: {
        ...process.env,
        FORCE_COLOR: undefined,
        NO_COLOR: "1",
        PATH: `${join(forge, "bin")}:${join(halmos, "..")}:${process.env.PATH}`,
      },
    });
    const text = (stdout + stderr).replace(/\x1b\[\d*m/g, ""); // eslint-disable-line no-control-regex
    const said = [...text.matchAll(/\[([A-Z]+)\] (check_\w+)\(/g)].map(([, verdict, name]) => ({ verdict, name }));
    if (said.length === 0) throw new Error(`Halmos ran nothing:\n${text.slice(-2000)}`);
    return said;
  };

  const wrong = [];
  for (const [contract, least] of Object.entries(CHECKS)) {
    const proofs = run("--match-contract", `^${contract}$`, "--match-test", "^check_(?!reachable_)");
    for (const { verdict, name } of proofs)
      if (verdict !== "PASS") wrong.push(`${contract}.${name}: ${verdict}, not proved`);
    if (proofs.length !== least) wrong.push(`${contract}: ${proofs.length} proofs were asked for, not ${least}`);
    const open = run("--match-contract", `^${contract}$`, "--match-test", "^check_reachable_", "--early-exit");
    for (const { name } of proofs) {
      const way = open.find((o) => o.name === name.replace("check_", "check_reachable_"));
      if (way?.verdict !== "FAIL") wrong.push(`${contract}.${name}: nothing shows that the call can succeed`);
    }
    say(`${contract}: ${proofs.length} proved on the bytecode, each of a call that can succeed`);
  }
  rmSync(project, { recursive: true, force: true });
  return wrong;
}

/** A project for forge: the contracts, the checks, and a solc that is the pinned one. */
function lay(project) {
  rmSync(project, { recursive: true, force: true });
  mkdirSync(project, { recursive: true });
  cpSync(join(root, "tools/contracts/halmos"), join(project, "src"), { recursive: true });
  cpSync(join(root, "contracts"), join(project, "contracts"), {
    recursive: true,
    filter: (path) => !path.endsWith(".t.sol"),
  });
  const constants = ["Escrow", "Subscription"].map((name) => {
    const { bytecode } = contracts().find(({ contractName }) => contractName === name);
    return `    bytes internal constant ${name.toUpperCase()} = hex"${bytecode.slice(2)}";\n`;
  });
  writeFileSync(
    join(project, "src/Built.sol"),
    `// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.36;\n\nlibrary Built {\n${constants.join("")}}\n`,
  );
  mkdirSync(join(project, "node_modules"));
  symlinkSync(join(root, "node_modules/@openzeppelin"), join(project, "node_modules/@openzeppelin"));
  writeFileSync(join(project, "foundry.toml"), FOUNDRY.replace("SOLC", join(project, "solc")));
  writeFileSync(
    join(project, "solc.cjs"),
    `const solc = require(${JSON.stringify(solc)});
if (process.argv.includes("--version")) {
  console.log("solc, the solidity compiler commandline interface\\nVersion: " + solc.version().replace("Emscripten.clang", "Linux.g++"));
} else {
  let input = "";
  process.stdin.on("data", (part) => (input += part)).on("end", () => process.stdout.write(solc.compile(input)));
}
`,
  );
  writeFileSync(
    join(project, "solc"),
    `#!/bin/sh\nexec "${process.execPath}" --stack-size=4000 "${join(project, "solc.cjs")}" "$@"\n`,
  );
  chmodSync(join(project, "solc"), 0o755);
}
