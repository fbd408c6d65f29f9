// Every test there is, each suite saying what it ran; the last line adds them up. Ends with 1 if any failed.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./setup.mjs";

const folder = mkdtempSync(join(tmpdir(), "msec-test-"));
const total = { passed: 0, failed: 0, skipped: 0 };

function run(command, args, onOutput) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ["ignore", onOutput ? "pipe" : "inherit", "inherit"],
      env: { ...process.env, FORCE_COLOR: "0" },
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
  const { passed, failed, skipped } = await work();
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
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
  return { passed: count("passing"), failed: code !== 0 && failed === 0 ? 1 : failed, skipped: count("skipped") };
});

for (const [name, filters, ...options] of [
  ["units", ["packages", "oracles", "deploy", "device-firmware", "apps"]],
  // One after the other: each starts a city, and asks for times that two at once would not keep.
  ["browser", ["test/browser"], "--maxWorkers=1"],
  ["whole system", ["test/interop", "test/integration", "test/faults"], "--maxWorkers=1"],
])
  await suite(name, async () => {
    const file = join(folder, `${name.replace(" ", "-")}.json`);
    const code = await run("vitest", [
      "run",
      ...filters,
      ...options,
      "--passWithNoTests",
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${file}`,
    ]);
    try {
      const result = JSON.parse(readFileSync(file, "utf8"));
      const failed =
        result.numFailedTests +
        result.testResults.filter((t) => t.status === "failed" && t.assertionResults.length === 0).length;
      return {
        passed: result.numPassedTests,
        failed: code !== 0 && failed === 0 ? 1 : failed,
        skipped: result.numPendingTests,
      };
    } catch {
      return asOne(code);
    }
  });

rmSync(folder, { recursive: true, force: true });
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(total.failed === 0 ? 0 : 1);
