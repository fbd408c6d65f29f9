import { parseArgs } from "node:util";
import { readConfig } from "./config.ts";
import { identityKey, importTesseraKey, KeyRing, makeKeys } from "./keys.ts";
import { partyEntry } from "./parties.ts";

const USAGE = "usage: privacy-keygen CONFIG.json [--tessera NAME=tm.key]...\n";

/** Makes the keys that a configuration names, where they are missing, and prints the entry for everybody's party list. */
function main(): void {
  const { values, positionals } = parseArgs({
    options: { tessera: { type: "string", multiple: true, default: [] } },
    allowPositionals: true,
  });
  const [file] = positionals;
  if (!file || positionals.length > 1) {
    process.stderr.write(USAGE);
    process.exit(2);
  }
  const { dataDir, keys, name, p2p } = readConfig(file);
  for (const pair of values.tessera) {
    const [key, path] = pair.split("=", 2);
    if (!key || !path || !keys.includes(key))
      throw new Error(`--tessera takes NAME=FILE, with a name of the configuration's keys: ${keys.join(", ")}`);
    importTesseraKey(dataDir, key, path);
  }
  makeKeys(dataDir, keys);
  const entry = partyEntry(name, p2p.url, identityKey(dataDir), KeyRing.open(dataDir, keys).publicKeys);
  process.stdout.write(`${JSON.stringify(entry, null, 2)}\n`);
}

try {
  main();
} catch (error) {
  process.stderr.write(`privacy-keygen: ${(error as Error).message}\n`);
  process.exit(1);
}
