import {
  buildEpoch,
  EPOCH,
  type Epoch,
  epochHash,
  epochTree,
  FUTURE_MS,
  type Hex,
  MAX_PACKS,
  ProtocolError,
  recoverTyped,
  REFUSED,
  type RefusalCode,
  REFUSAL_NUMBERS,
  signTyped,
  ZERO32,
} from "@msec/core";
import { step } from "@msec/service";
import { concat } from "ethers";
import { describeError } from "@msec/chain";
import { ACTIVE } from "./registry.ts";
import { type Context, domainOf, honest, needed } from "./context.ts";
import { type Epochs } from "./epochs.ts";
import { fromText, groupOpened, type Ingest, type MessagePage } from "./ingest.ts";
import { isSealed, type Line, type Pending } from "./lines.ts";
import { type Peer } from "./peers.ts";
import { type EpochRow } from "./store.ts";

/** Epochs that one operator leads in a row. */
const TERM = 30;
const CLOCK_MS = 2000;
const STATE_BLOCKS = 10;
/** Silent leaders after which a proposal of any operator is judged. */
const ANYONE = 2;
/** Epochs after which a pack that was pushed to the leader must be in. */
const PATIENCE = 5;

export interface Proposal {
  epoch: Epoch;
  /** In the order of the epoch's leaves. */
  headerDigests: Hex[];
  /** The proposer's own signature of the epoch. */
  signature: Hex;
}

export interface Bad {
  headerDigest: Hex;
  reason: number;
  signature?: Hex;
}

export interface Answer {
  signature?: Hex;
  refusal?: { code: RefusalCode; message: string };
  /** Headers that keep the signer from signing; with its signed `Refused` where it refuses them for good. */
  bad?: Bad[];
  /** Headers that the signer holds, pushed, and misses. */
  omitted?: Hex[];
}

/** The operators' agreement on what stands under each number: who leads, who signs, and why not. */
export class Committee {
  readonly #ctx: Context;
  readonly #ingest: Ingest;
  readonly #epochs: Epochs;
  /** Newest confirmed epoch. */
  confirmed: EpochRow | undefined;
  /** Newest number on the chain, as last read. */
  chainNumber = 0;
  /** Newest block, as last read. */
  block = 0;
  /** Whether the chain answers: an operator that can't see it proposes nothing. */
  chainUp = true;
  /** Reads the chain now. */
  refresh: () => Promise<void> = async () => undefined;
  #term = 0;
  #since = Date.now();
  #view = 0;
  #busy = false;
  #sentAt = 0;
  /** Since when an anchoring that was sent here is not seen on the chain. */
  unconfirmedSince: number | undefined;
  #excluded = new Set<Hex>();
  #failures = 0;

  constructor(ctx: Context, ingest: Ingest, epochs: Epochs) {
    this.#ctx = ctx;
    this.#ingest = ingest;
    this.#epochs = epochs;
  }

  async load(): Promise<void> {
    this.confirmed = await this.#ctx.store.lastEpoch();
    this.#ingest.newestEpoch = this.next - 1;
    await this.#newTerm();
  }

  async #newTerm(): Promise<void> {
    this.#term = this.confirmed ? await this.#ctx.store.termLength(this.confirmed.proposer) : 0;
    this.#since = Date.now();
    this.#view = 0;
    this.#excluded.clear();
    this.#failures = 0;
    this.#sentAt = 0;
    this.unconfirmedSince = undefined;
  }

  /** To be called when an epoch was confirmed. */
  async onConfirmed(row: EpochRow): Promise<void> {
    this.confirmed = row;
    await this.#newTerm();
    this.#ctx.metrics.epoch.set(row.epoch.number);
  }

  /** Who leads at a view: the last proposer while its term lasts, and the members after it as it stays silent. */
  leader(view: number): Hex {
    const members = this.#ctx.config.committee.map((m) => m.address).sort();
    const last = this.confirmed ? members.indexOf(this.confirmed.proposer) : 0;
    const base = last < 0 ? 0 : last + (this.#term >= TERM ? 1 : 0);
    return members[(base + view) % members.length] as Hex;
  }

  get view(): number {
    return this.#view;
  }

  get next(): number {
    return (this.confirmed?.epoch.number ?? 0) + 1;
  }

  /** One step of the clock: passes over a silent leader, pushes what waits, proposes when it is this operator's turn. */
  async tick(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      const { metrics, lines, config, log } = this.#ctx;
      metrics.pending.set(lines.pendingCount);
      let [oldest] = await this.#select(Date.now(), 1);
      if (!oldest && this.#excluded.size > 0) {
        // One operator's word leaves out what stands first on a line at most once.
        await this.#readmit();
        this.#failures |= 1;
        [oldest] = await this.#select(Date.now(), 1);
      }
      metrics.oldestPending.set(oldest ? (Date.now() - oldest.receivedAt) / 1000 : 0);
      if (!oldest) {
        this.#since = Date.now();
        this.#view = 0;
        return;
      }
      const view = Math.floor((Date.now() - this.#since) / config.silenceMs);
      if (view > this.#view) {
        const silent = this.leader(this.#view);
        metrics.viewChanges.inc({ operator: silent });
        log.warn({ epoch: this.next, silent, leader: this.leader(view) }, "no epoch in time: the next operator leads");
        this.#view = view;
      }
      if (this.chainNumber !== this.next - 1) return;
      const leader = this.leader(this.#view);
      if (leader !== this.#ctx.address) return await this.#pushTo(leader);
      const last = this.confirmed?.epoch.closedAt ?? 0;
      if (this.chainUp && Date.now() - last >= config.epochMs) await this.#lead();
    } finally {
      this.#busy = false;
    }
  }

  /** Packs that may enter the next epoch, in the order of their lines, an equal share for every stream. */
  async #select(closedAt: number, most = MAX_PACKS): Promise<Pending[]> {
    const lines = [...this.#ctx.lines.byId.values()].filter((line) => line.pending.length > 0);
    const out: Pending[] = [];
    let share = Math.max(1, Math.floor(most / Math.max(1, lines.length)));
    for (const line of lines) {
      if (out.length >= most) break;
      let taken = 0;
      for (const pending of line.pending) {
        if (!pending.held || taken >= share || out.length >= most || this.#excluded.has(pending.signed.headerDigest))
          break;
        if ((await this.#obstacle(line, pending, closedAt)) !== undefined) break;
        out.push(pending);
        taken++;
      }
      if (most === 1) share = 1;
    }
    return out;
  }

  /** Why a pack at the front of its line may not enter; undefined where it may. */
  async #obstacle(line: Line, pending: Pending, closedAt: number): Promise<ProtocolError | undefined> {
    const { devices } = this.#ctx;
    const { header } = pending.signed;
    if (header.toMs > closedAt + FUTURE_MS)
      return new ProtocolError("time", "the pack is of a time after the epoch", header.toMs);
    if (header.beacon.number >= this.next)
      return new ProtocolError("time", "the pack names a beacon that is not before its epoch", header.beacon.number);
    if (isSealed(line) && pending.opened.size === 0)
      return new ProtocolError(
        "unopenable",
        "no holder of the seed has opened the pack yet",
        pending.signed.headerDigest,
      );
    const device = await devices.device(line.stream.deviceId);
    if (device.status !== ACTIVE || device.ownerEpoch !== line.stream.ownerEpoch)
      return new ProtocolError("inactive-device", "the device is not active", device.status);
    if (await devices.isRevoked(line.stream.deviceId, header.keyEpoch))
      return new ProtocolError("revoked", "the key is revoked", header.keyEpoch);
    if (!(await devices.isAttested(line.stream.deviceId, header)))
      return new ProtocolError("unattested", "the device's attestation is over", header.bootEpoch);
    return undefined;
  }

  /** Packs that have waited longer than two epochs are pushed to the leader: it must take them or say why not. */
  async #pushTo(leader: Hex): Promise<void> {
    const { config, peers } = this.#ctx;
    const peer = peers.all.find((p) => p.address === leader);
    if (!peer) return;
    const old = Date.now() - 2 * config.epochMs;
    const due = (await this.#select(Date.now())).filter((p) => p.pushedAt === undefined && p.receivedAt < old);
    if (due.length === 0) return;
    const pushed = await peers.post<{ ok: boolean }>(peer, "/peer/push", {
      from: config.committee.find((m) => m.address === this.#ctx.address)?.url,
      digests: due.map((p) => p.signed.headerDigest),
    });
    if (pushed) for (const p of due) p.pushedAt = this.next - 1;
  }

  async #lead(): Promise<void> {
    const { store, log } = this.#ctx;
    const unsent = await store.signedCandidate(this.next);
    if (unsent?.signatures && unsent.raw) {
      if (Date.now() - this.#sentAt > 2000) await this.#send(unsent.epoch, unsent.hash, unsent.signatures);
      return;
    }
    const closedAt = Math.max(Date.now(), (this.confirmed?.epoch.closedAt ?? 0) + 1);
    const packs = await this.#select(closedAt);
    if (packs.length === 0) return;
    const tree = epochTree(packs.map((p) => p.pack));
    const { config, digest } = await this.#epochs.config(this.next);
    const epoch = buildEpoch(tree, {
      number: this.next,
      prev: this.confirmed?.hash ?? ZERO32,
      closedAt,
      stateBlock: Math.max(this.block - 1, this.confirmed?.epoch.stateBlock ?? 0),
      configDigest: digest,
    });
    const headerDigests = tree.packs.map((pack) => pack.headerDigest);
    const hash = epochHash(epoch);
    await store.putCandidate({ epoch, hash, headerDigests });
    step("close");
    this.#ctx.metrics.epochsProposed.inc();
    this.#ctx.metrics.signedEpoch.set(epoch.number);
    const signature = signTyped(this.#ctx.key, domainOf(this.#ctx), EPOCH, epoch);
    const signatures = await this.#collect({ epoch, headerDigests, signature });
    if (signatures.size < config.q) {
      this.#failures++;
      log.warn(
        { epoch: epoch.number, signatures: signatures.size, needed: config.q },
        "too few operators signed the epoch",
      );
      return;
    }
    const ordered = [...signatures]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, config.q)
      .map(([, s]) => s);
    await this.#send(epoch, hash, ordered);
  }

  /** Asks everyone, stops when enough have signed, and takes from refusals what the next candidate needs. */
  async #collect(proposal: Proposal): Promise<Map<Hex, Hex>> {
    const { peers, address } = this.#ctx;
    const signatures = new Map<Hex, Hex>([[address, proposal.signature]]);
    const q = needed(this.#ctx);
    await new Promise<void>((resolve) => {
      let open = peers.all.length;
      for (const peer of peers.all)
        void peers.post<Answer>(peer, "/peer/propose", proposal, CLOCK_MS).then(async (answer) => {
          if (answer?.signature) {
            try {
              if (recoverTyped(domainOf(this.#ctx), EPOCH, proposal.epoch, answer.signature) === peer.address)
                signatures.set(peer.address, answer.signature);
            } catch {
              this.#ctx.log.warn({ peer: peer.address }, "an operator answered with a signature that is none");
            }
          } else if (answer)
            await this.#learn(peer, answer).catch((error: Error) => {
              this.#ctx.log.warn({ peer: peer.address, error: error.message }, "an operator's answer cannot be read");
            });
          if (--open === 0 || signatures.size >= q) resolve();
        });
      if (open === 0) resolve();
    });
    return signatures;
  }

  /** A refusal: headers that others refuse are left out next time, dropped at f + 1 organisations; omitted ones are fetched. */
  async #learn(peer: Peer, answer: Answer): Promise<void> {
    const { log, store } = this.#ctx;
    log.info(
      { peer: peer.address, refusal: answer.refusal, bad: answer.bad?.length, omitted: answer.omitted?.length },
      "an operator did not sign",
    );
    for (const bad of answer.bad ?? []) {
      if (this.#failures % 2 === 0) this.#excluded.add(bad.headerDigest);
      if (bad.signature === undefined) continue;
      const refused = { headerDigest: bad.headerDigest, reason: bad.reason };
      try {
        if (recoverTyped(domainOf(this.#ctx), REFUSED, refused, bad.signature) !== peer.address) continue;
      } catch {
        continue;
      }
      await store.putRefused({ ...refused, signer: peer.address, signature: bad.signature });
    }
    if (this.#failures % 2 === 1) await this.#readmit();
    if (answer.omitted?.length) await this.pull(peer, answer.omitted);
  }

  /** Takes headers in again that were left out on the word of fewer than f + 1 organisations. */
  async #readmit(): Promise<void> {
    for (const digest of [...this.#excluded])
      if ((await this.#ctx.store.refusers(digest)).length < honest(this.#ctx)) this.#excluded.delete(digest);
  }

  /** Fetches packs from another operator and takes them in. */
  async pull(peer: Peer, digests: readonly Hex[]): Promise<void> {
    const unknown = digests.filter((digest) => !this.#ctx.lines.pendingByDigest.has(digest));
    if (unknown.length === 0) return;
    const page = await this.#ctx.peers.post<MessagePage>(peer, "/peer/packs", { digests: unknown });
    if (!page) return;
    try {
      await this.#ingest.take(page.messages.map(fromText), groupOpened(page.opened));
    } catch (error) {
      this.#ctx.log.warn({ peer: peer.address, error: (error as Error).message }, "an operator's packs cannot be read");
    }
  }

  /** Keeps the transaction, then sends it; a call first, so that a nonce is not spent on what the contract refuses. */
  async #send(epoch: Epoch, hash: Hex, signatures: Hex[]): Promise<void> {
    const { contracts, sender, store, log } = this.#ctx;
    this.#sentAt = Date.now();
    const data = contracts.DataAnchor.interface.encodeFunctionData("anchor", [epoch, concat(signatures)]);
    const to = (await contracts.DataAnchor.getAddress()) as Hex;
    try {
      await this.#ctx.provider.call({ from: sender.address, to, data });
      const [next, mined] = await Promise.all([sender.nonce(), sender.minedNonce()]);
      const kept = await store.candidate(hash);
      // The same bytes while they may still be mined: one that waits on a chain that stands still waits once.
      const signed =
        kept?.raw && kept.nonce !== null && mined <= kept.nonce && kept.nonce <= next
          ? { raw: kept.raw, nonce: kept.nonce }
          : await sender.sign({ to, data, gasLimit: 1_000_000 }, next);
      await store.putSigned(hash, signatures, signed.raw, signed.nonce);
      step("send");
      await sender.broadcast(signed.raw);
      this.unconfirmedSince ??= Date.now();
      step("sent");
      log.debug({ epoch: epoch.number, packs: epoch.packs, readings: epoch.readings }, "epoch sent");
    } catch (error) {
      log.warn(
        { epoch: epoch.number, error: describeError(error) },
        "the chain does not take the epoch: it is tried again",
      );
    }
  }

  /** Sends confirmed epochs again that the chain has lost, oldest first. */
  async resend(): Promise<void> {
    const { store, contracts, sender, metrics, log } = this.#ctx;
    const row = await store.epoch(this.chainNumber + 1);
    if (!row || Date.now() - this.#sentAt < 1500) return;
    this.#sentAt = Date.now();
    const data = contracts.DataAnchor.interface.encodeFunctionData("anchor", [row.epoch, concat(row.signatures)]);
    const to = (await contracts.DataAnchor.getAddress()) as Hex;
    try {
      await this.#ctx.provider.call({ from: sender.address, to, data });
      const { raw } = await sender.sign({ to, data, gasLimit: 1_000_000 }, await sender.nonce());
      await sender.broadcast(raw);
      metrics.resent.inc();
      log.warn({ epoch: row.epoch.number }, "the chain lost an epoch: its signed anchoring is sent again");
    } catch (error) {
      log.info({ epoch: row.epoch.number, error: describeError(error) }, "a lost epoch could not be sent again yet");
    }
  }

  /** Another operator's proposal: signed, or refused with reasons. */
  async sign(proposal: Proposal): Promise<Answer> {
    const { metrics, store, log } = this.#ctx;
    let proposer: Hex = "0x";
    try {
      proposer = recoverTyped(domainOf(this.#ctx), EPOCH, proposal.epoch, proposal.signature);
      const answer = await this.#judge(proposal, proposer);
      if (answer.bad?.length || answer.omitted?.length) {
        const code = answer.bad?.length ? "order" : "completeness";
        metrics.proposalsRefused.inc({ operator: proposer, reason: code });
        return {
          ...answer,
          refusal: { code, message: "the proposal holds refused headers, or leaves out what was pushed" },
        };
      }
      await store.putCandidate({
        epoch: proposal.epoch,
        hash: epochHash(proposal.epoch),
        headerDigests: proposal.headerDigests,
      });
      step("sign");
      metrics.epochsSigned.inc();
      metrics.signedEpoch.set(proposal.epoch.number);
      return { signature: signTyped(this.#ctx.key, domainOf(this.#ctx), EPOCH, proposal.epoch) };
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      metrics.proposalsRefused.inc({ operator: proposer, reason: error.code });
      log.warn(
        { proposer, epoch: proposal.epoch?.number, reason: error.code, error: error.message },
        "proposal refused",
      );
      return { refusal: { code: error.code, message: error.message } };
    }
  }

  async #judge({ epoch, headerDigests }: Proposal, proposer: Hex): Promise<Answer> {
    const { peers, lines } = this.#ctx;
    const refuse = (message: string, value?: unknown): never => {
      throw new ProtocolError("epoch", message, value);
    };
    const peer = peers.all.find((p) => p.address === proposer);
    if (!peer) throw new ProtocolError("committee", "the proposer is not an operator of this city", proposer);
    // Operators that started at different times count different views: whoever waits in vain for long takes anyone's.
    // The proposer may have seen the epoch before confirmed a moment earlier.
    if (epoch.number > this.next) await this.refresh();
    const turn =
      this.#view >= ANYONE ||
      [this.#view - 1, this.#view, this.#view + 1].some((view) => view >= 0 && this.leader(view) === proposer);
    if (!turn) refuse("it is not this operator's turn", proposer);
    if (epoch.number !== this.next) refuse(`the next number is ${this.next}`, epoch.number);
    if (epoch.prev !== (this.confirmed?.hash ?? ZERO32)) refuse("`prev` is not the epoch before", epoch.prev);
    if (Math.abs(epoch.closedAt - Date.now()) > CLOCK_MS)
      refuse("closedAt is not within 2 s of this operator's clock", epoch.closedAt);
    if (epoch.closedAt <= (this.confirmed?.epoch.closedAt ?? 0)) refuse("closedAt only rises", epoch.closedAt);
    if (epoch.stateBlock < this.block - STATE_BLOCKS || epoch.stateBlock > this.block + 2)
      refuse("stateBlock is too old", epoch.stateBlock);
    const { digest } = await this.#epochs.config(epoch.number);
    if (epoch.configDigest !== digest) refuse("another committee is in force", epoch.configDigest);
    if (headerDigests.length === 0 || headerDigests.length > MAX_PACKS)
      refuse("an epoch has 1 to 16,384 packs", headerDigests.length);

    await this.pull(peer, headerDigests);
    await this.#ingest.exclusive(async () => undefined);
    const included = new Set(headerDigests);
    const packs = headerDigests.map((digest) => lines.pendingByDigest.get(digest));
    const bad: Answer["bad"] = [];
    for (const [i, pending] of packs.entries())
      if (!pending?.held) bad.push(await this.#refused(headerDigests[i] as Hex, "order"));
    if (bad.length > 0) return { bad };
    const found = packs as Pending[];
    for (const line of lines.byId.values()) {
      const last = line.pending.findLastIndex((p) => included.has(p.signed.headerDigest));
      for (let i = 0; i <= last; i++) {
        const pending = line.pending[i] as Pending;
        if (!included.has(pending.signed.headerDigest))
          bad.push(await this.#refused((line.pending[last] as Pending).signed.headerDigest, "branch"));
        const obstacle = await this.#obstacle(line, pending, epoch.closedAt);
        if (obstacle) bad.push(await this.#refused(pending.signed.headerDigest, obstacle.code));
      }
    }
    if (bad.length > 0) return { bad };
    const tree = epochTree(found.map((p) => p.pack));
    const mine = buildEpoch(tree, epoch);
    if (epochHash(mine) !== epochHash(epoch))
      refuse("root, counts, times or manifest are not those of the packs named", epoch.root);
    if (tree.packs.some((pack, i) => pack.headerDigest !== headerDigests[i]))
      refuse("the headers are not in the order of their leaves");
    if (headerDigests.length < MAX_PACKS) {
      const missed = (await this.#select(epoch.closedAt)).filter(
        (p) =>
          !included.has(p.signed.headerDigest) && p.pushedAt !== undefined && this.next - 1 >= p.pushedAt + PATIENCE,
      );
      if (missed.length > 0) return { omitted: missed.map((p) => p.signed.headerDigest) };
    }
    return {};
  }

  /** Why a header keeps this operator from signing; its own `Refused`, if it gave one at the header's arrival. */
  async #refused(headerDigest: Hex, code: RefusalCode): Promise<Bad> {
    const given = await this.#ctx.store.refusal(headerDigest, this.#ctx.address);
    return given ? { headerDigest, ...given } : { headerDigest, reason: REFUSAL_NUMBERS[code] };
  }
}
