// What the npm scripts call: makes the clone ready, then runs the command under a Node that is new enough.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { environment, root, setup } from "./setup.mjs";

const cli = ["--disable-warning=ExperimentalWarning", join(root, "apps/cli/src/main.ts")];
const commands = {
  start: [...cli, "up"],
  demo: [...cli, "demo"],
  load: ["--disable-warning=ExperimentalWarning", join(root, "test/load/load.ts")],
  "load:devices": ["--disable-warning=ExperimentalWarning", join(root, "test/load/devices.ts")],
  "load:quorum": ["--disable-warning=ExperimentalWarning", join(root, "test/load/quorum.ts")],
  test: [join(root, "tools/test.mjs")],
  "test:browser": [join(root, "tools/test-browser.mjs")],
  "test:quorum": ["--disable-warning=ExperimentalWarning", join(root, "tools/test-quorum.mjs")],
  check: [join(root, "tools/check.mjs")],
  "check:contracts": [join(root, "tools/check-contracts.mjs")],
  gas: [join(root, "tools/gas/gas.mjs")],
  format: [join(root, "tools/check.mjs"), "--write"],
  setup: ["--eval", ""],
};

/** Commands that serve the pages. */
const WITH_PAGES = ["start", "setup", "test", "test:browser", "test:quorum"];

/** Runs a script under the project's Node and ends as it ends. */
export async function run(script, args, { pages = false } = {}) {
  let node;
  try {
    node = await setup({ pages });
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
  const child = spawn(node, [...script, ...args], { stdio: "inherit", env: environment(node) });
  // Ctrl-C reaches the child by itself; it decides when to end.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 1)));
}

const [name, ...args] = process.argv.slice(2);
if (import.meta.url === `file://${process.argv[1]}` || process.argv[1]?.endsWith("tools/run.mjs")) {
  const script = commands[name];
  if (!script) {
    process.stderr.write(`usage: node tools/run.mjs ${Object.keys(commands).join("|")} [ARGUMENTS]\n`);
    process.exit(2);
  }
  await run(script, args, { pages: WITH_PAGES.includes(name) });
}
