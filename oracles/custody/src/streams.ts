import {
  decodeNodes,
  demand,
  fromBase64,
  fromHex,
  HOLDERS,
  type Hex,
  keyHash,
  LAST_SLOT,
  MODE,
  ProtocolError,
  puncture,
  recoverTyped,
  sha256,
  concat,
  streamId,
  type StreamPreimage,
  type TreeNode,
  utf8,
  verifySignature,
} from "@msec/core";
import sodium from "libsodium-wrappers";
import * as bodies from "./bodies.ts";
import { parse } from "./bodies.ts";
import { consentDomainOf, type Context, opens } from "./context.ts";
import { type Line } from "./lines.ts";

await sodium.ready;

/** What registers a stream: POST /streams. */
export interface Registration {
  preimage: StreamPreimage;
  keys: { keyEpoch: number; spki: string }[];
  holders: { streamId: Hex; version: number; holders: Hex[] };
  holdersSignature: Hex;
}

/**
 * Registers a stream, or takes a later version of its holders. Everything is checked against the chain: that the device
 * is enrolled, that the keys are its own, that its owner signed for the holders.
 */
export async function registerStream(ctx: Context, given: Registration): Promise<Line> {
  const { devices, store, lines } = ctx;
  const { preimage, holders } = given;
  const id = streamId(preimage);
  demand(holders.streamId === id, "wrong-stream", "the holders are of another stream", holders.streamId);
  const owner = await devices.owner(preimage.deviceId, preimage.ownerEpoch);
  const signer = recoverTyped(consentDomainOf(ctx), HOLDERS, holders, given.holdersSignature);
  demand(signer === owner, "bad-signature", "the holders are not signed by the device's owner", signer);
  const members = new Set(ctx.config.committee.map((member) => member.address));
  const known = holders.holders.map((h) => h.toLowerCase() as Hex);
  demand(
    known.every((h) => members.has(h)),
    "committee",
    "a holder is not an operator of this city",
    holders.holders,
  );
  demand(new Set(known).size === known.length, "committee", "a holder is named twice", holders.holders);
  demand(
    preimage.mode === MODE.sealed ? known.length >= 2 : known.length === members.size,
    "committee",
    "a sealed stream names at least two holders, another names all operators",
    known.length,
  );
  const before = lines.byId.get(id);
  demand(
    before === undefined || holders.version >= before.holders.version,
    "order",
    "a lower version of the holders",
    holders.version,
  );
  for (const { keyEpoch, spki } of given.keys) {
    const bytes = fromBase64(spki);
    const registered = await devices.keyHash(preimage.deviceId, keyEpoch);
    demand(keyHash(bytes) === registered, "unknown-key", "the key is not the one that the registry names", keyEpoch);
    await store.putKey(id, keyEpoch, bytes);
    before?.keys.set(keyEpoch, bytes);
  }
  const row = { version: holders.version, holders: known, signature: given.holdersSignature };
  await store.putStream(id, { preimage, holders: row });
  if (before) {
    before.holders = row;
    return before;
  }
  ctx.log.info({ stream: id, name: preimage.name, mode: preimage.mode }, "stream registered");
  return lines.open(preimage, row);
}

/** Registers a stream from what another operator knows of it. */
export async function learnStream(ctx: Context, id: Hex): Promise<Line | undefined> {
  const known = ctx.lines.byId.get(id);
  if (known) return known;
  for (const peer of ctx.peers.all) {
    const registration = await ctx.peers.get<unknown>(peer, `/streams/${id}`);
    if (!registration) continue;
    try {
      const line = await registerStream(ctx, parse(bodies.registration, registration));
      if (line.id === id) return line;
    } catch (error) {
      ctx.log.warn(
        { stream: id, peer: peer.address, error: (error as Error).message },
        "another operator's word of a stream does not hold",
      );
    }
  }
  return undefined;
}

/** What brings a stream's seed: POST /streams/{id}/seed. `sealed` is a libsodium sealed box of encoded key nodes. */
export interface SeedDelivery {
  sealed: string;
  keyEpoch: number;
  signature: string;
}

/**
 * Keeps the key frontier of a stream. Only the device itself can bring it: it signs what it sealed, for this operator
 * alone. Returns false where a frontier is held already, which is never replaced.
 */
export async function takeSeed(ctx: Context, id: Hex, given: SeedDelivery): Promise<boolean> {
  const line = ctx.lines.byId.get(id);
  demand(line !== undefined, "wrong-stream", "register the stream first", id);
  demand(opens(ctx, line), "committee", "this operator is not a holder of the stream", ctx.address);
  const spki = line.keys.get(given.keyEpoch);
  demand(spki !== undefined, "unknown-key", "no signing key of this key epoch is registered", given.keyEpoch);
  const sealed = fromBase64(given.sealed);
  const message = concat(utf8("msec.seed"), fromHex(id), fromHex(ctx.address), sha256(sealed));
  demand(
    verifySignature(spki, message, fromBase64(given.signature)),
    "bad-signature",
    "the seed is not signed by the device",
  );
  let nodes: Uint8Array;
  try {
    nodes = sodium.crypto_box_seal_open(sealed, ctx.sealing.publicKey, ctx.sealing.privateKey);
  } catch {
    throw new ProtocolError("unopenable", "the seed is not sealed to this operator: fetch its key from /info");
  }
  const frontier = decodeNodes(nodes);
  demand(frontier.length > 0, "key-tree", "the seed holds no key");
  // A seed that arrives after an erasure brings nothing back.
  let left: TreeNode[] = frontier;
  for (const { fromSlot, toSlot } of await ctx.store.erasures(id))
    left = puncture(left, fromSlot, Math.min(toSlot, LAST_SLOT));
  const kept = await ctx.frontiers.keep(id, left);
  if (kept) ctx.log.info({ stream: id }, "seed taken into custody");
  return kept;
}
