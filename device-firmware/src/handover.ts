import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import {
  encodeNodes,
  fromHex,
  type Hex,
  MODE,
  quorum,
  sha256,
  type StreamPreimage,
  toBase64,
  toHex,
  utf8,
} from "@msec/core";
import type { SecureElement } from "@msec/secure-element";
import sodium from "libsodium-wrappers";
import type { Logger } from "pino";
import { z } from "zod";
import type { Member } from "./config.ts";
import { DeviceError, errorFields } from "./errors.ts";
import type { StreamKeys } from "./identity.ts";
import type { Operators, SignedHolders } from "./operators.ts";
import type { Outbox } from "./outbox.ts";

const address = z
  .string()
  .regex(/^0x[0-9a-fA-F]{40}$/)
  .transform((s) => s.toLowerCase() as Hex);
const holdersFile = z.object({
  holders: z.object({
    streamId: z.string().transform((s) => s.toLowerCase() as Hex),
    version: z.int().min(1),
    holders: z.array(address).min(1),
  }),
  holdersSignature: z
    .string()
    .regex(/^0x[0-9a-fA-F]{130}$/)
    .transform((s) => s as Hex),
});

export interface HandoverOptions {
  stream: { streamId: Hex; preimage: StreamPreimage; holders: Hex[] };
  holdersPath: string;
  element: SecureElement;
  operators: Operators;
  outbox: Outbox;
  keys: { current(): StreamKeys; seeded(operator: Hex): Promise<void> };
  log: Logger;
}

/** Makes a stream known to the operators and its seed to its holders: once each, until all have them. */
export class Handover {
  readonly #o: HandoverOptions;
  #toldWaiting = false;
  constructor(options: HandoverOptions) {
    this.#o = options;
  }

  /** Enough operators know the stream and can open its packs: sending may begin. */
  get ready(): boolean {
    const { stream, operators, outbox, keys } = this.#o;
    const q = quorum(operators.members.length);
    const registered = outbox.registered(stream.streamId);
    const seeded = keys.current().seeded.filter((a) => stream.holders.includes(a)).length;
    return registered.size >= q && seeded >= (stream.preimage.mode === MODE.sealed ? 1 : q);
  }

  /** One round over those that lack something. Returns whether nothing is left to do. */
  async round(): Promise<boolean> {
    const { stream, operators, outbox, element, keys, log } = this.#o;
    const holders = await this.#holders();
    if (!holders) return false;
    const deviceKeys = await element.keys();
    const fingerprint = createHash("sha256")
      .update(JSON.stringify([holders, deviceKeys.map((k) => toHex(k.spki))]))
      .digest("hex");
    const registered = outbox.registered(stream.streamId);
    const results = await Promise.all(
      operators.members.map(async (member) => {
        const known = registered.get(member.address) === fingerprint;
        const seeded = !stream.holders.includes(member.address) || keys.current().seeded.includes(member.address);
        if (known && seeded) return true;
        try {
          const sealKey = await operators.sealKey(member);
          if (!known) {
            await operators.register(member, stream.preimage, deviceKeys, holders);
            outbox.noteRegistered(stream.streamId, member.address, fingerprint);
            log.info({ operator: member.address }, "stream registered");
          }
          if (!seeded) {
            await this.#seed(member, sealKey);
            await keys.seeded(member.address);
            log.info({ operator: member.address }, "seed handed over");
          }
          return true;
        } catch (error) {
          log.warn({ operator: member.address, url: member.url, ...errorFields(error) }, "hand-over waits");
          return false;
        }
      }),
    );
    return results.every(Boolean);
  }

  async #seed(member: Member, sealKey: Uint8Array): Promise<void> {
    const { stream, operators, element, keys } = this.#o;
    await sodium.ready;
    const { keyEpoch } = element;
    const sealed = sodium.crypto_box_seal(encodeNodes(keys.current().frontier), sealKey);
    await operators.seed(member, stream.streamId, {
      sealed: toBase64(sealed),
      keyEpoch,
      signature: toBase64(await element.sign(seedMessage(stream.streamId, member.address, sealed), keyEpoch)),
    });
  }

  async #holders(): Promise<SignedHolders | undefined> {
    const { stream, holdersPath, log } = this.#o;
    let text: string;
    try {
      text = await readFile(holdersPath, "utf8");
    } catch {
      if (!this.#toldWaiting)
        log.warn({ file: holdersPath }, "waiting for the owner's signature of the seed holders: write this file");
      this.#toldWaiting = true;
      return undefined;
    }
    try {
      const signed = holdersFile.parse(JSON.parse(text));
      const wanted = [...stream.holders].sort().join();
      if (signed.holders.streamId !== stream.streamId || [...signed.holders.holders].sort().join() !== wanted)
        throw new DeviceError("config", `it names another stream or other holders than the configuration: ${wanted}`);
      return signed;
    } catch (error) {
      log.error({ file: holdersPath, ...errorFields(error) }, "the file of seed holders can't be used: correct it");
      return undefined;
    }
  }
}

/** What a device signs when it hands a seed over: "msec.seed" ‖ streamId ‖ receiver ‖ S(sealed). */
export function seedMessage(stream: Hex, receiver: Hex, sealed: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([utf8("msec.seed"), fromHex(stream, 32), fromHex(receiver, 20), sha256(sealed)]));
}
