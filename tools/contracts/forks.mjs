// The same bytecode at the newest rules that the test network knows: a chain may move on. `npm test` runs it at Istanbul's.
import { spawnSync } from "node:child_process";
import { root } from "../setup.mjs";

/** What may differ: figures of gas, and that later opcodes run. */
const EXCLUDED = "[gG]as|whenCodeIsLater";

/** @returns {string[]} Tests that fail at the newest rules. */
export function checkForks(say) {
  const { status, stdout, stderr } = spawnSync("hardhat", ["test", "solidity", "--grep-exclude", EXCLUDED], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  const passing = Number(/(\d+) passing/.exec(stdout)?.[1] ?? 0);
  if (status !== 0 || passing === 0) return [`tests fail at the newest rules:\n${(stdout + stderr).slice(-3000)}`];
  say(`${passing} tests pass at the newest rules too`);
  return [];
}
