// Makes what the pages need of the compiled contracts, then the pages themselves.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";
import { SOURCES } from "../../packages/chain/src/contracts.ts";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");

/** The contracts' interfaces as TypeScript constants: viem takes the types of calls, events and errors from them. */
export function writeInterfaces() {
  const lines = Object.entries(SOURCES).map(([name, source]) => {
    const file = join(root, "artifacts", source, `${source.slice(source.lastIndexOf("/") + 1, -4)}.json`);
    return `export const ${name} = ${JSON.stringify(JSON.parse(readFileSync(file, "utf8")).abi)} as const;`;
  });
  mkdirSync(join(here, "src/generated"), { recursive: true });
  writeFileSync(join(here, "src/generated/contracts.ts"), `${lines.join("\n")}\n`);
}

/** Beside each script and style its Brotli form, as small as it gets: made once, sent for ever. */
function compress(folder) {
  for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" }))
    if (/\.(js|css)$/.test(file))
      writeFileSync(join(folder, `${file}.br`), brotliCompressSync(readFileSync(join(folder, file))));
}

writeInterfaces();
if (!process.argv.includes("--interfaces")) {
  const { status } = spawnSync(process.execPath, [join(root, "node_modules/next/dist/bin/next"), "build", here], {
    cwd: here,
    stdio: "inherit",
    env: { ...process.env, NEXT_TELEMETRY_DISABLED: "1" },
  });
  if (status !== 0) process.exit(status ?? 1);
  compress(join(here, ".next/static"));
}
