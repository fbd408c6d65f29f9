import { existsSync } from "node:fs";
import { readdir, readFile, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DeviceError } from "./errors.ts";

/** What Node may load. */
const LOADED = /\.(?:[cm]?js|[cm]?ts|json|wasm|node)$/;
const NOT_LOADED = /\.d\.[cm]?ts$|\.test\.ts$/;
const SKIPPED: ReadonlySet<string> = new Set(["node_modules", "test", "vectors", ".git"]);

/** A package that an agent is made of. */
export interface Package {
  name: string;
  /** Its folder, without symbolic links. */
  at: string;
  /** Where Node finds it from the packages that depend on it, where that is a symbolic link. */
  links: string[];
}

/** The package at `root` and all that it depends on, each once. */
export async function packagesOf(root: string): Promise<Package[]> {
  const found = new Map<string, Package>();
  const visit = async (folder: string): Promise<void> => {
    const at = await realpath(folder);
    const known = found.get(at);
    // The folder itself may lie behind a link; only a package's own place is of interest.
    const parent = await realpath(dirname(folder));
    const link = join(parent, folder.slice(dirname(folder).length + 1));
    if (known) {
      if (link !== at && !known.links.includes(link)) known.links.push(link);
      return;
    }
    const { name, dependencies = {} } = JSON.parse(await readFile(join(at, "package.json"), "utf8")) as {
      name: string;
      dependencies?: Record<string, string>;
    };
    found.set(at, { name, at, links: link === at ? [] : [link] });
    for (const dependency of Object.keys(dependencies)) await visit(packageOf(dependency, at));
  };
  await visit(await realpath(root));
  return [...found.values()];
}

/** Files of a package that Node may load. */
export async function filesOf(folder: string): Promise<string[]> {
  const out: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !SKIPPED.has(entry.name)) out.push(...(await filesOf(path)));
    else if (entry.isFile() && LOADED.test(entry.name) && !NOT_LOADED.test(entry.name)) out.push(path);
  }
  return out;
}

/** Where Node finds a package from `from`. */
function packageOf(name: string, from: string): string {
  for (let at = from; ; at = dirname(at)) {
    const candidate = join(at, "node_modules", name);
    if (existsSync(join(candidate, "package.json"))) return candidate;
    if (dirname(at) === at)
      throw new DeviceError("not-initialised", `the agent's package ${name} is missing: install it again`, name);
  }
}
