#!/usr/bin/env node
// The command msec, from a bare clone on.
import { join } from "node:path";
import { run } from "./run.mjs";
import { root } from "./setup.mjs";

await run(["--disable-warning=ExperimentalWarning", join(root, "apps/cli/src/main.ts")], process.argv.slice(2));
