import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { eventLog, type LogEvent } from "../../test/event-log.ts";
import { describeEvent, differences, judgeEventLog, readEventLog, replayEvents } from "./event-log.ts";
import { AttestationError } from "./errors.ts";

const sha256 = (data: Uint8Array | string) => new Uint8Array(createHash("sha256").update(data).digest());
const event = (pcr: number, type: number, text: string): LogEvent => ({ pcr, type, data: Buffer.from(text) });

const BOOT: LogEvent[] = [
  event(0, 8, "version 1"),
  event(0, 4, "\0\0\0\0"),
  event(7, 0x80000001, "SecureBoot on"),
  event(4, 0x80000003, "boot loader"),
  event(4, 0x80000007, "Calling EFI Application from Boot Option"),
];
const extended = (texts: string[], from = new Uint8Array(32)) =>
  texts.reduce((value, text) => sha256(Buffer.concat([value, sha256(text)])), from);

const arbitraryEvent = fc.record({
  pcr: fc.integer({ min: 0, max: 16 }),
  type: fc.constantFrom(1, 4, 8, 13, 0x80000003, 0x80000007, 0xdeadbeef),
  data: fc.uint8Array({ maxLength: 200 }),
});

describe("the firmware's event log", () => {
  test("is read back as it was written, with one bank or several", () => {
    fc.assert(
      fc.property(fc.array(arbitraryEvent, { maxLength: 20 }), fc.boolean(), (events, sha1) => {
        const read = readEventLog(eventLog(events, { sha1 }));
        expect(read.map(({ pcr, type, data }) => ({ pcr, type, data }))).toEqual(
          events.map(({ pcr, type, data }) => ({ pcr, type, data: Uint8Array.from(data) })),
        );
        for (const { digest, data } of read) expect(digest).toEqual(sha256(data));
      }),
    );
  });

  test("is replayed from zero, and from the locality where the firmware says one", () => {
    const values = replayEvents(readEventLog(eventLog(BOOT)));
    expect(values.get(0)).toEqual(extended(["version 1", "\0\0\0\0"]));
    expect(values.get(4)).toEqual(extended(["boot loader", "Calling EFI Application from Boot Option"]));
    expect(values.has(2)).toBe(false);
    const locality = { pcr: 0, type: 3, data: Buffer.from("StartupLocality\0\x03") };
    const started = new Uint8Array(32);
    started[31] = 3;
    expect(replayEvents(readEventLog(eventLog([locality, ...BOOT]))).get(0)).toEqual(
      extended(["version 1", "\0\0\0\0"], started),
    );
  });

  test("is held to what was quoted; the PCR that differs is named with its events", () => {
    const log = eventLog(BOOT);
    const quoted = new Map([...replayEvents(readEventLog(log)), [2, new Uint8Array(32)]] as [number, Uint8Array][]);
    expect(judgeEventLog(log, quoted)).toHaveLength(BOOT.length);
    const refused = (events: LogEvent[], pcr: number) =>
      expect(() => judgeEventLog(eventLog(events), quoted)).toThrow(new RegExp(`the quoted PCR ${pcr}:`));
    refused(BOOT.slice(1), 0);
    refused([...BOOT, event(2, 0x80000004, "a driver")], 2);
    refused(
      BOOT.map((e) => (e.pcr === 4 ? { ...e, data: Buffer.from("another loader") } : e)),
      4,
    );
    refused([BOOT[1]!, BOOT[0]!, ...BOOT.slice(2)], 0);
    try {
      judgeEventLog(eventLog(BOOT.slice(0, 4)), quoted);
      expect.unreachable();
    } catch (error) {
      expect((error as AttestationError).value).toEqual([
        expect.stringMatching(/^PCR 4: EV_EFI_BOOT_SERVICES_APPLICATION "boot loader" 0x/),
      ]);
    }
  });

  test("differs from another one by named events", () => {
    const known = readEventLog(eventLog(BOOT));
    expect(differences(known, known)).toEqual([]);
    const changed = readEventLog(eventLog([...BOOT.slice(0, 3), event(4, 0x80000003, "other loader"), BOOT[4]!]));
    const [only, ...more] = differences(known, changed);
    expect(more).toEqual([]);
    expect([only!.pcr, describeEvent(only!.known!), describeEvent(only!.found!)]).toEqual([
      4,
      expect.stringContaining('"boot loader"'),
      expect.stringContaining('"other loader"'),
    ]);
    const longer = differences(known, readEventLog(eventLog([...BOOT, event(7, 4, "more")])));
    expect(longer).toMatchObject([{ pcr: 7, known: undefined }]);
    expect(describeEvent({ pcr: 1, type: 0x999, digest: new Uint8Array(32), data: Uint8Array.of(1) })).toMatch(
      /^PCR 1: event type 0x999 0x0000/,
    );
  });

  test("cut off anywhere but between two events it is refused, never misread", () => {
    const log = eventLog(BOOT);
    const whole = readEventLog(log);
    const ends = new Set(BOOT.map((_, i) => eventLog(BOOT.slice(0, i)).length));
    for (let length = 0; length < log.length; length++) {
      const cut = log.subarray(0, length);
      if (ends.has(length)) expect(readEventLog(cut)).toEqual(whole.slice(0, readEventLog(cut).length));
      else expect(() => readEventLog(cut)).toThrow(AttestationError);
    }
  });

  test("mangled in any way it is read as other events or refused with a clear error, and never replays as before", () => {
    const log = eventLog(BOOT, { sha1: true });
    const before = replayEvents(readEventLog(log));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: log.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const mangled = Uint8Array.from(log);
        mangled[at]! ^= flip;
        try {
          const events = readEventLog(mangled);
          expect(events.length).toBeLessThanOrEqual(BOOT.length);
          replayEvents(events);
          events.map(describeEvent);
        } catch (error) {
          expect(error).toBeInstanceOf(AttestationError);
          expect((error as AttestationError).code).toBe("event-log");
        }
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(() => readEventLog(bytes)).toThrow(AttestationError);
        try {
          readEventLog(new Uint8Array(Buffer.concat([log, bytes])));
        } catch (error) {
          expect(error).toBeInstanceOf(AttestationError);
        }
      }),
    );
    // A changed SHA-256 digest never gives the same PCRs.
    const digest = Buffer.from(log).indexOf(sha256("boot loader"));
    const changed = Uint8Array.from(log);
    changed[digest]! ^= 1;
    expect(replayEvents(readEventLog(changed)).get(4)).not.toEqual(before.get(4));
  });

  test("of an old TPM, of impossible size or without SHA-256 it is refused with what to do", () => {
    expect(() => readEventLog(new Uint8Array((1 << 20) + 1))).toThrow(/more than 1048576 bytes/);
    expect(() => readEventLog(eventLog(BOOT).fill(0, 32, 48))).toThrow(/does not begin as a crypto-agile log/);
    expect(() => readEventLog(eventLog(BOOT, { sha256: false, sha1: true }))).toThrow(
      /no SHA-256: switch that bank on/,
    );
  });
});
