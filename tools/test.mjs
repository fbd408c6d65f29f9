// Every test there is, each suite saying what it ran; the last line adds them up. Ends with 1 if any failed. With
// MSEC_CONTRACTS=1 every check of the contracts too.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants, setPriority, tmpdir } from "node:os";
import { join, relative } from "node:path";
import { root } from "./setup.mjs";

const folder = mkdtempSync(join(tmpdir(), "msec-test-"));
const total = { passed: 0, failed: 0, skipped: 0 };
/** Said again at the end, where it is found. */
const failures = [];
const LINES_OF_A_FAILURE = 30;

// Vitest takes FORCE_COLOR for a yes, whatever it says.
const plain = { NO_COLOR: "1", FORCE_COLOR: undefined };

function run(command, args, onOutput) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ["ignore", onOutput ? "pipe" : "inherit", "inherit"],
      env: { ...process.env, ...plain },
    });
    child.stdout?.on("data", (part) => {
      process.stdout.write(part);
      onOutput(String(part));
    });
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

async function suite(name, work) {
  const started = Date.now();
  process.stdout.write(`\n=== ${name}\n`);
  const { passed, failed, skipped, messages = [] } = await work();
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  if (failed > 0) failures.push([name, messages]);
  process.stdout.write(
    `=== ${name}: ${passed} passed, ${failed} failed, ${skipped} skipped in ${Math.round((Date.now() - started) / 1000)} s\n`,
  );
}

/** A check passes or fails as a whole. */
const asOne = (code) => ({ passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 });

/** Devices are tested with TPMs where an emulator is installed, or lets itself be. */
function installEmulator() {
  const has = (program) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
  if (has("swtpm") && has("swtpm_setup")) return;
  if (process.getuid?.() === 0 && has("apt-get")) {
    process.stdout.write("installing swtpm and swtpm-tools\n");
    const quiet = { stdio: "ignore", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
    spawnSync("apt-get", ["update", "-qq"], quiet);
    spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "swtpm", "swtpm-tools"], quiet);
  }
  if (!has("swtpm"))
    process.stdout.write("no swtpm (packages swtpm and swtpm-tools): devices are tested without TPMs\n");
}

/** Runs something while others do, and keeps what it prints; at the lowest priority it lives on the time in which others wait. */
function beside(command, args, { env = {}, lowest = false }) {
  const child = spawn(command, args, {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    // Where Linux shares time out by session, this has one of its own.
    detached: lowest,
    env: { ...process.env, ...env, ...plain },
  });
  if (lowest) {
    setPriority(child.pid, constants.priority.PRIORITY_LOW);
    try {
      writeFileSync(`/proc/${child.pid}/autogroup`, "19");
    } catch {
      // No such shares here.
    }
    process.on("exit", () => child.exitCode === null && process.kill(-child.pid));
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
  }
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  return new Promise((resolve) => {
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

const reportOf = (name) => join(folder, `${name}.json`);

const vitest = (name, ...args) => [
  "vitest",
  [
    ...["run", ...args, "--passWithNoTests", "--reporter=default", "--reporter=json"],
    `--outputFile.json=${reportOf(name)}`,
  ],
];

/** What a run of Vitest that has ended says in its report. */
function counted(name, code) {
  try {
    const result = JSON.parse(readFileSync(reportOf(name), "utf8"));
    const files = result.testResults
      .filter((file) => file.status === "failed")
      .map((file) => ({ ...file, failed: file.assertionResults.filter((test) => test.status === "failed") }));
    // A file can fail before its tests begin.
    const failed = result.numFailedTests + files.filter((file) => file.failed.length === 0).length;
    return {
      passed: result.numPassedTests,
      failed: code !== 0 && failed === 0 ? 1 : failed,
      skipped: result.numPendingTests,
      messages: files.flatMap((file) => [
        [relative(root, file.name), ...(file.message ? [file.message] : [])].join(": "),
        ...file.failed.map((test) => [test.fullName, ...test.failureMessages].join("\n")),
      ]),
    };
  } catch {
    return asOne(code);
  }
}

const tests = async (name, ...args) => counted(name, await run(...vitest(name, ...args)));

installEmulator();

await suite("types, lint, format", async () => asOne(await run("node", ["tools/check.mjs"])));

await suite("contracts (Solidity, Istanbul)", async () => {
  let output = "";
  const code = await run(
    "hardhat",
    ["test", "solidity", "--network", "istanbul", "--snapshot-check"],
    (part) => (output += part),
  );
  const count = (word) =>
    [...output.matchAll(new RegExp(`(\\d+) ${word}`, "g"))].reduce((sum, m) => sum + Number(m[1]), 0);
  const failed = count("failing");
  return {
    passed: count("passing"),
    failed: code !== 0 && failed === 0 ? 1 : failed,
    skipped: count("skipped"),
    messages: [output.slice(Math.max(0, output.search(/\d+ failing/)))],
  };
});

// What the tests above compiled is there for them.
const checks =
  process.env.MSEC_CONTRACTS === "1"
    ? beside("node", ["tools/check-contracts.mjs", "-halmos"], { env: { MSEC_TESTED: "1" }, lowest: true })
    : undefined;

await suite("units", () => tests("units", "packages", "oracles", "deploy", "device-firmware", "apps"));

// Cities are started one after the other, since their tests ask for times that two at once would not keep; but for one that mostly
// waits for votes.
const PANEL = "test/integration/dispute.test.ts";
const panel = beside(...vitest("panel", PANEL), { env: { MSEC_PORTS_FROM: "17000" } });
await suite("browser", () => tests("browser", "test/browser", "--maxWorkers=1"));
await suite("a panel (begun beside the browser)", async () => {
  const { code, output } = await panel;
  process.stdout.write(output);
  return counted("panel", code);
});
await suite("whole system", () =>
  tests(
    ...["whole-system", "test/interop", "test/integration", "test/faults"],
    ...["--maxWorkers=1", `--exclude=${PANEL}`],
  ),
);

if (checks) {
  await suite("checks of the contracts (begun beside the units)", async () => {
    const { code, output } = await checks;
    process.stdout.write(output);
    return asOne(code);
  });
  // It gives up by the clock.
  await suite("proofs on the contracts' bytecode", async () =>
    asOne(await run("node", ["tools/check-contracts.mjs", "halmos"])),
  );
}

rmSync(folder, { recursive: true, force: true });
for (const [name, messages] of failures) {
  process.stdout.write(`\n=== failed: ${name}\n`);
  for (const message of messages)
    process.stdout.write(`${message.trim().split("\n").slice(0, LINES_OF_A_FAILURE).join("\n")}\n\n`);
}
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(total.failed === 0 ? 0 : 1);
