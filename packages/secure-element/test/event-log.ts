import { createHash } from "node:crypto";

/** An event as a firmware logs it; its digests are of its data. */
export interface LogEvent {
  pcr: number;
  type: number;
  data: Uint8Array;
}

/** Extends nothing. */
const NO_ACTION = 3;

const u16 = (value: number) => Buffer.from([value & 0xff, value >> 8]);
const u32 = (value: number) => {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value);
  return out;
};

/** Writes a crypto-agile event log as a firmware does (TCG PC Client Platform Firmware Profile, section 10.2). */
export function eventLog(events: readonly LogEvent[], banks: { sha256?: boolean; sha1?: boolean } = {}): Uint8Array {
  const used = [
    ...(banks.sha1 ? [{ id: 0x0004, name: "sha1", size: 20 }] : []),
    ...(banks.sha256 === false ? [] : [{ id: 0x000b, name: "sha256", size: 32 }]),
  ];
  const spec = Buffer.concat([
    Buffer.from("Spec ID Event03\0"),
    u32(0),
    Buffer.from([0, 2, 2, 2]),
    u32(used.length),
    ...used.flatMap(({ id, size }) => [u16(id), u16(size)]),
    Buffer.from([0]),
  ]);
  const header = Buffer.concat([u32(0), u32(3), Buffer.alloc(20), u32(spec.length), spec]);
  const body = events.flatMap(({ pcr, type, data }) => [
    u32(pcr),
    u32(type),
    u32(used.length),
    ...used.flatMap(({ id, name, size }) => [
      u16(id),
      type === NO_ACTION ? Buffer.alloc(size) : createHash(name).update(data).digest(),
    ]),
    u32(data.length),
    Buffer.from(data),
  ]);
  return new Uint8Array(Buffer.concat([header, ...body]));
}
