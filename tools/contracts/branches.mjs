// Which way each condition of a source goes. EDR counts statements only, so a copy of the sources is probed: every condition
// of an if, a loop and a ternary, and every operand of && and ||, is passed through a function that reports its value.
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { root } from "../setup.mjs";
import { walk } from "./mutants.mjs";

const solc = createRequire(join(root, "package.json"))("solc");

/** Tags of the probes lie above those of EDR's statements, which are numbered from a hash of 128 bits. */
const FIRST_TAG = 1n << 200n;
export const PROBE_FILE = "contracts/Probe.sol";
export const PROBE = `// SPDX-License-Identifier: Apache-2.0
pragma solidity >=0.8.0;

library Probe {
    function at(uint256 site, bool taken) internal pure returns (bool) {
        _pure(_report)(${FIRST_TAG} + 2 * site + (taken ? 1 : 0));
        return taken;
    }

    function _report(uint256 tag) private view {
        assembly ("memory-safe") {
            let at_ := mload(0x40)
            mstore(at_, tag)
            pop(staticcall(gas(), 0xc0bEc0BEc0BeC0bEC0beC0bEC0bEC0beC0beC0BE, at_, 32, 0, 0))
        }
    }

    function _pure(function(uint256) internal view f) private pure returns (function(uint256) internal pure g) {
        assembly ("memory-safe") {
            g := f
        }
    }
}
`;

/** The tag that is reported when the condition of a site is true or false. */
export const tagOf = (site, taken) => String(FIRST_TAG + 2n * BigInt(site) + (taken ? 1n : 0n));

function parse(file, content) {
  const { sources, errors } = JSON.parse(
    solc.compile(
      JSON.stringify({
        language: "Solidity",
        sources: { [file]: { content } },
        settings: { stopAfter: "parsing", outputSelection: { "*": { "": ["ast"] } } },
      }),
    ),
  );
  const error = errors?.find((e) => e.severity === "error");
  if (error) throw new Error(error.formattedMessage);
  return sources[file].ast;
}

const isLogical = ({ operator }) => operator === "&&" || operator === "||";

function conditionsOf(node) {
  switch (node.nodeType) {
    case "IfStatement":
    case "WhileStatement":
    case "DoWhileStatement":
    case "ForStatement":
    case "Conditional":
      return node.condition ? [node.condition] : [];
    case "BinaryOperation":
      return isLogical(node) ? [node.leftExpression, node.rightExpression].filter((side) => !isLogical(side)) : [];
    default:
      return [];
  }
}

/**
 * @param {string} file Path from the repository's root.
 * @param {number} firstSite Number of the first condition.
 * @returns {{ source: string, sites: { file: string, line: number, text: string }[] }} The source, on the same lines.
 */
export function probe(file, content, firstSite) {
  const bytes = Buffer.from(content);
  // Where the text of a probe goes: what closes before what opens, the outermost opens first and closes last.
  const edits = [];
  const sites = [];
  for (const [node, parents] of walk(parse(file, content))) {
    if (parents.some((p) => p.nodeType === "InlineAssembly")) continue;
    for (const condition of conditionsOf(node)) {
      const [start, length] = condition.src.split(":").map(Number);
      const site = firstSite + sites.length;
      const line = bytes.subarray(0, start).toString().split("\n").length;
      sites.push({
        file,
        line,
        text: bytes
          .subarray(start, start + length)
          .toString()
          .replace(/\s+/g, " "),
      });
      edits.push({ at: start, length, text: `Probe.at(${site}, ` }, { at: start + length, length: -length, text: ")" });
    }
  }
  edits.sort((a, b) => a.at - b.at || Math.sign(a.length) - Math.sign(b.length) || b.length - a.length);
  const parts = [];
  let done = 0;
  for (const { at, text } of edits) {
    parts.push(bytes.subarray(done, at), Buffer.from(text));
    done = at;
  }
  parts.push(bytes.subarray(done));
  if (sites.length > 0) parts.push(Buffer.from(`import {Probe} from "${pathTo(file)}";\n`));
  return { source: Buffer.concat(parts).toString(), sites };
}

function pathTo(file) {
  const path = relative(dirname(file), PROBE_FILE);
  return path.startsWith(".") ? path : `./${path}`;
}
