import {
  decodeCose,
  decodeMessage,
  encodeMessage,
  type Epoch,
  EPOCH,
  epochHash,
  epochTree,
  fromHex,
  type Hex,
  LAST_SLOT,
  packOf,
  toHex,
  ZERO32,
} from "@msec/core";
import { step } from "@msec/service";
import { dataSlice, type Result, type TransactionDescription } from "ethers";
import { type Committee } from "./committee.ts";
import { type Context } from "./context.ts";
import { fromText, type Ingest, type MessagePage } from "./ingest.ts";
import { type Peer } from "./peers.ts";
import { learnStream } from "./streams.ts";
import { type EpochRow } from "./store.ts";

/** Periods of a block without one after which a chain counts as standing still. */
const STILL_PERIODS = 10;
/** Blocks that are read again after a restart of the chain. */
const OVERLAP = 50;

/** Follows the chain: confirms epochs in their order, sends lost ones again, obeys erasures, notes changes of devices. */
export class Watcher {
  readonly #ctx: Context;
  readonly #committee: Committee;
  readonly #ingest: Ingest;
  readonly #onEpoch: (row: EpochRow) => Promise<void>;
  #running: Promise<void> | undefined;
  #readTo = 0;
  #still = false;
  #newBlockAt = Date.now();
  /** Erasures whose keys are destroyed and whose root is not yet, as "streamId number". */
  readonly #punctured = new Set<string>();
  #rootRefused = "";
  /** First confirmed epoch that the chain may have lost; at the start the newest one is in doubt. */
  #doubtFrom: number;

  constructor(ctx: Context, committee: Committee, ingest: Ingest, onEpoch: (row: EpochRow) => Promise<void>) {
    this.#ctx = ctx;
    this.#committee = committee;
    this.#ingest = ingest;
    this.#onEpoch = onEpoch;
    this.#doubtFrom = committee.next - 1;
  }

  get chainUp(): boolean {
    return this.#committee.chainUp;
  }

  /** Whether the chain answers and makes no blocks, as one with too few validators. */
  get chainStill(): boolean {
    return this.chainUp && this.#still;
  }

  /** Reads the chain once; whoever asks meanwhile waits for the same reading. */
  tick(): Promise<void> {
    this.#running ??= this.#tick().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #tick(): Promise<void> {
    const { contracts, provider, devices, store, log } = this.#ctx;
    try {
      const block = await provider.getBlockNumber();
      const latest = await contracts.DataAnchor.latest();
      const number = Number(latest.number);
      this.#committee.block = block;
      this.#committee.chainNumber = number;
      if (!this.chainUp) log.info({ block }, "the chain answers again");
      if (!this.chainUp || block < this.#readTo) {
        // A chain that was killed has lost its last blocks, and what stood in them may stand elsewhere now.
        this.#readTo = Math.max(0, Math.min(this.#readTo, block) - OVERLAP);
        this.#doubtFrom = Math.min(this.#doubtFrom, number + 1, this.#committee.next - 1);
        devices.forgetAll();
        await store.forgetReceipted();
      }
      this.#committee.chainUp = true;
      this.#noteBlock(block !== this.#readTo);
      if (block > this.#readTo) await this.#readEvents(this.#readTo + 1, block);
      this.#readTo = block;
    } catch (error) {
      if (this.chainUp) log.error({ error: (error as Error).message }, "the chain does not answer");
      this.#committee.chainUp = false;
      return;
    }
    if (!(await this.#reconcile())) return;
    const confirmed = this.#committee.next - 1;
    this.#ingest.newestEpoch = Math.max(confirmed, this.#committee.chainNumber);
    for (let number = confirmed + 1; number <= this.#committee.chainNumber; number++)
      if (!(await this.#confirm(number))) return;
    if (this.#committee.chainNumber < confirmed) await this.#committee.resend();
    await this.#erase();
  }

  #noteBlock(isNew: boolean): void {
    const { config, log } = this.#ctx;
    if (isNew) this.#newBlockAt = Date.now();
    const still = Date.now() - this.#newBlockAt > STILL_PERIODS * config.chain.blockSeconds * 1000;
    if (still && !this.#still) log.warn({ block: this.#readTo }, "the chain makes no blocks: packs wait until it does");
    if (!still && this.#still) log.info("the chain makes blocks again");
    this.#still = still;
  }

  /**
   * Compares confirmed epochs that are in doubt with the chain's, once it has them again. Where the chain has taken
   * another epoch under a number, this operator's own is forgotten and its packs wait again.
   */
  async #reconcile(): Promise<boolean> {
    const { contracts, provider, store, lines, log } = this.#ctx;
    const from = Math.max(1, this.#doubtFrom);
    const to = Math.min(this.#committee.chainNumber, this.#committee.next - 1);
    for (let number = from; number <= to; number++) {
      const mine = await store.epoch(number);
      if (!mine) break;
      if ((await contracts.DataAnchor.epochHash(number)) !== mine.hash) {
        log.warn({ epoch: number }, "the chain lost an epoch and took another under its number: this one is forgotten");
        await this.#ingest.exclusive(async () => {
          for (const streamId of await store.rollback(number - 1)) {
            const line = lines.byId.get(streamId);
            if (line) await lines.open(line.stream, line.holders);
          }
        });
        await this.#committee.load();
        break;
      }
      const event = (await contracts.DataAnchor.queryFilter(contracts.DataAnchor.filters.Anchored(number), 0)).pop();
      const tx = event && (await provider.getTransaction(event.transactionHash));
      if (!tx) return false;
      const proposer = tx.from.toLowerCase() as Hex;
      if (proposer === mine.proposer && tx.hash === mine.tx) continue;
      await store.setProposer(number, proposer, tx.hash as Hex);
      if (number === this.#committee.next - 1) await this.#committee.load();
    }
    this.#doubtFrom = this.#committee.chainNumber >= this.#committee.next - 1 ? Infinity : Math.max(from, to + 1);
    return true;
  }

  async #readEvents(from: number, to: number): Promise<void> {
    const { contracts, provider, devices, lines, store } = this.#ctx;
    const registry = contracts.DeviceRegistry;
    const consent = contracts.ConsentRegistry;
    const policies = (await contracts.BootPolicy.getAddress()).toLowerCase();
    const address = [await registry.getAddress(), await consent.getAddress(), policies];
    for (const log of await provider.getLogs({ address, fromBlock: from, toBlock: to })) {
      // The provider gives checksummed addresses, a contract its address as it was configured.
      if (log.address.toLowerCase() === address[0]?.toLowerCase()) {
        const event = registry.interface.parseLog(log);
        const deviceId = (event?.args as Result | undefined)?.deviceId as Hex | undefined;
        if (deviceId === undefined) continue;
        devices.forget(deviceId);
        if (event?.name !== "KeyRotated") continue;
        const spki = fromHex(event.args.spki as Hex);
        const keyEpoch = Number(event.args.keyEpoch);
        for (const line of lines.byId.values()) {
          if (line.stream.deviceId !== deviceId) continue;
          await store.putKey(line.id, keyEpoch, spki);
          line.keys.set(keyEpoch, spki);
        }
      } else if (log.address.toLowerCase() === policies) {
        devices.forgetAll();
      } else {
        const event = consent.interface.parseLog(log);
        if (event?.name === "SubjectErased") {
          const [subject, at] = event.args as unknown as [Hex, bigint];
          await this.#eraseSubject(subject, Number(at));
        }
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

  /** One tombstone of a person is the last of every stream that is bound to them. */
  async #eraseSubject(subject: Hex, requestedAt: number): Promise<void> {
    const { contracts, store } = this.#ctx;
    const { ConsentRegistry } = contracts;
    const bound = await ConsentRegistry.queryFilter(ConsentRegistry.filters.SubjectBound(undefined, subject), 0);
    for (const { args } of bound) {
      const streamId = args.streamId as Hex;
      const number = Number(await ConsentRegistry.erasures(streamId));
      await store.putErasure({ streamId, number, fromSlot: 0, toSlot: LAST_SLOT, requestedAt });
    }
  }

  /**
   * Destroys the keys of what was asked to be erased, then the contents, then the root that the keys were sealed under; a
   * crash between them ends in all of it. An erasure counts as done after the last, which a TPM may let wait for minutes.
   */
  async #erase(): Promise<void> {
    const { store, frontiers, erasureKeys, contents, metrics, log } = this.#ctx;
    const open = (await store.erasures()).filter((erasure) => erasure.doneAt === null);
    if (open.length === 0) return;
    for (const { streamId, number, fromSlot, toSlot } of open) {
      const id = `${streamId} ${number}`;
      if (this.#punctured.has(id)) continue;
      step("puncture");
      const held = await this.#ingest.exclusive(() => frontiers.puncture(streamId, fromSlot, toSlot));
      step("punctured");
      await contents.remove(await store.contentsIn(streamId, fromSlot, toSlot));
      const gone = await store.dropContents(streamId, fromSlot, toSlot);
      this.#punctured.add(id);
      log.info({ stream: streamId, from: fromSlot, to: toSlot, keys: held, contents: gone }, "erased");
    }
    const rotated = await erasureKeys.rotateRoot().catch((error: Error) => {
      if (error.message !== this.#rootRefused)
        log.error({ error: error.message }, "the root of the erasure keys can't be replaced: no receipts until it is");
      this.#rootRefused = error.message;
      return false;
    });
    if (!rotated) return;
    this.#rootRefused = "";
    for (const { streamId, number } of open) {
      await store.finishErasure(streamId, number, Date.now());
      this.#punctured.delete(`${streamId} ${number}`);
      metrics.erasures.inc();
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
    const before = this.#committee.confirmed;
    if (found.epoch.prev !== (before?.hash ?? ZERO32)) {
      this.#doubtFrom = Math.max(1, number - OVERLAP);
      return false;
    }
    const headerDigests = await this.#headersOf(found.epoch, hash);
    if (!headerDigests) return false;
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
      let slowest = 0;
      for (const line of lines.byId.values())
        for (const pending of lines.advance(line, anchored)) {
          metrics.packsAnchored.inc();
          metrics.readingsAnchored.inc(pending.pack.count);
          const seconds = (Date.now() - pending.receivedAt) / 1000;
          metrics.anchorSeconds.observe(seconds);
          slowest = Math.max(slowest, seconds);
        }
      metrics.anchorLag.set(slowest);
    });
    log.info(
      { epoch: number, packs: row.epoch.packs, readings: row.epoch.readings, proposer: row.proposer },
      "epoch confirmed",
    );
    await this.#ingest.exclusive(() => this.#ingest.checkBeacons(number, hash));
    await this.#committee.onConfirmed(row);
    await this.#onEpoch(row);
    return true;
  }

  /** The headers of an anchored epoch, all of them held: as proposed here, or as another operator says and the root bears out. */
  async #headersOf(epoch: Epoch, hash: Hex): Promise<Hex[] | undefined> {
    const { store, peers, log } = this.#ctx;
    const proposed = (await store.candidate(hash))?.headerDigests;
    if (proposed) return (await this.#hold(epoch.number, proposed)) ? proposed : undefined;
    for (const peer of peers.all) {
      const answer = await peers.get<{ hash: Hex; headerDigests: Hex[] }>(peer, `/epochs/${epoch.number}`);
      if (answer?.hash !== hash || !Array.isArray(answer.headerDigests)) continue;
      if (!(await this.#hold(epoch.number, answer.headerDigests))) continue;
      if (await this.#bearsOut(epoch.root, answer.headerDigests)) return answer.headerDigests;
    }
    log.warn({ epoch: epoch.number }, "no operator shows which headers the epoch holds: asked again");
    return undefined;
  }

  /** Sees to it that every pack of an anchored epoch is held here. */
  async #hold(number: number, headerDigests: readonly Hex[]): Promise<boolean> {
    const { lines, store, peers, log } = this.#ctx;
    const missing = async () => {
      const unknown = headerDigests.filter((digest) => !lines.pendingByDigest.has(digest));
      const held = new Set((await store.packs(unknown)).map((row) => row.headerDigest));
      return unknown.filter((digest) => !held.has(digest));
    };
    let lacking = await missing();
    if (lacking.length > 0) {
      // Taken off its line here, such as for a second signature that came after the epoch was signed.
      const kept = await store.dropped(lacking);
      if (kept.length > 0)
        await this.#adopt(kept.map(({ cose, content }) => encodeMessage(cose, content ?? new Uint8Array())));
    }
    for (const peer of peers.all) {
      lacking = await missing();
      if (lacking.length === 0) break;
      await this.#adoptFrom(peer, lacking);
    }
    lacking = await missing();
    if (lacking.length > 0) {
      log.warn({ epoch: number, missing: lacking.length }, "packs of a confirmed epoch are missing: asked again");
      return false;
    }
    return true;
  }

  /** Whether held packs are those under an epoch's root. */
  async #bearsOut(root: Hex, headerDigests: readonly Hex[]): Promise<boolean> {
    const { lines, store } = this.#ctx;
    const packs = (await store.packs(headerDigests)).flatMap(({ streamId, cose }) => {
      const line = lines.byId.get(streamId);
      return line ? [packOf(line.stream, decodeCose(cose))] : [];
    });
    return packs.length > 0 && toHex(epochTree(packs).tree.root) === root;
  }

  async #adoptFrom(peer: Peer, digests: readonly Hex[]): Promise<void> {
    for (let i = 0; i < digests.length; i += 500) {
      const part = { digests: digests.slice(i, i + 500) };
      const page = await this.#ctx.peers.post<MessagePage>(peer, "/peer/packs", part, 20_000);
      try {
        await this.#adopt((page?.messages ?? []).map(fromText));
      } catch (error) {
        const said = { peer: peer.address, error: (error as Error).message };
        this.#ctx.log.warn(said, "packs from another operator do not hold");
      }
    }
  }

  async #adopt(messages: Uint8Array[]): Promise<void> {
    for (const message of messages) await learnStream(this.#ctx, streamOfMessage(message));
    await this.#ingest.adopt(messages);
  }
}

function streamOfMessage(message: Uint8Array): Hex {
  return decodeCose(decodeMessage(message).cose).header.streamId;
}

/** The epoch with a number among the arguments of `anchor` or `anchorMany`, and its signatures. */
function epochInCall(call: TransactionDescription, number: number): { epoch: Epoch; signatures: Hex[] } | undefined {
  const many = call.name === "anchorMany";
  const epochs = (many ? call.args[0] : [call.args[0]]) as Result[];
  const signatures = (many ? call.args[1] : [call.args[1]]) as Hex[];
  const at = epochs.findIndex((epoch) => Number(epoch.number) === number);
  if (at < 0) return undefined;
  const given = epochs[at] as Result;
  const epoch = Object.fromEntries(
    EPOCH.fields.map(([type, name]) => [name, type === "bytes32" ? given[name] : Number(given[name])]),
  ) as unknown as Epoch;
  return { epoch, signatures: signaturesIn(signatures[at] as Hex) };
}

function signaturesIn(row: Hex): Hex[] {
  const n = (row.length - 2) / 130;
  return Array.from({ length: n }, (_, i) => dataSlice(row, 65 * i, 65 * (i + 1)) as Hex);
}
