import { createHash } from "node:crypto";
import { toHex } from "@msec/core";
import { ALG, hashName } from "../tpm/index.ts";
import { AttestationError } from "./errors.ts";

// The firmware's own log of what it measured: the crypto-agile form of the TCG PC Client Platform Firmware Profile (section
// 10.2: TCG_PCR_EVENT with TCG_EfiSpecIDEvent first, then TCG_PCR_EVENT2; all numbers little-endian). Linux shows it as
// binary_bios_measurements. It is believed only where its replay gives the PCRs that were quoted.

/** One measurement of the firmware. */
export interface FirmwareEvent {
  pcr: number;
  /** TCG_EVENTTYPE. */
  type: number;
  /** SHA-256 digest that was extended; zeros under EV_NO_ACTION, which extends nothing. */
  digest: Uint8Array;
  /** What the digest is of, or what describes it: that depends on the type. */
  data: Uint8Array;
}

const NO_ACTION = 3;
const SIGNATURE = "Spec ID Event03\0";
const LOCALITY = "StartupLocality\0";
const MAX_LOG = 1 << 20;
const MAX_PCR = 23;

/** TCG_EVENTTYPE (section 10.4.1), as far as firmware of today uses them. */
const TYPES: Record<number, string> = {
  0x00: "EV_PREBOOT_CERT",
  0x01: "EV_POST_CODE",
  0x03: "EV_NO_ACTION",
  0x04: "EV_SEPARATOR",
  0x05: "EV_ACTION",
  0x06: "EV_EVENT_TAG",
  0x07: "EV_S_CRTM_CONTENTS",
  0x08: "EV_S_CRTM_VERSION",
  0x09: "EV_CPU_MICROCODE",
  0x0a: "EV_PLATFORM_CONFIG_FLAGS",
  0x0b: "EV_TABLE_OF_DEVICES",
  0x0c: "EV_COMPACT_HASH",
  0x0d: "EV_IPL",
  0x0e: "EV_IPL_PARTITION_DATA",
  0x0f: "EV_NONHOST_CODE",
  0x10: "EV_NONHOST_CONFIG",
  0x11: "EV_NONHOST_INFO",
  0x12: "EV_OMIT_BOOT_DEVICE_EVENTS",
  0x80000001: "EV_EFI_VARIABLE_DRIVER_CONFIG",
  0x80000002: "EV_EFI_VARIABLE_BOOT",
  0x80000003: "EV_EFI_BOOT_SERVICES_APPLICATION",
  0x80000004: "EV_EFI_BOOT_SERVICES_DRIVER",
  0x80000005: "EV_EFI_RUNTIME_SERVICES_DRIVER",
  0x80000006: "EV_EFI_GPT_EVENT",
  0x80000007: "EV_EFI_ACTION",
  0x80000008: "EV_EFI_PLATFORM_FIRMWARE_BLOB",
  0x80000009: "EV_EFI_HANDOFF_TABLES",
  0x8000000a: "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
  0x8000000b: "EV_EFI_HANDOFF_TABLES2",
  0x8000000c: "EV_EFI_VARIABLE_BOOT2",
  0x80000010: "EV_EFI_HCRTM_EVENT",
  0x800000e0: "EV_EFI_VARIABLE_AUTHORITY",
  0x800000e1: "EV_EFI_SPDM_FIRMWARE_BLOB",
};

const malformed = (what: string, at: number) =>
  new AttestationError("event-log", `the firmware's event log can't be read: ${what}, at byte ${at}`, at);

/** Reads little-endian; every read beyond the end is an AttestationError. */
class LogReader {
  readonly #bytes: Buffer;
  at = 0;
  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  get left(): number {
    return this.#bytes.length - this.at;
  }
  bytes(length: number): Uint8Array {
    if (length > this.left) throw malformed(`it is cut off, ${length} more bytes are wanted`, this.at);
    this.at += length;
    return Uint8Array.from(this.#bytes.subarray(this.at - length, this.at));
  }
  u8(): number {
    return this.bytes(1)[0] as number;
  }
  u16(): number {
    return Buffer.from(this.bytes(2)).readUInt16LE();
  }
  u32(): number {
    return Buffer.from(this.bytes(4)).readUInt32LE();
  }
}

/** Reads a log. A malformed, truncated or oversized one, or one without SHA-256, is an AttestationError "event-log". */
export function readEventLog(log: Uint8Array): FirmwareEvent[] {
  if (log.length > MAX_LOG) throw malformed(`it has more than ${MAX_LOG} bytes`, MAX_LOG);
  const r = new LogReader(log);
  const sizes = readHeader(r);
  const events: FirmwareEvent[] = [];
  while (r.left > 0) {
    const pcr = r.u32();
    const at = r.at;
    if (pcr > MAX_PCR) throw malformed(`there is no PCR ${pcr}`, at);
    const type = r.u32();
    const count = r.u32();
    if (count !== sizes.size) throw malformed(`an event has ${count} digests, the log says ${sizes.size}`, at);
    let digest: Uint8Array | undefined;
    const seen = new Set<number>();
    for (let i = 0; i < count; i++) {
      const alg = r.u16();
      const size = sizes.get(alg);
      if (size === undefined || seen.has(alg)) throw malformed("an event's digest is of an unexpected algorithm", r.at);
      seen.add(alg);
      const value = r.bytes(size);
      if (alg === ALG.SHA256) digest = value;
    }
    events.push({ pcr, type, digest: digest as Uint8Array, data: r.bytes(r.u32()) });
  }
  return events;
}

/** TCG_PCR_EVENT with TCG_EfiSpecIDEvent: which digests each event has, and their sizes. */
function readHeader(r: LogReader): Map<number, number> {
  const [pcr, type] = [r.u32(), r.u32()];
  r.bytes(20);
  const size = r.u32();
  const end = r.at + size;
  if (pcr !== 0 || type !== NO_ACTION || size > r.left || Buffer.from(r.bytes(16)).toString("latin1") !== SIGNATURE)
    throw malformed("it does not begin as a crypto-agile log (TPM 2.0) does", 0);
  // Platform class, versions, size of a UINTN.
  r.bytes(8);
  const count = r.u32();
  if (count === 0 || count > 16) throw malformed(`it names ${count} algorithms`, r.at);
  const sizes = new Map<number, number>();
  for (let i = 0; i < count; i++) sizes.set(r.u16(), r.u16());
  r.bytes(r.u8());
  if (r.at !== end || sizes.size !== count) throw malformed("its first event is inconsistent", r.at);
  if (sizes.get(ALG.SHA256) !== 32)
    throw new AttestationError(
      "event-log",
      "the firmware's event log has no SHA-256: switch that bank on in the firmware",
    );
  return sizes;
}

/** Values that the PCRs of the SHA-256 bank must have after these events; PCRs without an event are left out. */
export function replayEvents(events: readonly FirmwareEvent[]): Map<number, Uint8Array> {
  const values = new Map<number, Uint8Array>();
  for (const { pcr, type, digest, data } of events) {
    if (type !== NO_ACTION)
      values.set(
        pcr,
        new Uint8Array(
          sha256()
            .update(values.get(pcr) ?? initial(pcr))
            .update(digest)
            .digest(),
        ),
      );
    else if (pcr === 0 && Buffer.from(data.subarray(0, 16)).toString("latin1") === LOCALITY && !values.has(0)) {
      // What the TPM was started from is the first value of PCR 0.
      const value = new Uint8Array(32);
      value[31] = data[16] ?? 0;
      values.set(0, value);
    }
  }
  return values;
}

const sha256 = () => createHash(hashName(ALG.SHA256));

/** PCRs of the dynamic root of trust are at ones until it starts. */
const initial = (pcr: number) => new Uint8Array(32).fill(pcr >= 17 && pcr <= 22 ? 0xff : 0);

/** One event for people: its PCR, type, digest and what of its data is text. */
export function describeEvent({ pcr, type, digest, data }: FirmwareEvent): string {
  const name = TYPES[type] ?? `event type 0x${type.toString(16)}`;
  const text = printable(data);
  return `PCR ${pcr}: ${name}${text ? ` "${text}"` : ""} ${toHex(digest).slice(0, 18)}…`;
}

/** Text of a few dozen characters, single-byte or UTF-16; empty where it is none. */
function printable(data: Uint8Array): string {
  const bytes = Buffer.from(data);
  for (const text of [bytes.toString("latin1"), bytes.toString("utf16le")]) {
    const trimmed = text.replace(/\0+$/, "");
    if (trimmed.length > 0 && trimmed.length <= 80 && /^[\x20-\x7e]+$/.test(trimmed)) return trimmed;
  }
  return "";
}

/** Where one log measured something else than another, by PCR: in each the first event that differs. */
export function differences(
  known: readonly FirmwareEvent[],
  found: readonly FirmwareEvent[],
): { pcr: number; known: FirmwareEvent | undefined; found: FirmwareEvent | undefined }[] {
  const of = (events: readonly FirmwareEvent[], pcr: number) =>
    events.filter((event) => event.pcr === pcr && event.type !== NO_ACTION);
  const pcrs = [...new Set([...known, ...found].map(({ pcr }) => pcr))].sort((a, b) => a - b);
  return pcrs.flatMap((pcr) => {
    const [a, b] = [of(known, pcr), of(found, pcr)];
    const same = (i: number) => a[i] && b[i] && Buffer.compare(a[i].digest, b[i].digest) === 0;
    const at = Array.from({ length: Math.max(a.length, b.length) }, (_, i) => i).find((i) => !same(i));
    return at === undefined ? [] : [{ pcr, known: a[at], found: b[at] }];
  });
}

/**
 * Refuses a log whose replay is not what was quoted, naming the PCR and its events. `quoted` holds the PCRs that the firmware
 * alone measures into; one of them that the log says nothing of must be as the TPM started.
 */
export function judgeEventLog(log: Uint8Array, quoted: ReadonlyMap<number, Uint8Array>): FirmwareEvent[] {
  const events = readEventLog(log);
  const values = replayEvents(events);
  for (const [pcr, value] of quoted) {
    if (Buffer.compare(values.get(pcr) ?? initial(pcr), value) === 0) continue;
    const said = events.filter((event) => event.pcr === pcr && event.type !== NO_ACTION);
    throw new AttestationError(
      "event-log",
      `the firmware's event log does not give the quoted PCR ${pcr}: something else was measured into it, or the log was changed`,
      said.map(describeEvent),
    );
  }
  return events;
}
