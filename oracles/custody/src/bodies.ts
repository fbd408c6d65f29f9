import { type Hex, ProtocolError } from "@msec/core";
import { bytes32, streamPreimage } from "@msec/service";
import { z } from "zod";

// The shape of every body that this operator takes. What its values mean is judged where they are used.

const MAX_DIGESTS = 16_384;
const MAX_EPOCHS = 64;

const hex = z.string().regex(/^0x([0-9a-fA-F]{2})*$/, "expected 0x and hex digits") as unknown as z.ZodType<Hex>;
const uint = z.int().min(0);
const text = z.string();
const digestList = z.array(bytes32).max(MAX_DIGESTS);

export const registration = z.object({
  preimage: streamPreimage,
  keys: z.array(z.object({ keyEpoch: uint, spki: text })),
  holders: z.object({ streamId: bytes32, version: uint, holders: z.array(hex) }),
  holdersSignature: hex,
});

export const thing = z.object({ version: uint, document: text, signature: hex });

export const seed = z.object({ sealed: text, keyEpoch: uint, signature: text });

export const proposal = z.object({
  epoch: z.object({
    number: uint,
    prev: bytes32,
    root: bytes32,
    packs: uint,
    readings: uint,
    fromMs: uint,
    toMs: uint,
    closedAt: uint,
    stateBlock: uint,
    manifest: bytes32,
    configDigest: bytes32,
  }),
  headerDigests: digestList,
  signature: hex,
});

export const headerDigests = z.object({ headerDigests: digestList });
export const certificates = z.object({
  epochs: z.array(uint).max(MAX_EPOCHS),
  device: z.object({ deviceId: bytes32, keyEpoch: uint }).optional(),
});
export const digests = z.object({ digests: digestList });
export const pushed = z.object({ digests: digestList, from: text });
export const lineAfter = z.object({ streamId: bytes32, afterSeq: uint });
export const opened = z.object({
  opened: z.array(z.object({ headerDigest: bytes32, signature: hex })).max(MAX_DIGESTS),
});
export const equivocation = z.object({ a: text, b: text });
export const window = z.object({
  streamId: bytes32,
  fromSlot: uint,
  toSlot: uint,
  holes: z.array(z.tuple([uint, uint])),
});

/** A body of this shape; throws a `malformed` {@link ProtocolError} that names the first field that is not. */
export function parse<T extends z.ZodType>(schema: T, body: unknown): z.infer<T> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ProtocolError("malformed", `${issue?.path.join(".") || "the body"}: ${issue?.message}`);
}
