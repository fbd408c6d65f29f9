import {
  type Anchoring,
  type Certificate,
  decodeCose,
  fromBase64,
  type Head,
  type Hex,
  type Holders,
  type SignedThing,
  streamId,
  type StreamPreimage,
  type Epoch,
  type Config,
} from "@msec/core";
import { TradeError } from "./errors.ts";
import { type Progress } from "./pace.ts";

export interface StreamInfo {
  preimage: StreamPreimage;
  keys: { keyEpoch: number; spki: string }[];
  holders: Holders;
  holdersSignature: Hex;
  head: { seq: number; headerDigest: Hex; toMs: number } | null;
  firstSlot: number | null;
  lastSlot: number | null;
  pending: number;
  equivocations: number;
  erasures: { number: number; fromSlot: number; toSlot: number; requestedAt: number; doneAt: number | null }[];
  /** Where and with what it is measured, as its owner signed it. */
  thing: SignedThing | null;
}

export interface PackOutline {
  headerDigest: Hex;
  contentDigest: Hex;
  cose: string;
  seq: number;
  slot: number;
  readings: number;
  epoch: number;
  erased: boolean;
}

export interface WindowPage {
  packs: PackOutline[];
  truncated: boolean;
  before: PackOutline | null;
  after: PackOutline | null;
  newestEpoch: number;
}

/** What is anchored of a day: counted from 1970, UTC. */
export interface DayCount {
  day: number;
  packs: number;
  readings: number;
  /** Packs whose contents are gone. */
  erased: number;
}

export interface PackFull {
  headerDigest: Hex;
  cose: string;
  content: string | null;
  anchoring: Anchoring | null;
}

export interface HeadAnswer {
  head: Head | null;
  signature: Hex | null;
  asOf: { epoch: Epoch; signatures: Hex[]; config: Config } | null;
}

/** Packs that are asked for at once. */
const AT_ONCE = 100;
const ANSWER_MS = 30_000;
const HEAD_MS = 5000;

/** A path of the page's own origin is made whole: a worker made of a blob has no other base. */
const whole = (url: string) => (url.startsWith("/") ? (globalThis.origin ?? "") + url : url).replace(/\/+$/, "");

/** What the operators answer to anyone. Nothing of it is believed: `verify` checks all of it. */
export class Operators {
  readonly urls: readonly string[];

  /** @param urls Where each operator's API starts, such as `https://operator.example` or `/api/operators/0`. */
  constructor(urls: readonly string[]) {
    this.urls = urls.map(whole);
  }

  /** The first operator's good answer; a {@link TradeError} with the last refusal where none has one. */
  async ask<T>(path: string, body?: unknown): Promise<T> {
    let refusal = "no operator answers";
    for (const url of this.urls) {
      try {
        const response = await fetch(url + path, {
          ...(body === undefined
            ? {}
            : { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
          signal: AbortSignal.timeout(ANSWER_MS),
        });
        if (response.ok) return (await response.json()) as T;
        refusal = `${response.status}`;
        refusal = ((await response.json()) as { message?: string }).message ?? refusal;
      } catch {
        // Away, too slow, or something else between here and there that does not speak JSON: the next one is asked.
      }
    }
    throw new TradeError("unanswered", `the operators do not answer ${path}: ${refusal}`);
  }

  async stream(id: Hex): Promise<StreamInfo> {
    const info = await this.ask<StreamInfo>(`/streams/${id}`);
    if (streamId(info.preimage) !== id)
      throw new TradeError("wrong-answer", `an operator answers with another stream than ${id}`);
    return info;
  }

  /** Every operator's description of a stream; those that are away or have none are left out. */
  async descriptions(id: Hex): Promise<SignedThing[]> {
    const answers = await Promise.all(
      this.urls.map(async (url) => {
        try {
          const response = await fetch(`${url}/streams/${id}`, { signal: AbortSignal.timeout(HEAD_MS) });
          return response.ok ? ((await response.json()) as StreamInfo).thing : null;
        } catch {
          return null;
        }
      }),
    );
    return answers.filter((thing) => thing !== null && thing !== undefined);
  }

  /** Gives every operator a description; for each its refusal, or undefined where it took it. */
  describe(id: Hex, thing: SignedThing): Promise<(string | undefined)[]> {
    return Promise.all(
      this.urls.map(async (url) => {
        try {
          const response = await fetch(`${url}/streams/${id}/thing`, {
            method: "PUT",
            body: JSON.stringify(thing),
            headers: { "content-type": "application/json" },
            signal: AbortSignal.timeout(HEAD_MS),
          });
          if (response.ok) return undefined;
          return ((await response.json()) as { message?: string }).message ?? String(response.status);
        } catch (error) {
          return (error as Error).message;
        }
      }),
    );
  }

  window(id: Hex, fromSlot: number, toSlot: number): Promise<WindowPage> {
    return this.ask(`/streams/${id}/window?from=${fromSlot}&to=${toSlot}`);
  }

  /** Days that have something, ascending; at most 400 of them at once. */
  async days(id: Hex, fromDay: number, toDay: number): Promise<DayCount[]> {
    return (await this.ask<{ days: DayCount[] }>(`/streams/${id}/days?from=${fromDay}&to=${toDay}`)).days;
  }

  async packs(headerDigests: readonly Hex[], progress?: Progress): Promise<PackFull[]> {
    const out = new Map<Hex, PackFull>();
    for (let i = 0; i < headerDigests.length; i += AT_ONCE) {
      const some = headerDigests.slice(i, i + AT_ONCE);
      for (const pack of await this.ask<PackFull[]>("/packs", { headerDigests: some }))
        out.set(pack.headerDigest, pack);
      progress?.(i + some.length, headerDigests.length);
    }
    return headerDigests.map((digest) => {
      const pack = out.get(digest);
      if (!pack) throw new TradeError("unanswered", `no operator has the pack ${digest}`);
      return pack;
    });
  }

  /** The chain's own certificates, as far as an operator keeps them; null on a chain without seals. */
  async certificate(
    epochs: readonly number[],
    device: { deviceId: Hex; keyEpoch: number },
  ): Promise<Certificate | null> {
    const { sealed, certificate } = await this.ask<{ sealed: boolean; certificate: Certificate }>("/certificates", {
      epochs,
      device,
    });
    return sealed ? certificate : null;
  }

  /** Every operator's signed word of a stream's head at an epoch; those that are away are left out. */
  async heads(id: Hex, epoch: number): Promise<HeadAnswer[]> {
    const answers = await Promise.all(
      this.urls.map(async (url) => {
        try {
          const response = await fetch(`${url}/streams/${id}/head?epoch=${epoch}`, {
            signal: AbortSignal.timeout(HEAD_MS),
          });
          return response.ok ? ((await response.json()) as HeadAnswer) : undefined;
        } catch {
          return undefined;
        }
      }),
    );
    return answers.filter((answer) => answer !== undefined);
  }
}

export const headerOf = (pack: { cose: string }) => decodeCose(fromBase64(pack.cose)).header;
