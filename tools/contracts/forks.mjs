// The same bytecode at the newest rules that the test network knows: a chain may move on. `tests` runs it at Istanbul's.
import { solidityTests } from "./tests.mjs";

/** What may differ: figures of gas, and that later opcodes run. */
const EXCLUDED = "[gG]as|whenCodeIsLater";

/** @returns {string[]} Tests that fail at the newest rules. */
export function checkForks(say) {
  const { passing, failed, output } = solidityTests(["--grep-exclude", EXCLUDED], false);
  if (failed) return [`tests fail at the newest rules:\n${output}`];
  say(`${passing} tests pass at the newest rules too`);
  return [];
}
