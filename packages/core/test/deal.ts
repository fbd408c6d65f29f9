import { type Deal, type Hex, holesHash, slotTimes, streamId, type WindowBundle, ZERO32 } from "../src/index.ts";

const account = (byte: string): Hex => `0x${byte.repeat(20)}`;

/** A deal about a bundle's window, whose packs and records are as many as the caller says. */
export function aDeal(bundle: WindowBundle, packs = bundle.packs.length, readings = packs): Deal & { escrow: Hex } {
  const { window, stream, chain } = bundle;
  return {
    escrow: account("e5"),
    anchor: chain.anchor,
    streamId: streamId(stream),
    buyer: account("b1"),
    seller: account("5e"),
    deliverer: account("d1"),
    fallbackDeliverer: account("d2"),
    token: account("70"),
    price: 12_345_678_901_234_567_890n,
    fee: 10n ** 18n,
    bond: 0n,
    asOfEpoch: window.asOfEpoch,
    packs,
    readings,
    endMs: stream.mode === 2 ? 0 : slotTimes(window.toSlot, stream.slotSeconds).toMs,
    fromSlot: window.fromSlot,
    toSlot: window.toSlot,
    holesHash: holesHash(window.holes),
    nodes: bundle.nodes.length,
    keysRoot: ZERO32,
    purpose: ZERO32,
    erasures: 0,
    deliverSeconds: 60,
    complainSeconds: 600,
    nonce: ZERO32,
  };
}
