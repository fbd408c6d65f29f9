#!/usr/bin/env node
// The command msec, from a bare clone on.
import { join } from "node:path";
import { run } from "./run.mjs";
import { root } from "./setup.mjs";

const args = process.argv.slice(2);
await run(["--disable-warning=ExperimentalWarning", join(root, "apps/cli/src/main.ts")], args, {
  pages: args[0] === "up",
});
