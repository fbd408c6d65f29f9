// The tests in a real browser. `--json FILE` writes what they measured there, `--pictures DIR` keeps pictures of the pages.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { root } from "./setup.mjs";

let given;
try {
  given = parseArgs({ options: { json: { type: "string" }, pictures: { type: "string" } } }).values;
} catch (error) {
  process.stderr.write(`${error.message}\nusage: npm run test:browser -- [--json FILE] [--pictures DIR]\n`);
  process.exit(2);
}
const { json, pictures } = given;
if (pictures) mkdirSync(pictures, { recursive: true });
const { status } = spawnSync("vitest", ["run", "test/browser", "--maxWorkers=1"], {
  cwd: root,
  stdio: "inherit",
  env: {
    ...process.env,
    ...(json ? { MSEC_BROWSER_JSON: resolve(json) } : {}),
    ...(pictures ? { MSEC_BROWSER_PICTURES: resolve(pictures) } : {}),
  },
});
process.exit(status ?? 1);
