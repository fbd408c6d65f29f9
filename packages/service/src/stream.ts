import { z } from "zod";
import { bytes32 } from "./config.ts";

const uint = z.int().min(0);
const text = z.string();

/** What hashes to a stream's id, as it goes over HTTP. */
export const streamPreimage = z.object({
  deviceId: bytes32,
  ownerEpoch: uint,
  name: text,
  schema: z.object({
    quantities: z.array(z.object({ name: text, unit: text, text })),
    retainDays: uint,
    padCount: uint,
    padBytes: uint,
  }),
  slotSeconds: uint,
  mode: uint,
  salt: bytes32,
});
