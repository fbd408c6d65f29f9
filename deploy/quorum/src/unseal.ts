import { rmSync, writeFileSync } from "node:fs";
import { toHex } from "@msec/core";
import { NetworkFolder, openNodeKey } from "./network.ts";

// Writes the key of a node where a container can read it: a folder in memory. GoQuorum takes it from a file and from nowhere else.

const [root, name, out] = process.argv.slice(2);
if (!root || !name || !out) {
  process.stderr.write("usage: unseal NETWORK NODE FILE\n");
  process.exit(2);
}
try {
  const key = toHex(openNodeKey(new NetworkFolder(root), name)).slice(2);
  rmSync(out, { force: true });
  writeFileSync(out, key, { mode: 0o600, flag: "wx" });
} catch (error) {
  process.stderr.write(`unseal: ${(error as Error).message}\n`);
  process.exit(1);
}
