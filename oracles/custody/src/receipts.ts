import { describeError } from "@msec/chain";
import { BACKUP_MS, ERASED, type Erased, hashStruct, type Hex, HOLDERS, signTyped, streamOf } from "@msec/core";
import { step } from "@msec/service";
import { consentDomainOf, type Context } from "./context.ts";
import { type Line } from "./lines.ts";
import { type Erasure } from "./store.ts";

/**
 * Puts this operator's receipt for every erasure that it carried out as a seed holder onto the chain, where the tombstone
 * is complete with the receipts of all. A receipt follows from the stored erasure, and the contract takes it once, so a
 * crash at any point ends in one receipt.
 */
export class Receipts {
  readonly #ctx: Context;
  /** Streams of which the chain names other holders than this operator knows: said once. */
  readonly #strange = new Set<Hex>();

  constructor(ctx: Context) {
    this.#ctx = ctx;
  }

  async tick(): Promise<void> {
    const { store, lines, address, log } = this.#ctx;
    for (const erasure of await store.erasures()) {
      if (erasure.doneAt === null || erasure.receipted) continue;
      const line = lines.byId.get(erasure.streamId);
      const index = line?.holders.holders.indexOf(address) ?? -1;
      if (!line || index < 0) continue;
      try {
        if ((await this.#isTaken(erasure, index)) || (await this.#send(line, erasure, erasure.doneAt)))
          await store.putReceipted(erasure.streamId, erasure.number);
      } catch (error) {
        const said = { stream: erasure.streamId, erasure: erasure.number, error: describeError(error) };
        log.warn(said, "the chain does not take an erasure's receipt now: tried again");
      }
    }
  }

  async #isTaken({ streamId, number }: Erasure, index: number): Promise<boolean> {
    const { received } = await this.#ctx.contracts.ConsentRegistry.receiptsOf(streamId, number);
    return ((received >> BigInt(index)) & 1n) === 1n;
  }

  async #send(line: Line, erasure: Erasure, doneAt: number): Promise<boolean> {
    const { config, contracts, key, log, reporter } = this.#ctx;
    const { streamId, number, fromSlot, toSlot } = erasure;
    const to = config.chain.addresses.ConsentRegistry as Hex;
    const { interface: abi } = contracts.ConsentRegistry;
    const { version, holders, signature } = line.holders;
    const list = { streamId, version, holders };
    const domain = consentDomainOf(this.#ctx);
    const recorded = await contracts.ConsentRegistry.holdersHash(streamId);
    if (BigInt(recorded) === 0n) {
      const data = abi.encodeFunctionData("setHolders", [streamOf(line.stream), list, list, signature]);
      await reporter.transact({ to, data });
    } else if (recorded !== hashStruct(HOLDERS, list)) {
      if (!this.#strange.has(streamId))
        log.warn({ stream: streamId, recorded }, "the chain names other holders of the stream than its owner did here");
      this.#strange.add(streamId);
      return false;
    }
    const erased: Erased = {
      streamId,
      number,
      fromSlot,
      toSlot,
      keysDestroyedAt: doneAt,
      backupsExpireAt: doneAt + BACKUP_MS,
    };
    const data = abi.encodeFunctionData("submitErased", [erased, list, signTyped(key, domain, ERASED, erased)]);
    step("receipt");
    await reporter.transact({ to, data });
    log.info({ stream: streamId, erasure: number }, "the erasure's receipt is on the chain");
    return true;
  }
}
