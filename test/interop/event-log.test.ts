import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readEventLog, replayEvents } from "@msec/secure-element/attestation";
import { afterAll, describe, expect, test } from "vitest";
import { eventLog, type LogEvent } from "../../packages/secure-element/test/event-log.ts";
import { missingTools } from "../support/tpm2-tools.ts";

// Firmware event logs as Debian's tpm2_eventlog reads and replays them, beside ours.

if (missingTools) console.log(`skipped: ${missingTools}`);

/** Value of each PCR of a bank, and the SHA-256 digests of the events, as tpm2_eventlog prints them. */
function byTools(file: string): { pcrs: Map<number, string>; digests: string[] } {
  const yaml = execFileSync("tpm2_eventlog", [file], { encoding: "utf8" });
  const bank = /^ {2}sha256:\n((?: {4}\d+ *: 0x[0-9a-f]+\n?)*)/m.exec(yaml.slice(yaml.indexOf("\npcrs:")))?.[1] ?? "";
  const pcrs = [...bank.matchAll(/(\d+) *: 0x([0-9a-f]+)/g)].map(([, pcr, value]): [number, string] => [
    Number(pcr),
    value!,
  ]);
  const digests = [...yaml.matchAll(/AlgorithmId: sha256\n\s+Digest: "([0-9a-f]{64})"/g)].map(([, digest]) => digest!);
  return { pcrs: new Map(pcrs), digests };
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const ours = (log: Uint8Array) => {
  const events = readEventLog(log);
  const pcrs = new Map([...replayEvents(events)].map(([pcr, value]) => [pcr, hex(value)]));
  return { pcrs, digests: events.map(({ digest }) => hex(digest)) };
};

describe.skipIf(missingTools !== undefined)("tpm2_eventlog", () => {
  const folder = mkdtempSync(join(tmpdir(), "msec-eventlog-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "log");
  const event = (pcr: number, type: number, text: string): LogEvent => ({ pcr, type, data: Buffer.from(text) });
  const separators = Array.from({ length: 8 }, (_, pcr) => event(pcr, 4, "\0\0\0\0"));

  test.each([
    ["the separators alone", separators],
    [
      "a version, actions and boot loader text",
      [
        event(0, 8, "v\0e\0r\0s\0i\0o\0n\0"),
        event(4, 0x80000007, "Calling EFI Application from Boot Option"),
        ...separators,
        event(9, 13, "a kernel"),
        event(8, 13, "its command line"),
        event(4, 0x80000007, "Exit Boot Services Invocation"),
      ],
    ],
  ])("reads and replays what the test writes as we do: %s", (_, events) => {
    for (const sha1 of [false, true]) {
      const log = eventLog(events, { sha1 });
      writeFileSync(file, log);
      const theirs = byTools(file);
      expect(theirs.pcrs.size).toBeGreaterThan(0);
      const mine = ours(log);
      expect(theirs.pcrs).toEqual(mine.pcrs);
      expect(theirs.digests).toEqual(mine.digests);
    }
  });

  test("a changed digest gives both the same other PCR", () => {
    const log = eventLog([event(4, 0x80000007, "one action"), ...separators]);
    const before = ours(log).pcrs.get(4);
    const at = log.length - eventLog(separators).length;
    const first = eventLog([]).length + 4 + 4 + 4 + 2;
    expect(at).toBeGreaterThan(0);
    log[first]! ^= 1;
    writeFileSync(file, log);
    expect(byTools(file).pcrs).toEqual(ours(log).pcrs);
    expect(ours(log).pcrs.get(4)).not.toBe(before);
  });

  test.each([10, 60, 80])("what is cut off at byte %i is refused by both", (length) => {
    writeFileSync(file, eventLog(separators).subarray(0, length));
    expect(() => readEventLog(new Uint8Array(readFileSync(file)))).toThrow(/event log can't be read/);
    expect(() => execFileSync("tpm2_eventlog", [file], { stdio: "ignore" })).toThrow();
  });

  const own = "/sys/kernel/security/tpm0/binary_bios_measurements";
  if (!existsSync(own)) console.log("skipped: this machine's own log: it has no TPM with one");
  test.skipIf(!existsSync(own))("this machine's own log gives both the same PCRs", () => {
    writeFileSync(file, readFileSync(own));
    expect(byTools(file).pcrs).toEqual(ours(new Uint8Array(readFileSync(own))).pcrs);
  });
});
