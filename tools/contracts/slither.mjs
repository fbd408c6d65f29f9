// Slither twice: on the contracts as they are, and with a SafeERC20 of plain calls, since it does not see calls that are
// made in assembly. Every finding is mended, or explained in slither.json; an explanation that fits nothing is an error.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { root } from "../setup.mjs";
import { python } from "./python.mjs";

const require = createRequire(join(root, "package.json"));
const solc = require("solc");

const SAFE = "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
const PLAIN = `// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;
import {IERC20} from "../IERC20.sol";
library SafeERC20 {
    error SafeERC20FailedOperation(address token);
    function safeTransfer(IERC20 token, address to, uint256 value) internal {
        if (!token.transfer(to, value)) revert SafeERC20FailedOperation(address(token));
    }
    function safeTransferFrom(IERC20 token, address from, address to, uint256 value) internal {
        if (!token.transferFrom(from, to, value)) revert SafeERC20FailedOperation(address(token));
    }
}
`;

/**
 * A folder with the contracts, without tests, and what a Hardhat build would say of them. Slither reads the syntax tree, so
 * no code is made, which would take minutes. `plain` replaces SafeERC20.
 */
function project(plain) {
  const sources = {};
  for (const file of readdirSync(join(root, "contracts"), { recursive: true, encoding: "utf8" }))
    if (file.endsWith(".sol") && !file.endsWith(".t.sol"))
      sources[`contracts/${file}`] = { content: readFileSync(join(root, "contracts", file), "utf8") };
  const read = (path) => {
    const content = plain && path === SAFE ? PLAIN : readFileSync(require.resolve(path), "utf8");
    sources[path] = { content };
    return { contents: content };
  };
  const settings = { evmVersion: "istanbul", outputSelection: { "*": { "*": ["abi"], "": ["ast"] } } };
  const input = { language: "Solidity", sources: { ...sources }, settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  const error = output.errors?.find((e) => e.severity === "error");
  if (error) throw new Error(`the copy for Slither does not compile: ${error.formattedMessage}`);
  const none = { object: "", sourceMap: "" };
  for (const file of Object.values(output.contracts))
    for (const contract of Object.values(file)) contract.evm = { bytecode: none, deployedBytecode: none };

  const folder = mkdtempSync(join(tmpdir(), "msec-slither-"));
  for (const [path, { content }] of Object.entries(sources)) {
    const file = join(folder, path.startsWith("@") ? join("node_modules", path) : path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  writeFileSync(join(folder, "hardhat.config.js"), "// how Slither knows a Hardhat project\n");
  mkdirSync(join(folder, "artifacts/build-info"), { recursive: true });
  writeFileSync(
    join(folder, "artifacts/build-info/build.json"),
    JSON.stringify({ solcVersion: "0.8.36", input, output }),
  );
  return folder;
}

function run(command, args, cwd) {
  const result = spawnSync(command, args, { cwd, encoding: "utf8", maxBuffer: 1 << 28 });
  if (result.error) throw result.error;
  return result;
}

function findings(plain) {
  const folder = project(plain);
  try {
    const slither = run(
      python("slither"),
      [
        ".",
        "--compile-force-framework",
        "hardhat",
        "--ignore-compile",
        "--filter-paths",
        "node_modules",
        "--json",
        "found.json",
      ],
      folder,
    );
    const report = JSON.parse(readFileSync(join(folder, "found.json"), "utf8"));
    if (!report.success) throw new Error(`Slither failed: ${report.error ?? slither.stderr.slice(-2000)}`);
    return report.results.detectors ?? [];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Where a finding is: `Contract.function`, or the name of what it is about. */
function placeOf({ elements }) {
  const of = (element) => {
    const parent = element?.type_specific_fields?.parent;
    if (!element) return "";
    if (element.type === "contract") return element.name;
    if (element.type === "function" || parent?.type === "contract") return `${parent?.name ?? ""}.${element.name}`;
    return of(parent);
  };
  return of(elements[0]);
}

/** @returns {string[]} Findings without an explanation, explanations without a finding. */
export function checkSlither(say) {
  const explained = JSON.parse(readFileSync(join(root, "tools/contracts/slither.json"), "utf8"));
  const used = new Set();
  const wrong = [];
  let count = 0;
  for (const plain of [false, true])
    for (const finding of findings(plain)) {
      count++;
      const place = placeOf(finding);
      const entry = explained.find((e) => e.check === finding.check && (!e.places || e.places.includes(place)));
      if (entry) used.add(`${entry.check} ${entry.places ? place : ""}`);
      else wrong.push(`${finding.check} at ${place}: ${finding.description.split("\\n")[0]}`);
    }
  for (const { check, places } of explained)
    for (const place of places ?? [""])
      if (!used.has(`${check} ${place}`))
        wrong.push(`slither.json explains ${check} ${place}, which Slither does not find`);
  say(`${count} findings in two passes`);
  return [...new Set(wrong)];
}
