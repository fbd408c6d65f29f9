import { closeSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { openLog } from "./log.ts";

const folder = mkdtempSync(join(tmpdir(), "msec-log-"));
const log = join(folder, "node.log");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function say(line: string): void {
  const fd = openLog(log);
  writeSync(fd, line);
  closeSync(fd);
}

it("goes on in the log that is there, for its owner's eyes", () => {
  say("one\n");
  say("two\n");
  expect(readFileSync(log, "utf8")).toBe("one\ntwo\n");
  expect(statSync(log).mode & 0o077).toBe(0);
  expect(existsSync(`${log}.1`)).toBe(false);
});

it("begins another where it has grown large, and keeps one before it", () => {
  for (const name of ["first", "second"]) {
    say(`${name}\n`);
    truncateSync(log, 40 * 2 ** 20);
    say("after\n");
    expect(readFileSync(log, "utf8")).toBe("after\n");
    expect(readFileSync(`${log}.1`, "utf8")).toContain(name);
  }
});
