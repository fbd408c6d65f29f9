import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

/** What a file holds; undefined where there is none. */
export function readJson<T>(file: string): T | undefined {
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as T) : undefined;
}

/** Replaces a file whole, mode 0600: a crash leaves the old one or the new one. */
export function writeJson(file: string, value: unknown): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
