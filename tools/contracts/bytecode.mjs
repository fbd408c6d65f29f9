// Code that Istanbul runs: the compiler was told so, no later opcode stands in it, and every contract can be deployed.
import { contracts } from "./build.mjs";

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

/** Opcodes after Istanbul in code as solc lays it out: instructions, INVALID, data. */
export function laterOpcodes(code) {
  const bytes = Buffer.from(code.slice(2), "hex");
  const metadata = 2 + bytes.readUInt16BE(bytes.length - 2);
  const found = new Set();
  for (let at = 0; at < bytes.length - metadata; at++) {
    const op = bytes[at];
    if (LATER.has(op)) found.add(LATER.get(op));
    if (op >= 0x60 && op <= 0x7f) at += op - 0x5f;
  }
  return [...found];
}

/** @returns {string[]} What is wrong, a line each. */
export function checkBytecode(say) {
  const wrong = [];
  const all = contracts();
  for (const { contractName, deployedBytecode, settings } of all) {
    const size = (deployedBytecode.length - 2) / 2;
    if (size >= LIMIT) wrong.push(`${contractName} has ${size} bytes, ${LIMIT} are too many`);
    if (settings.evmVersion !== "istanbul") wrong.push(`${contractName} is compiled for ${settings.evmVersion}`);
    const later = laterOpcodes(deployedBytecode);
    if (later.length > 0) wrong.push(`${contractName} holds ${later.join(", ")}, which Istanbul does not know`);
  }
  const largest = all.toSorted((a, b) => b.deployedBytecode.length - a.deployedBytecode.length)[0];
  say(
    `${all.length} contracts compiled for Istanbul, no later opcode; the largest is ${largest.contractName} with ${(largest.deployedBytecode.length - 2) / 2} bytes`,
  );
  return wrong;
}
