import { type Hex } from "@msec/core";
import { type Logger } from "pino";

export interface Peer {
  address: Hex;
  organisation: Hex;
  url: string;
  up: boolean;
}

/** The other operators, over HTTP. What comes back is checked by whoever asked. */
export class Peers {
  readonly all: Peer[];
  readonly #log: Logger;

  constructor(committee: { address: Hex; organisation: Hex; url: string }[], self: Hex, log: Logger) {
    this.all = committee.filter((member) => member.address !== self).map((member) => ({ ...member, up: false }));
    this.#log = log;
  }

  /** POSTs JSON to one operator; undefined where it does not answer in time or refuses. */
  async post<T>(peer: Peer, path: string, body: unknown, timeoutMs = 3000): Promise<T | undefined> {
    try {
      const response = await fetch(peer.url + path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(timeoutMs),
      });
      peer.up = true;
      if (!response.ok) return undefined;
      return (await response.json()) as T;
    } catch (error) {
      if (peer.up)
        this.#log.warn({ peer: peer.address, path, error: (error as Error).message }, "operator does not answer");
      peer.up = false;
      return undefined;
    }
  }

  async get<T>(peer: Peer, path: string, timeoutMs = 3000): Promise<T | undefined> {
    try {
      const response = await fetch(peer.url + path, { signal: AbortSignal.timeout(timeoutMs) });
      peer.up = true;
      if (!response.ok) return undefined;
      return (await response.json()) as T;
    } catch {
      peer.up = false;
      return undefined;
    }
  }

  /** Tells every operator, without waiting for those that are away. */
  tell(path: string, body: unknown): void {
    for (const peer of this.all) void this.post(peer, path, body);
  }
}
