// Types, lint and format, through turbo's cache. With --write the format is mended instead of checked.
import { spawnSync } from "node:child_process";
import { root } from "./setup.mjs";

const tasks = process.argv.includes("--write")
  ? ["//#prettier:write"]
  : ["//#typecheck", "//#lint", "//#prettier:check"];
const { status } = spawnSync("turbo", ["run", ...tasks, "--output-logs=errors-only"], { cwd: root, stdio: "inherit" });
process.exit(status ?? 1);
