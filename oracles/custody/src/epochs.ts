import {
  type Anchoring,
  type Config as CommitteeConfig,
  configDigest,
  decodeCose,
  epochTree,
  type EpochTree,
  type Hex,
  packOf,
  toHex,
} from "@msec/core";
import { type Context } from "./context.ts";
import { type EpochRow } from "./store.ts";

const KEPT = 64;

/** Epochs with their trees, for whoever asks for proofs. */
export class Epochs {
  readonly #ctx: Context;
  readonly #trees = new Map<number, { row: EpochRow; tree: EpochTree }>();
  #config: CommitteeConfig | undefined;

  constructor(ctx: Context) {
    this.#ctx = ctx;
  }

  /** Committee in force for an epoch, as the chain has it. */
  async config(number: number): Promise<{ config: CommitteeConfig; digest: Hex }> {
    if (!this.#config || this.#config.fromEpoch > number) {
      const view = await this.#ctx.contracts.OracleCommittee.configAt(number);
      this.#config = {
        q: Number(view.q),
        members: view.members.map((m) => m.toLowerCase() as Hex),
        organisations: [...view.organisations] as Hex[],
        fromEpoch: Number(view.fromEpoch),
      };
    }
    return { config: this.#config, digest: configDigest(this.#config) };
  }

  async #tree(number: number): Promise<{ row: EpochRow; tree: EpochTree } | undefined> {
    const known = this.#trees.get(number);
    if (known) return known;
    const { store, lines } = this.#ctx;
    const row = await store.epoch(number);
    if (!row) return undefined;
    const packs = (await store.packs(row.headerDigests)).map((pack) => {
      const line = lines.byId.get(pack.streamId);
      if (!line) throw new Error(`the stream ${pack.streamId} of epoch ${number} is not known`);
      return packOf(line.stream, decodeCose(pack.cose));
    });
    const entry = { row, tree: epochTree(packs) };
    if (this.#trees.size >= KEPT) this.#trees.delete(this.#trees.keys().next().value as number);
    this.#trees.set(number, entry);
    return entry;
  }

  /** Proof that a header stands in an epoch. */
  async anchoring(headerDigest: Hex, number: number): Promise<Anchoring | undefined> {
    const entry = await this.#tree(number);
    const at = entry?.tree.packs.findIndex((pack) => pack.headerDigest === headerDigest) ?? -1;
    if (!entry || at < 0) return undefined;
    const { config } = await this.config(number);
    return {
      epoch: entry.row.epoch,
      path: entry.tree.tree.proof(at).map(toHex),
      signatures: entry.row.signatures,
      config,
    };
  }
}
