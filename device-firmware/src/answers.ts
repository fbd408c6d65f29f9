import { anchorDomain, type Domain, type Hex, RECEIPT, type Receipt, recoverTyped, REFUSED } from "@msec/core";
import { z } from "zod";
import type { Config } from "./config.ts";
import { DeviceError } from "./errors.ts";

const bytes = (n: number) =>
  z
    .string()
    .regex(new RegExp(`^0x[0-9a-fA-F]{${2 * n}}$`))
    .transform((s) => s.toLowerCase() as Hex);
const uint = z.int().min(0);

const receipt = z.object({
  receipt: z.object({ streamId: bytes(32), keyEpoch: uint, seq: uint, headerDigest: bytes(32), atMs: uint }),
  signature: bytes(65),
});
const refused = z.object({
  refused: z.object({ headerDigest: bytes(32), reason: uint }),
  signature: bytes(65),
  keyEpoch: uint.optional(),
  seq: uint.optional(),
  message: z.string().max(2000).optional(),
});
const beacon = z.object({ number: uint, hash: bytes(32) });

/** Reads what operators publish and believes only what a member of the committee signed. */
export class Answers {
  readonly #domain: Domain;
  readonly #members: ReadonlySet<Hex>;
  constructor(config: Pick<Config, "chain" | "committee">) {
    this.#domain = anchorDomain(config.chain.chainId, config.chain.anchor);
    this.#members = new Set(config.committee.members.map((m) => m.address));
  }

  receipt(payload: Uint8Array): { operator: Hex; receipt: Receipt } {
    const message = parse(receipt, payload, "receipt");
    return {
      operator: this.#member(recoverTyped(this.#domain, RECEIPT, message.receipt, message.signature)),
      receipt: message.receipt,
    };
  }

  refused(payload: Uint8Array): { operator: Hex; headerDigest: Hex; reason: number; message: string } {
    const message = parse(refused, payload, "refusal");
    return {
      operator: this.#member(recoverTyped(this.#domain, REFUSED, message.refused, message.signature)),
      ...message.refused,
      message: message.message ?? "",
    };
  }

  /** Beacons carry no signature: the topic names the operator, and f + 1 have to agree. */
  beacon(operator: string, payload: Uint8Array): { operator: Hex; number: number; digest: Hex } {
    const { number, hash } = parse(beacon, payload, "beacon");
    return { operator: this.#member(operator.toLowerCase() as Hex), number, digest: hash };
  }

  #member(address: Hex): Hex {
    if (!this.#members.has(address))
      throw new DeviceError("operator", `${address} is not a member of the configured committee`, address);
    return address;
  }
}

function parse<T>(schema: z.ZodType<T>, payload: Uint8Array, what: string): T {
  try {
    return schema.parse(JSON.parse(Buffer.from(payload).toString("utf8")));
  } catch (error) {
    throw new DeviceError("operator", `not a ${what}: ${(error as Error).message.slice(0, 200)}`, what, error);
  }
}
