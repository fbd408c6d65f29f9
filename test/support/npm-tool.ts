import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const CACHE = fileURLToPath(new URL("../../node_modules/.cache", import.meta.url));

/**
 * The folder of packages that only a comparison takes, with what they depend on: installed on first use, the versions named
 * here, no script of theirs run, apart from the project's own packages. Throws where npm can't.
 */
export function npmTool(name: string, dependencies: Record<string, string>, overrides: object = {}): string {
  const folder = join(CACHE, `msec-${name}`);
  const wanted = `${JSON.stringify({ private: true, dependencies, overrides }, null, 2)}\n`;
  const stamp = join(folder, "installed.json");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return folder;
  process.stderr.write(
    `installing ${Object.entries(dependencies)
      .map(([n, v]) => `${n} ${v}`)
      .join(", ")}\n`,
  );
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), wanted);
  const { status, stderr, error } = spawnSync(
    "npm",
    ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel", "error"],
    { cwd: folder, encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`npm can't install ${name}: ${error?.message ?? stderr.slice(-500)}`);
  writeFileSync(stamp, wanted);
  return folder;
}
