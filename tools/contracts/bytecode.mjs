// Code that Istanbul runs: every build and profile says so, no later opcode stands in it, and every contract can be deployed.
import { isDeepStrictEqual } from "node:util";
import hre from "hardhat";
import { SOURCES } from "../../packages/chain/src/contracts.ts";
import { builds, contracts } from "./build.mjs";

const LIMIT = 24_576;
const LATER = new Map([
  [0x1e, "CLZ"],
  [0x48, "BASEFEE"],
  [0x49, "BLOBHASH"],
  [0x4a, "BLOBBASEFEE"],
  [0x5c, "TLOAD"],
  [0x5d, "TSTORE"],
  [0x5e, "MCOPY"],
  [0x5f, "PUSH0"],
]);

/** Opcodes after Istanbul in code as solc lays it out: instructions, INVALID, data. Hex without 0x. */
function laterOpcodes(code) {
  const bytes = Buffer.from(code, "hex");
  const metadata = 2 + bytes.readUInt16BE(bytes.length - 2);
  const found = new Set();
  for (let at = 0; at < bytes.length - metadata; at++) {
    const op = bytes[at];
    if (LATER.has(op)) found.add(LATER.get(op));
    if (op >= 0x60 && op <= 0x7f) at += op - 0x5f;
  }
  return [...found];
}

/** @returns {string[]} Profiles that do not compile for Istanbul, or otherwise than the one that is deployed from. */
function checkProfiles() {
  const { profiles } = hre.config.solidity;
  const wrong = [];
  const compiles = ({ compilers, overrides }) => ({
    compilers,
    overrides: Object.fromEntries(Object.entries(overrides).filter(([file]) => !file.endsWith(".t.sol"))),
  });
  for (const [name, profile] of Object.entries(profiles)) {
    for (const { settings } of [...profile.compilers, ...Object.values(profile.overrides)])
      if (settings.evmVersion !== "istanbul") wrong.push(`the profile ${name} compiles for ${settings.evmVersion}`);
    if (!isDeepStrictEqual(compiles(profile), compiles(profiles.default)))
      wrong.push(`the profile ${name} compiles otherwise than what is deployed`);
  }
  return wrong;
}

/** @returns {string[]} What is wrong, a line each. */
export function checkBytecode(say) {
  const wrong = checkProfiles();
  const all = contracts();
  const sizeOf = ({ deployedBytecode }) => (deployedBytecode.length - 2) / 2;
  for (const artifact of all)
    if (sizeOf(artifact) >= LIMIT)
      wrong.push(`${artifact.contractName} has ${sizeOf(artifact)} bytes, ${LIMIT} are too many`);
  for (const [name, source] of Object.entries(SOURCES))
    if (!all.some((a) => a.contractName === name && a.sourceName.endsWith(source)))
      wrong.push(`${name} of ${source} is deployed, and not built`);

  const compiled = builds();
  const built = new Set(compiled.map(({ id }) => id));
  for (const { contractName, buildInfoId } of all)
    if (!built.has(buildInfoId)) wrong.push(`${contractName} is of a build that is not there: run npm run setup`);
  for (const { id, settings, codes } of compiled) {
    if (settings.evmVersion !== "istanbul") wrong.push(`the build ${id} is for ${settings.evmVersion}`);
    for (const { name, code } of codes) {
      const later = laterOpcodes(code);
      if (later.length > 0)
        wrong.push(`${name} of the build ${id} holds ${later.join(", ")}, which Istanbul does not know`);
    }
  }
  const largest = all.toSorted((a, b) => sizeOf(b) - sizeOf(a))[0];
  say(
    `${all.length} contracts, ${Object.keys(SOURCES).length} of them deployed; ${compiled.length} builds, all for Istanbul and with no later opcode; the largest is ${largest.contractName} with ${sizeOf(largest)} bytes`,
  );
  return wrong;
}
