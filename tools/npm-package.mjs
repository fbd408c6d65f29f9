// A package of npm that only one tool takes: fetched when the tool runs, pinned by version and integrity, without what it
// depends on.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "./setup.mjs";

/**
 * @param folder Where packages lie by name.
 * @param say Told what is fetched.
 * @throws Where the package can't be fetched, or isn't the one that was pinned.
 */
export function fetchPackage(folder, name, version, integrity, say) {
  const target = join(folder, name);
  const stamp = join(target, "package.json");
  if (existsSync(stamp) && JSON.parse(readFileSync(stamp, "utf8")).version === version) return target;
  say(`fetching ${name} ${version}`);
  const inbox = join(folder, "inbox");
  rmSync(inbox, { recursive: true, force: true });
  mkdirSync(inbox, { recursive: true });
  const file = must("npm", ["pack", "--silent", "--pack-destination", inbox, `${name}@${version}`]).trim();
  const digest = createHash("sha512").update(readFileSync(join(inbox, file)));
  const found = `sha512-${digest.digest("base64")}`;
  if (found !== integrity)
    throw new Error(`${name} ${version} is not the package that is pinned: it hashes to ${found}`);
  must("tar", ["-xzf", join(inbox, file), "-C", inbox]);
  rmSync(target, { recursive: true, force: true });
  mkdirSync(join(target, ".."), { recursive: true });
  renameSync(join(inbox, "package"), target);
  rmSync(inbox, { recursive: true, force: true });
  return target;
}

function must(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed: ${error?.message ?? stderr.slice(-1000)}`);
  return stdout;
}
