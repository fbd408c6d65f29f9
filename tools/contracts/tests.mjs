// The contracts' own tests on the bytecode that is deployed, with the figures of gas; and the same with long campaigns.
import { spawnSync } from "node:child_process";
import { root } from "../setup.mjs";
import { testFiles } from "./trees.mjs";

/**
 * Runs the Solidity tests.
 * @param {string[]} args Of `hardhat test solidity`.
 * @param {boolean} long Whether as MSEC_LONG=1 has it, whatever the environment says.
 * @param {string} cwd Where the contracts are.
 * @returns {{ passing: number, failed: boolean, output: string }}
 */
export function solidityTests(args, long, cwd = root) {
  const { status, stdout, stderr } = spawnSync("hardhat", ["test", "solidity", ...args], {
    cwd,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, MSEC_LONG: long ? "1" : "" },
  });
  const passing = Number(/(\d+) passing/.exec(stdout)?.[1] ?? 0);
  return { passing, failed: status !== 0 || passing === 0, output: (stdout + stderr).slice(-3000) };
}

/** @returns {string[] | undefined} Tests that fail and figures of gas that differ; undefined if `npm test` ran them. */
export function checkTests(say) {
  if (process.env.MSEC_TESTED === "1") {
    say("MSEC_TESTED=1: `npm test` has run the very same before");
    return undefined;
  }
  const { passing, failed, output } = solidityTests(["--network", "istanbul", "--snapshot-check"], false);
  if (failed) return [`tests fail at Istanbul's rules:\n${output}`];
  say(`${passing} tests pass at Istanbul's rules, with the gas that snapshots/ has`);
  return [];
}

/** @returns {string[] | undefined} Tests that fail; undefined if they were not asked for. */
export function checkCampaigns(say) {
  if (process.env.MSEC_LONG !== "1") {
    say(
      "MSEC_LONG=1 npm run check:contracts -- campaigns runs 10,000 inputs a fuzz test and 256 sequences of 128 calls an invariant",
    );
    return undefined;
  }
  const wrong = [];
  let tests = 0;
  // It takes hours: a file at a time, each said when it is done.
  for (const file of testFiles()) {
    const started = Date.now();
    const { passing, failed, output } = solidityTests(["--network", "istanbul", file], true);
    say(`${file}: ${failed ? "fails" : `${passing} pass`}, ${Math.round((Date.now() - started) / 1000)} s`);
    tests += passing;
    if (failed) wrong.push(`${file} fails in long campaigns:\n${output}`);
  }
  say(`${tests} tests pass at Istanbul's rules: 10,000 inputs a fuzz test, 256 sequences of 128 calls an invariant`);
  return wrong;
}
