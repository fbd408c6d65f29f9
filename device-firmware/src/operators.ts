import {
  anchorDomain,
  checkSignature,
  decodeCose,
  type Domain,
  fromBase64,
  HEAD,
  type Head,
  type Hex,
  keyHash,
  quorum,
  recoverTyped,
  type SignedHeader,
  type StreamPreimage,
  toBase64,
} from "@msec/core";
import type { DeviceKey } from "@msec/secure-element";
import { z } from "zod";
import type { Config, Member } from "./config.ts";
import { DeviceError } from "./errors.ts";

const TIMEOUT_MS = 5_000;

const hex = (n: number) =>
  z
    .string()
    .regex(new RegExp(`^0x[0-9a-fA-F]{${2 * n}}$`))
    .transform((s) => s.toLowerCase() as Hex);
const uint = z.int().min(0);
const info = z.object({ address: hex(20), sealKey: z.string(), chainId: uint, anchor: hex(20) });
const highest = z.object({ cose: z.string().nullable() });
const head = z.object({
  head: z.object({ streamId: hex(32), epoch: uint, keyEpoch: uint, seq: uint, headerDigest: hex(32) }).nullable(),
  signature: hex(65).nullish(),
});

/** The owner's choice of seed holders, as `<streamId>.holders.json` holds it. */
export interface SignedHolders {
  holders: { streamId: Hex; version: number; holders: Hex[] };
  holdersSignature: Hex;
}

/** The committee's HTTP interface, as a device uses it. */
export class Operators {
  readonly members: readonly Member[];
  readonly #config: Config;
  readonly #domain: Domain;
  constructor(config: Config) {
    this.#config = config;
    this.members = config.committee.members;
    this.#domain = anchorDomain(config.chain.chainId, config.chain.anchor);
  }

  /** X25519 key to which secrets for this operator are sealed; refuses an operator of another chain or address. */
  async sealKey(member: Member): Promise<Uint8Array> {
    const answer = info.parse(await this.#json(member, "/info"));
    const { chainId, anchor } = this.#config.chain;
    if (answer.address !== member.address || answer.chainId !== chainId || answer.anchor !== anchor)
      throw new DeviceError(
        "operator",
        `${member.url} is operator ${answer.address} of chain ${answer.chainId}, anchor ${answer.anchor}: correct the configuration`,
        member.url,
      );
    return fromBase64(answer.sealKey);
  }

  async register(member: Member, stream: StreamPreimage, keys: DeviceKey[], holders: SignedHolders): Promise<void> {
    await this.#json(member, "/streams", {
      preimage: stream,
      keys: keys.map((key) => ({ keyEpoch: key.keyEpoch, spki: toBase64(key.spki) })),
      ...holders,
    });
  }

  /** Hands a seed over; an operator that has one already (409) is as good. */
  async seed(
    member: Member,
    stream: Hex,
    body: { sealed: string; keyEpoch: number; signature: string },
  ): Promise<void> {
    await this.#json(member, `/streams/${stream}/seed`, body, [409]);
  }

  /**
   * The highest header of this device that each operator holds, null where it holds none. Only answers that this
   * device signed count: a bare number could push its line anywhere.
   */
  async highest(stream: Hex, keys: DeviceKey[]): Promise<(SignedHeader | null)[]> {
    return this.#ask(async (member) => {
      const { cose } = highest.parse(await this.#json(member, `/streams/${stream}/highest`));
      if (cose === null) return null;
      const signed = decodeCose(fromBase64(cose));
      const key = keys.find(({ spki }) => keyHash(spki) === signed.keyHash);
      if (!key || signed.header.streamId !== stream)
        throw new DeviceError(
          "operator",
          `${member.url} shows a header that is not this stream's`,
          signed.headerDigest,
        );
      checkSignature(signed, key.spki);
      return signed;
    });
  }

  /** The stream's head on which q operators agree: null where it has none, undefined where there is no agreement. */
  async head(stream: Hex): Promise<Head | null | undefined> {
    const heads = await this.#ask(async (member) => {
      const answer = head.parse(await this.#json(member, `/streams/${stream}/head`));
      if (answer.head === null) return null;
      if (answer.head.streamId !== stream || !answer.signature)
        throw new DeviceError("operator", `${member.url} shows an unsigned or another stream's head`, member.url);
      if (recoverTyped(this.#domain, HEAD, answer.head, answer.signature) !== member.address)
        throw new DeviceError("operator", `${member.url} shows a head that it did not sign`, member.url);
      return answer.head;
    });
    const votes = new Map<string, { head: Head | null; count: number }>();
    for (const vote of heads) {
      const key = vote?.headerDigest ?? "none";
      votes.set(key, { head: vote, count: (votes.get(key)?.count ?? 0) + 1 });
    }
    return [...votes.values()].find(({ count }) => count >= quorum(this.members.length))?.head;
  }

  /** The answers of those that answer well in time; what the others did is no answer. */
  async #ask<T>(question: (member: Member) => Promise<T>): Promise<T[]> {
    const settled = await Promise.allSettled(this.members.map(question));
    return settled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  }

  async #json(member: Member, path: string, body?: unknown, alsoFine: number[] = []): Promise<unknown> {
    const answer = await fetch(`${member.url}${path}`, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: "error",
      ...(body === undefined
        ? {}
        : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok && !alsoFine.includes(answer.status))
      throw new DeviceError(
        "operator",
        `${member.url}${path} answers ${answer.status}: ${text.slice(0, 300)}`,
        answer.status,
      );
    return body === undefined ? JSON.parse(text) : undefined;
  }
}
