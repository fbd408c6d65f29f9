import { decodeCose, decodeMessage, type Epoch, EPOCH, epochHash, type Hex } from "@msec/core";
import { step } from "@msec/service";
import { type Result, type TransactionDescription } from "ethers";
import { type Committee } from "./committee.ts";
import { type Context } from "./context.ts";
import { type Ingest } from "./ingest.ts";
import { type Peer } from "./peers.ts";
import { learnStream, spkiOfCoordinates } from "./streams.ts";
import { type EpochRow } from "./store.ts";

/** Blocks that are read again after a restart of the chain. */
const OVERLAP = 50;

/** Follows the chain: confirms epochs in their order, sends lost ones again, obeys erasures, notes changes of devices. */
export class Watcher {
  readonly #ctx: Context;
  readonly #committee: Committee;
  readonly #ingest: Ingest;
  readonly #onEpoch: (row: EpochRow) => Promise<void>;
  #readTo = 0;
  #up = true;

  constructor(ctx: Context, committee: Committee, ingest: Ingest, onEpoch: (row: EpochRow) => Promise<void>) {
    this.#ctx = ctx;
    this.#committee = committee;
    this.#ingest = ingest;
    this.#onEpoch = onEpoch;
  }

  get chainUp(): boolean {
    return this.#up;
  }

  async tick(): Promise<void> {
    const { contracts, provider, log } = this.#ctx;
    try {
      const block = await provider.getBlockNumber();
      const latest = await contracts.DataAnchor.latest();
      this.#committee.block = block;
      this.#committee.chainNumber = Number(latest.number);
      if (!this.#up) log.info({ block }, "the chain answers again");
      this.#up = true;
      if (block < this.#readTo) this.#readTo = Math.max(0, block - OVERLAP);
      if (block > this.#readTo) await this.#readEvents(this.#readTo + 1, block);
      this.#readTo = block;
    } catch (error) {
      if (this.#up) log.error({ error: (error as Error).message }, "the chain does not answer");
      this.#up = false;
      return;
    }
    const confirmed = this.#committee.next - 1;
    for (let number = confirmed + 1; number <= this.#committee.chainNumber; number++)
      if (!(await this.#confirm(number))) return;
    if (this.#committee.chainNumber < confirmed) await this.#committee.resend();
    await this.#erase();
  }

  async #readEvents(from: number, to: number): Promise<void> {
    const { contracts, provider, devices, lines, store } = this.#ctx;
    const registry = contracts.DeviceRegistry;
    const consent = contracts.ConsentRegistry;
    const address = [await registry.getAddress(), await consent.getAddress()];
    for (const log of await provider.getLogs({ address, fromBlock: from, toBlock: to })) {
      if (log.address === address[0]) {
        const event = registry.interface.parseLog(log);
        const deviceId = (event?.args as Result | undefined)?.deviceId as Hex | undefined;
        if (deviceId === undefined) continue;
        devices.forget(deviceId);
        if (event?.name !== "KeyRotated") continue;
        const spki = spkiOfCoordinates(event.args.x as Hex, event.args.y as Hex);
        const keyEpoch = Number(event.args.keyEpoch);
        for (const line of lines.byId.values()) {
          if (line.stream.deviceId !== deviceId) continue;
          await store.putKey(line.id, keyEpoch, spki);
          line.keys.set(keyEpoch, spki);
        }
      } else {
        const event = consent.interface.parseLog(log);
        if (event?.name !== "ErasureRequested") continue;
        const [streamId, number, fromSlot, toSlot, at] = event.args as unknown as [Hex, bigint, bigint, bigint, bigint];
        await store.putErasure({
          streamId,
          number: Number(number),
          fromSlot: Number(fromSlot),
          toSlot: Number(toSlot),
          requestedAt: Number(at),
        });
      }
    }
  }

  /** Destroys the keys of what was asked to be erased, then the contents; a crash between them ends in both. */
  async #erase(): Promise<void> {
    const { store, frontiers, metrics, log } = this.#ctx;
    for (const erasure of await store.erasures()) {
      if (erasure.doneAt !== null) continue;
      step("puncture");
      const held = await this.#ingest.exclusive(() =>
        frontiers.puncture(erasure.streamId, erasure.fromSlot, erasure.toSlot),
      );
      step("punctured");
      const gone = await store.finishErasure(erasure, Date.now());
      await this.#ctx.contents.remove(gone);
      metrics.erasures.inc();
      log.info(
        { stream: erasure.streamId, from: erasure.fromSlot, to: erasure.toSlot, keys: held, contents: gone.length },
        "erased",
      );
    }
  }

  async #confirm(number: number): Promise<boolean> {
    const { contracts, provider, store, lines, metrics, log } = this.#ctx;
    const events = await contracts.DataAnchor.queryFilter(contracts.DataAnchor.filters.Anchored(number), 0);
    const event = events[events.length - 1];
    const tx = event && (await provider.getTransaction(event.transactionHash));
    if (!event || !tx) return false;
    const call = contracts.DataAnchor.interface.parseTransaction(tx);
    const found = call && epochInCall(call, number);
    const hash = event.args.epochHash as Hex;
    if (!found || epochHash(found.epoch) !== hash) {
      log.error({ epoch: number, tx: tx.hash }, "the transaction does not hold the epoch that its event names");
      return false;
    }
    const headerDigests = (await store.candidate(hash))?.headerDigests ?? (await this.#askHeaders(number, hash));
    if (!headerDigests || !(await this.#hold(number, headerDigests))) return false;
    const row: EpochRow = {
      ...found,
      hash,
      proposer: tx.from.toLowerCase() as Hex,
      headerDigests,
      tx: tx.hash as Hex,
    };
    step("confirm");
    await this.#ingest.exclusive(async () => {
      await store.confirm(row);
      const anchored = new Set(headerDigests);
      for (const line of lines.byId.values())
        for (const pending of lines.advance(line, anchored)) {
          metrics.packsAnchored.inc();
          metrics.readingsAnchored.inc(pending.pack.count);
          metrics.anchorSeconds.observe((Date.now() - pending.receivedAt) / 1000);
        }
    });
    log.info(
      { epoch: number, packs: row.epoch.packs, readings: row.epoch.readings, proposer: row.proposer },
      "epoch confirmed",
    );
    await this.#committee.onConfirmed(row);
    await this.#onEpoch(row);
    return true;
  }

  /** The headers of an epoch that this operator did not see proposed, from the others. */
  async #askHeaders(number: number, hash: Hex): Promise<Hex[] | undefined> {
    for (const peer of this.#ctx.peers.all) {
      const answer = await this.#ctx.peers.get<{ hash: Hex; headerDigests: Hex[] }>(peer, `/epochs/${number}`);
      if (answer?.hash === hash) return answer.headerDigests;
    }
    this.#ctx.log.warn({ epoch: number }, "no operator says which headers the epoch holds: asked again");
    return undefined;
  }

  /** Sees to it that every pack of a confirmed epoch is held here. */
  async #hold(number: number, headerDigests: readonly Hex[]): Promise<boolean> {
    const { lines, store, log } = this.#ctx;
    const missing = async () => {
      const unknown = headerDigests.filter((digest) => !lines.pendingByDigest.has(digest));
      const held = new Set((await store.packs(unknown)).map((row) => row.headerDigest));
      return unknown.filter((digest) => !held.has(digest));
    };
    for (const peer of this.#ctx.peers.all) {
      const lacking = await missing();
      if (lacking.length === 0) return true;
      await this.#adoptFrom(peer, lacking);
    }
    const lacking = await missing();
    if (lacking.length > 0)
      log.warn({ epoch: number, missing: lacking.length }, "packs of a confirmed epoch are missing: asked again");
    return lacking.length === 0;
  }

  async #adoptFrom(peer: Peer, digests: readonly Hex[]): Promise<void> {
    for (let i = 0; i < digests.length; i += 500) {
      const page = await this.#ctx.peers.post<{ messages: string[] }>(
        peer,
        "/peer/packs",
        { digests: digests.slice(i, i + 500) },
        20_000,
      );
      const messages = (page?.messages ?? []).map((m) => new Uint8Array(Buffer.from(m, "base64")));
      try {
        for (const message of messages) await learnStream(this.#ctx, streamOfMessage(message));
        await this.#ingest.adopt(messages);
      } catch (error) {
        this.#ctx.log.warn(
          { peer: peer.address, error: (error as Error).message },
          "packs from another operator do not hold",
        );
      }
    }
  }
}

function streamOfMessage(message: Uint8Array): Hex {
  return decodeCose(decodeMessage(message).cose).header.streamId;
}

/** The epoch with a number among the arguments of `anchor` or `anchorMany`, and its signatures. */
function epochInCall(call: TransactionDescription, number: number): { epoch: Epoch; signatures: Hex[] } | undefined {
  const many = call.name === "anchorMany";
  const epochs = (many ? call.args[1] : [call.args[1]]) as Result[];
  const signatures = (many ? call.args[2] : [call.args[2]]) as Result[];
  const at = epochs.findIndex((epoch) => Number(epoch.number) === number);
  if (at < 0) return undefined;
  const given = epochs[at] as Result;
  const epoch = Object.fromEntries(
    EPOCH.fields.map(([type, name]) => [name, type === "bytes32" ? given[name] : Number(given[name])]),
  ) as unknown as Epoch;
  return { epoch, signatures: [...(signatures[at] as Result)] as Hex[] };
}
