// The tests in a real browser. `--json FILE` writes what they measured there.
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { root } from "./setup.mjs";

const args = process.argv.slice(2);
const at = args.indexOf("--json");
const file = at < 0 ? undefined : args[at + 1];
if ((at >= 0 && !file) || args.length !== (at < 0 ? 0 : 2)) {
  process.stderr.write("usage: npm run test:browser -- [--json FILE]\n");
  process.exit(2);
}
const { status } = spawnSync("vitest", ["run", "test/browser", "--maxWorkers=1"], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, ...(file ? { MSEC_BROWSER_JSON: resolve(file) } : {}) },
});
process.exit(status ?? 1);
