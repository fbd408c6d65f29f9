// The tests that take a real GoQuorum node; without one, a line that says so.
import { spawn } from "node:child_process";
import { findBinary } from "../deploy/quorum/src/binary.ts";
import { root } from "./setup.mjs";

const found = findBinary();
if ("missing" in found) {
  process.stdout.write(`skipped: ${found.missing}\n`);
} else {
  process.stdout.write(`GoQuorum ${found.version}: ${found.path}\n`);
  const child = spawn(
    "vitest",
    ["run", "test/quorum", "--no-file-parallelism", "--testTimeout=300000", "--hookTimeout=300000"],
    { cwd: root, stdio: "inherit" },
  );
  child.on("exit", (code) => process.exit(code ?? 1));
}
