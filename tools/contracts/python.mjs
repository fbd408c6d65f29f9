// The auditors' tools that come from PyPI, in a virtual environment of this clone, installed once.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../setup.mjs";

const folder = join(root, "node_modules", ".cache", "msec-python");
const requirements = join(root, "tools", "contracts", "requirements.txt");

function must(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (status === 0) return;
  const why = error?.code === "ENOENT" ? `${command} is not installed` : `${stdout}${stderr}`.slice(-2000);
  throw new Error(`the Python tools could not be installed (${command} ${args.slice(0, 3).join(" ")}): ${why}`);
}

/** Path of a command of the environment. Throws where Python 3.10 with venv, or its packages, can't be had. */
export function python(command) {
  const wanted = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  const stamp = join(folder, "installed");
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
    process.stderr.write("installing Slither, semgrep and the Wycheproof cases (once) …\n");
    rmSync(folder, { recursive: true, force: true });
    must("python3", ["-m", "venv", folder]);
    must(join(folder, "bin", "pip"), ["install", "--quiet", "--disable-pip-version-check", "-r", requirements]);
    writeFileSync(stamp, wanted);
  }
  return join(folder, "bin", command);
}
