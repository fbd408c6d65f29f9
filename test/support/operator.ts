import { type Server } from "node:http";
import { operatorCredentials, rightsOf } from "@msec/broker";
import { contractsAt, Sender } from "@msec/chain";
import {
  anchorDomain,
  buildEpoch,
  configDigest,
  decodeCose,
  decodeMessage,
  type Domain,
  type Epoch,
  EPOCH,
  epochHash,
  epochTree,
  fromHex,
  type Hex,
  packOf,
  recoverTyped,
  signTyped,
  type SignedHeader,
  streamId,
  type StreamPreimage,
  ZERO32,
} from "@msec/core";
import { serve } from "@msec/service";
import { concat } from "ethers";
import mqtt from "mqtt";
import { type Account } from "../../apps/cli/src/city/layout.ts";
import { type Answer } from "../../oracles/custody/src/committee.ts";
import { type TestCity, until } from "./city.ts";

interface Held {
  signed: SignedHeader;
  message: Uint8Array;
  stream: StreamPreimage;
}

/**
 * Stands in for one operator, with its key and at its address, and lies as a test wants. It hears the broker like any
 * operator, answers the others' questions, proposes epochs and brings them onto the chain; it keeps everything in memory.
 */
export class LyingOperator {
  readonly t: TestCity;
  readonly n: number;
  readonly account: Account;
  readonly #held = new Map<Hex, Held>();
  readonly #streams = new Map<Hex, StreamPreimage>();
  #server: Server | undefined;
  #client: mqtt.MqttClient | undefined;
  /** What it answers to a proposal. */
  answer: (proposal: { epoch: Epoch; headerDigests: Hex[] }) => unknown = () => ({});
  asked = 0;

  private constructor(t: TestCity, n: number) {
    this.t = t;
    this.n = n;
    this.account = t.city.people.operators[n - 1] as Account;
  }

  /** Takes the place of operator `n`, whose process must be halted. */
  static async inPlaceOf(t: TestCity, n: number): Promise<LyingOperator> {
    const self = new LyingOperator(t, n);
    const honest = t.city.run.operators.findIndex((_, i) => i + 1 !== n) + 1;
    for (const { streamId: id } of await t.get<{ streamId: Hex }[]>(honest, "/streams"))
      self.#streams.set(id, (await t.get<{ preimage: StreamPreimage }>(honest, `/streams/${id}`)).preimage);
    self.#server = await serve(
      {
        "GET /info": () => ({ name: "liar", address: self.account.address, ipfs: [] }),
        "GET /status": () => ({}),
        "GET /streams": () => ({ nonsense: true }),
        "POST /peer/propose": ({ body }) => {
          self.asked++;
          return self.answer(body as never) as object;
        },
        "POST /peer/packs": ({ body }) => ({
          messages: (body as { digests: Hex[] }).digests.flatMap((d) => {
            const held = self.#held.get(d);
            return held ? [Buffer.from(held.message).toString("base64")] : [];
          }),
          opened: [],
        }),
        "POST /peer/line": () => ({ nonsense: 1 }),
        "POST /peer/push": async ({ body }) => {
          void self.fetch((body as { from: string }).from, (body as { digests: Hex[] }).digests).catch(() => undefined);
          return { ok: true };
        },
        "POST /peer/opened": () => ({ ok: true }),
        "POST /peer/equivocation": () => ({ known: true }),
      },
      "127.0.0.1",
      Number(new URL(t.url(n)).port),
      () => undefined,
    );
    self.#client = await mqtt.connectAsync(t.city.run.broker, {
      clientId: self.account.address,
      ...operatorCredentials(fromHex(self.account.key), self.account.address, t.city.run.broker),
      protocolVersion: 4,
      reconnectPeriod: 0,
    });
    self.#client.on("message", (_, payload) => self.#take(new Uint8Array(payload)));
    await self.#client.subscribeAsync(rightsOf({ kind: "operator", id: self.account.address }).subscribe, { qos: 1 });
    return self;
  }

  get domain(): Domain {
    const { chainId, addresses } = this.t.city.run.deployment;
    return anchorDomain(chainId, addresses.DataAnchor);
  }

  #take(message: Uint8Array): void {
    try {
      const signed = decodeCose(decodeMessage(message).cose);
      const stream = this.#streams.get(signed.header.streamId);
      if (stream) this.#held.set(signed.headerDigest, { signed, message, stream });
    } catch {
      // Not a pack.
    }
  }

  async fetch(url: string, digests: readonly Hex[]): Promise<void> {
    const response = await fetch(`${url}/peer/packs`, { method: "POST", body: JSON.stringify({ digests }) });
    for (const message of ((await response.json()) as { messages: string[] }).messages)
      this.#take(new Uint8Array(Buffer.from(message, "base64")));
  }

  /** The other operators. */
  get others(): number[] {
    return [1, 2, 3, 4].filter((n) => n !== this.n);
  }

  /** The newest epoch as the honest ones have it. */
  async newest(): Promise<{ epoch: Epoch; hash: Hex } | undefined> {
    const number = await this.t.chainEpoch();
    if (number === 0) return undefined;
    return until(`epoch ${number}`, () =>
      this.t.get<{ epoch: Epoch; hash: Hex }>(this.others[0] as number, `/epochs/${number}`),
    );
  }

  /** Packs that follow the streams' heads, in the order of their lines; `only` leaves streams out. */
  async ready(only: (stream: Hex) => boolean = () => true): Promise<Held[]> {
    const out: Held[] = [];
    for (const id of this.#streams.keys()) {
      if (!only(id)) continue;
      const { head } = await this.t.get<{ head: { headerDigest: Hex } | null }>(
        this.others[0] as number,
        `/streams/${id}`,
      );
      let at = head?.headerDigest ?? ZERO32;
      for (;;) {
        const next = [...this.#held.values()].find((h) => streamId(h.stream) === id && h.signed.header.previous === at);
        if (!next) break;
        out.push(next);
        at = next.signed.headerDigest;
      }
    }
    return out;
  }

  /** A proposal of its own, right unless `bend` makes it wrong. */
  async propose(
    packs: readonly Held[],
    bend: (epoch: Epoch) => Epoch = (epoch) => epoch,
  ): Promise<{ epoch: Epoch; answers: { n: number; answer: Answer }[]; signatures: Hex[] }> {
    const before = await this.newest();
    const number = (before?.epoch.number ?? 0) + 1;
    const view = await this.t.city.contracts.OracleCommittee.configAt(number);
    const digest = configDigest({
      q: Number(view.q),
      members: view.members.map((m) => m.toLowerCase() as Hex),
      organisations: [...view.organisations] as Hex[],
      fromEpoch: Number(view.fromEpoch),
    });
    const tree = epochTree(packs.map(({ stream, signed }) => packOf(stream, signed)));
    const epoch = bend(
      buildEpoch(tree, {
        number,
        prev: before?.hash ?? ZERO32,
        closedAt: Math.max(Date.now(), (before?.epoch.closedAt ?? 0) + 1),
        stateBlock: Math.max((await this.t.city.provider.getBlockNumber()) - 1, before?.epoch.stateBlock ?? 0),
        configDigest: digest,
      }),
    );
    const proposal = {
      epoch,
      headerDigests: tree.packs.map((p) => p.headerDigest),
      signature: signTyped(fromHex(this.account.key), this.domain, EPOCH, epoch),
    };
    const answers = await Promise.all(
      this.others.map(async (n) => {
        const response = await fetch(`${this.t.url(n)}/peer/propose`, {
          method: "POST",
          body: JSON.stringify(proposal),
        });
        return { n, answer: (await response.json()) as Answer };
      }),
    );
    const signatures = [proposal.signature, ...answers.flatMap(({ answer }) => answer.signature ?? [])];
    return { epoch, answers, signatures };
  }

  /** Brings an epoch with enough signatures onto the chain. */
  async anchor(epoch: Epoch, signatures: readonly Hex[]): Promise<void> {
    const { city } = this.t;
    const ordered = [...signatures]
      .map((signature) => ({ signature, signer: recoverTyped(this.domain, EPOCH, epoch, signature) }))
      .sort((a, b) => (a.signer < b.signer ? -1 : 1))
      .slice(0, 3)
      .map(({ signature }) => signature);
    const { DataAnchor } = contractsAt(city.run.deployment.addresses, city.provider);
    const data = DataAnchor.interface.encodeFunctionData("anchor", [epoch, concat(ordered)]);
    await new Sender(this.account.key, city.provider, city.run.deployment.chainId).transact({
      to: city.run.deployment.addresses.DataAnchor,
      data,
    });
  }

  static hashOf = epochHash;

  async leave(): Promise<void> {
    await this.#client?.endAsync(true);
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }
}
