import {
  type Certificate,
  certifiedDevice,
  checkCertificate,
  decodeSealedHeader,
  type DeviceCertificate,
  deviceSlots,
  type EpochCertificate,
  epochSlot,
  type Hex,
  keyHash,
  sameSet,
  toBase64,
  validatorSet,
} from "@msec/core";
import { proveSlots, sealedHeader, validatorChanges } from "@msec/chain";
import { type Context } from "./context.ts";
import { type CertificateRow, type DeviceCertificateRow, type SealedBlockRow, type TermRow } from "./store.ts";

/** Epochs that one block certifies at most; a node proves them in one answer. */
const BATCH = 64;
/** Keys of devices that one block certifies at most. */
const DEVICES = 32;
/** Votes that decided a change may stand this many blocks before it was seen. */
const LOOK_BACK = 200;

const base64 = (nodes: readonly Uint8Array[]) => nodes.map(toBase64);

const epochCertificate = (block: SealedBlockRow, { epoch, storage }: CertificateRow): EpochCertificate => ({
  number: epoch,
  header: toBase64(block.header),
  account: base64(block.account),
  storage: base64(storage),
});

const deviceCertificate = (
  { header }: Pick<SealedBlockRow, "header">,
  { account, key, state }: DeviceCertificateRow,
): DeviceCertificate => ({
  header: toBase64(header),
  account: base64(account),
  key: base64(key),
  state: base64(state),
});

/** As readers get it: every change of validators before a block, and certificates up to it. */
const certificateOf = (terms: readonly TermRow[], newest: number, epochs: EpochCertificate[]): Certificate => ({
  changes: terms
    .filter(({ headers, fromBlock }) => headers.length > 0 && fromBlock <= newest)
    .map(({ headers }) => base64(headers)),
  epochs,
});

/**
 * Takes the chain's own certificate of every confirmed epoch, where the chain's blocks carry seals: the newest block's
 * header and the proof of the epoch's word in its state. Nodes forget states and not words, so an epoch that was missed is
 * certified by a later block. Nothing is kept that does not verify.
 */
export class Certificates {
  readonly #ctx: Context;
  /** Whether the chain's blocks carry seals; undefined until the chain was asked. */
  #sealed: boolean | undefined;
  /** All epochs up to this one have a certificate. */
  #doneTo = 0;
  /** Keys of devices that are certified, as "deviceId keyEpoch". */
  readonly #certifiedKeys = new Set<string>();
  /** Why none was taken last; empty where one was. */
  #reason = "";

  constructor(ctx: Context) {
    this.#ctx = ctx;
  }

  /** What is wrong, for people; undefined where nothing is. */
  get problem(): string | undefined {
    return this.#reason === ""
      ? undefined
      : `the chain's certificates are not taken, and are tried again: ${this.#reason}`;
  }

  /** One try for what has no certificate yet. */
  async tick(): Promise<void> {
    if (this.#sealed === false) return;
    try {
      await this.#take();
      this.#reason = "";
    } catch (error) {
      const reason = (error as Error).message;
      if (reason !== this.#reason)
        this.#ctx.log.warn({ error: reason }, "the chain's certificate is not taken now: tried again");
      this.#reason = reason;
    }
  }

  async #take(): Promise<void> {
    const { store, provider, config, log } = this.#ctx;
    const newestEpoch = await store.newestEpoch();
    if (newestEpoch === this.#doneTo) return;
    const open = await store.uncertified(Math.min(this.#doneTo, newestEpoch), BATCH);
    if (open.length === 0) {
      this.#doneTo = newestEpoch;
      return;
    }
    const block = await sealedHeader(provider, "latest");
    if (this.#sealed === undefined && block === undefined)
      log.info("the chain's blocks carry no validators' seals: no certificates are kept");
    this.#sealed = block !== undefined;
    if (block === undefined || block.number === 0) return;
    const followed = await this.#follow(block.number, block.validators);
    if (followed === undefined) return;
    const { known, added } = followed;
    const numbers = open.map(({ number }) => number);
    const anchor = config.chain.addresses.DataAnchor as Hex;
    const { account, storage } = await proveSlots(provider, anchor, numbers.map(epochSlot), block.number);
    const row: SealedBlockRow = { number: block.number, header: block.bytes, account };
    const certificates = numbers.map((epoch, i) => ({ epoch, storage: storage[i] as Uint8Array[] }));
    // What was kept before was checked then: the newest of it is where this goes on.
    checkCertificate(
      certificateOf(
        added,
        block.number,
        certificates.map((certificate) => epochCertificate(row, certificate)),
      ),
      { anchor, epochs: open },
      ((known.at(-1) ?? added[0]) as TermRow).validators,
    );
    const term = (added.at(-1) ?? known.at(-1)) as TermRow;
    if (added.length > 0) this.#certifiedKeys.clear();
    const devices = await this.#devices(row, term.fromBlock);
    await store.putCertificates(row, certificates, devices, added);
    for (const { deviceId, keyEpoch } of devices) this.#certifiedKeys.add(`${deviceId} ${keyEpoch}`);
    if (open.length < BATCH) this.#doneTo = newestEpoch;
  }

  /**
   * Keys of devices that these validators have not certified, by the same block: with a change of validators all are taken
   * again, so that readers who know only the new ones can use them. One that is not registered yet is left for later.
   */
  async #devices(block: SealedBlockRow, termFrom: number): Promise<DeviceCertificateRow[]> {
    const { store, lines, provider, config } = this.#ctx;
    const registry = config.chain.addresses.DeviceRegistry as Hex;
    const out: DeviceCertificateRow[] = [];
    for (const { stream, keys } of lines.byId.values()) {
      const { deviceId } = stream;
      for (const [keyEpoch, spki] of keys) {
        const id = `${deviceId} ${keyEpoch}`;
        if (this.#certifiedKeys.has(id) || out.length === DEVICES) continue;
        if (out.some((row) => row.deviceId === deviceId && row.keyEpoch === keyEpoch)) continue;
        if (((await store.deviceCertificate(deviceId, keyEpoch))?.block.number ?? 0) >= termFrom) {
          this.#certifiedKeys.add(id);
          continue;
        }
        const slots = deviceSlots(deviceId, keyEpoch);
        const { account, storage } = await proveSlots(provider, registry, [slots.key, slots.state], block.number);
        const [key, state] = storage as [Uint8Array[], Uint8Array[]];
        const row = { deviceId, keyEpoch, account, key, state };
        try {
          certifiedDevice(
            decodeSealedHeader(block.header).stateRoot,
            { registry, deviceKey: { deviceId, keyEpoch, keyHash: keyHash(spki) } },
            deviceCertificate(block, row),
          );
          out.push(row);
        } catch (error) {
          this.#ctx.log.debug(
            { device: deviceId, keyEpoch, error: (error as Error).message },
            "a key is not certified yet",
          );
        }
      }
    }
    return out;
  }

  /** Validators up to a block that lists some: what is known, and what this adds; undefined where the line starts anew. */
  async #follow(block: number, listed: readonly Hex[]): Promise<{ known: TermRow[]; added: TermRow[] } | undefined> {
    const { store, provider, log } = this.#ctx;
    const known = await store.terms();
    const added: TermRow[] = [];
    if (known.length === 0) {
      const genesis = await sealedHeader(provider, 0);
      added.push({ fromBlock: 1, validators: validatorSet(genesis?.validators ?? []), headers: [] });
    }
    const last = (added[0] ?? known.at(-1)) as TermRow;
    if (sameSet(validatorSet(listed), last.validators)) return { known, added };
    const from = Math.max(last.fromBlock, (await store.newestSealedBlock()) - LOOK_BACK);
    const found = await validatorChanges(provider, last.validators, from, block);
    if (found.changes === undefined) {
      const term: TermRow = { fromBlock: block, validators: found.validators, headers: [] };
      log.warn({ block, validators: found.validators }, "the validators changed and no votes show it: readers must pin the new ones"); // prettier-ignore
      await store.restartTerms(term);
      this.#doneTo = 0;
      this.#certifiedKeys.clear();
      return undefined;
    }
    for (const { headers, term } of found.changes) {
      log.info({ block: term.fromBlock, validators: term.validators }, "the chain's validators have changed");
      added.push({ ...term, headers: headers.map(({ bytes }) => bytes) });
    }
    return { known, added };
  }

  /** What is kept of some epochs and a device's key; `sealed` is false where the chain has no seals to keep. */
  async of(
    epochs: readonly number[],
    key?: { deviceId: Hex; keyEpoch: number },
  ): Promise<{ sealed: boolean; certificate: Certificate }> {
    const { store } = this.#ctx;
    const rows = await store.certificates(epochs);
    const device = key && (await store.deviceCertificate(key.deviceId, key.keyEpoch));
    const newest = Math.max(0, device?.block.number ?? 0, ...rows.map(({ block }) => block.number));
    const certified = rows.map(({ certificate, block }) => epochCertificate(block, certificate));
    return {
      sealed: this.#sealed ?? certified.length > 0,
      certificate: {
        ...certificateOf(await store.terms(), newest, certified),
        ...(device ? { device: deviceCertificate(device.block, device.certificate) } : {}),
      },
    };
  }
}
