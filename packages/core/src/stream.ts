import { keccak256, sha256 } from "#native";
import { concat, equal, type Hex, toHex, utf8 } from "./bytes.ts";
import { cborDecode, cborEncode } from "./cbor.ts";
import { demand } from "./errors.ts";
import { hashStruct } from "./struct.ts";
import { STREAM, type Stream } from "./types.ts";

export const MODE = { open: 0, sealed: 1, dataset: 2 } as const;
/** Largest plaintext of a sealed pack: 48 KiB of content without nonce and tag. */
export const MAX_PAD_BYTES = 48 * 1024 - 28;
export const SLOT_SECONDS = [1, 10, 60, 600, 3600, 86400];

/** One measured quantity: SenML name, SenML unit ("" for none), and the text a person reads. */
export interface Quantity {
  name: string;
  unit: string;
  text: string;
}

export interface Schema {
  quantities: Quantity[];
  /** Days after closedAt until contents and keys go; 0 keeps them until a tombstone. */
  retainDays: number;
  /** Records in every pack of a sealed stream; 0 otherwise. */
  padCount: number;
  /** Plaintext bytes of every pack of a sealed stream; 0 otherwise. */
  padBytes: number;
}

/** A stream with everything that its id commits to. Whoever shows this shows who may sell it. */
export interface StreamPreimage {
  deviceId: Hex;
  ownerEpoch: number;
  name: string;
  schema: Schema;
  slotSeconds: number;
  mode: number;
  /** 32 random bytes. */
  salt: Hex;
}

/** `{1: [[name, unit, text]…], 2: retainDays, 3: padCount, 4: padBytes}`; 3 and 4 only for sealed streams. */
export function encodeSchema(schema: Schema): Uint8Array {
  const map = new Map<number, unknown>([
    [1, schema.quantities.map((q) => [q.name, q.unit, q.text])],
    [2, schema.retainDays],
  ]);
  if (schema.padCount > 0) map.set(3, schema.padCount).set(4, schema.padBytes);
  return cborEncode(map);
}

export function decodeSchema(bytes: Uint8Array): Schema {
  const map = cborDecode(bytes);
  demand(map instanceof Map, "malformed", "a schema is a CBOR map");
  const rows = map.get(1) as unknown;
  demand(Array.isArray(rows), "malformed", "a schema lists its quantities under 1");
  const whole = (key: number) => {
    const value = map.get(key) ?? 0;
    demand(typeof value === "number" && Number.isSafeInteger(value) && value >= 0, "malformed", `schema field ${key}`);
    return value;
  };
  for (const key of map.keys()) demand([1, 2, 3, 4].includes(key as number), "malformed", "unknown schema field", key);
  const quantities = (rows as unknown[]).map((row): Quantity => {
    demand(
      Array.isArray(row) && row.length === 3 && row.every((cell) => typeof cell === "string"),
      "malformed",
      "a quantity is [name, unit, text]",
      row,
    );
    const [name, unit, text] = row as [string, string, string];
    return { name, unit, text };
  });
  const schema = { quantities, retainDays: whole(2), padCount: whole(3), padBytes: whole(4) };
  demand(equal(encodeSchema(schema), bytes), "malformed", "a schema is {1, 2}, with 3 and 4 where it is sealed");
  return schema;
}

/** The struct that contracts see. Refuses slots, modes and paddings that the protocol does not know. */
export function streamOf(preimage: StreamPreimage): Stream {
  const { schema, slotSeconds, mode } = preimage;
  demand(mode === 0 || mode === 1 || mode === 2, "wrong-stream", "mode is 0 open, 1 sealed or 2 dataset", mode);
  demand(
    mode === MODE.dataset ? slotSeconds === 0 : SLOT_SECONDS.includes(slotSeconds),
    "wrong-stream",
    `slotSeconds is one of ${SLOT_SECONDS.join(", ")}, or 0 for a data set`,
    slotSeconds,
  );
  const padded = schema.padCount > 0 && schema.padBytes > 0;
  const unpadded = schema.padCount === 0 && schema.padBytes === 0;
  demand(mode === MODE.sealed ? padded : unpadded, "wrong-stream", "padCount and padBytes belong to sealed streams");
  for (const [field, most] of [
    ["retainDays", 2 ** 32 - 1],
    ["padCount", MAX_PAD_BYTES],
    ["padBytes", MAX_PAD_BYTES],
  ] as const)
    demand(
      Number.isInteger(schema[field]) && schema[field] >= 0 && schema[field] <= most,
      "wrong-stream",
      `${field} is a whole number from 0 to ${most}`,
      schema[field],
    );
  demand(isText(preimage.name), "wrong-stream", "a stream's name is well-formed text", preimage.name);
  const names = new Set(schema.quantities.map((q) => q.name));
  demand(names.size > 0 && names.size === schema.quantities.length, "wrong-stream", "quantities have distinct names");
  for (const { name, unit, text } of schema.quantities) {
    demand(isSenmlName(name), "wrong-stream", "a quantity's name is a SenML name", name);
    demand(isText(unit) && isText(text), "wrong-stream", "a quantity's unit and text are well-formed text", name);
  }
  return {
    deviceId: preimage.deviceId,
    ownerEpoch: preimage.ownerEpoch,
    nameHash: toHex(keccak256(utf8(preimage.name))),
    schemaHash: toHex(keccak256(encodeSchema(schema))),
    slotSeconds,
    mode,
    salt: preimage.salt,
  };
}

const ids = new WeakMap<StreamPreimage, Hex>();

/** The stream's id. The preimage is frozen, so that its id can be kept: it is asked for with every header. */
export function streamId(preimage: StreamPreimage): Hex {
  let id = ids.get(preimage);
  if (id === undefined) {
    id = hashStruct(STREAM, streamOf(preimage));
    const { schema } = preimage;
    for (const part of [...schema.quantities, schema.quantities, schema, preimage]) Object.freeze(part);
    ids.set(preimage, id);
  }
  return id;
}

/** Whether a string has no lone surrogates, which UTF-8 could not bring back. */
export function isText(value: unknown): value is string {
  return typeof value === "string" && value.isWellFormed();
}

/** Whether a name keeps to RFC 8428, section 4.5.1: A-Z a-z 0-9 - : . / _ and a letter or digit first. */
export function isSenmlName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9\-:./_]*$/.test(name);
}

/** Slot of a time; uint32. A data set has the one slot 0. */
export function slotOf(timeMs: number, slotSeconds: number): number {
  if (slotSeconds === 0) return 0;
  const length = 1000 * slotSeconds;
  const slot = (timeMs - (timeMs % length)) / length; // exact: a rounded quotient could reach the next slot
  demand(
    Number.isSafeInteger(timeMs) && timeMs >= 0 && slot <= 0xffffffff,
    "slot",
    "a time is in Unix milliseconds and its slot a uint32",
    timeMs,
  );
  return slot;
}

/** First and last millisecond of a slot. */
export function slotTimes(slot: number, slotSeconds: number): { fromMs: number; toMs: number } {
  const length = 1000 * slotSeconds;
  return { fromMs: slot * length, toMs: (slot + 1) * length - 1 };
}

/** Id of a TPM by its endorsement key: H("msec.device" ‖ S(EK public area)). */
export function deviceIdOfEk(ekPublicArea: Uint8Array): Hex {
  return toHex(keccak256(concat(utf8("msec.device"), sha256(ekPublicArea))));
}

/** Id of a device whose secure element is software: H("msec.device.sw" ‖ first SPKI). */
export function deviceIdOfSoftware(firstSpki: Uint8Array): Hex {
  return toHex(keccak256(concat(utf8("msec.device.sw"), firstSpki)));
}

/** SHA-256 of the DER SPKI of a signing key. */
export function keyHash(spki: Uint8Array): Hex {
  return toHex(sha256(spki));
}
