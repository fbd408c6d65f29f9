import {
  decodeCose,
  type Epoch,
  epochHash,
  epochTree,
  fromBase64,
  fromHex,
  type Hex,
  leafNode,
  manifestOf,
  openPack,
  packOf,
  headerSlot,
  type StreamPreimage,
  toHex,
  type TreeNode,
  ZERO32,
  LAST_SLOT,
} from "@msec/core";
import { secretFile } from "@msec/service";
import { type TestCity, until } from "./city.ts";

export interface EpochAnswer {
  epoch: Epoch;
  hash: Hex;
  headerDigests: Hex[];
}

interface PackAnswer {
  headerDigest: Hex;
  cose: string;
  content: string | null;
  epoch: number;
}

/** Every epoch of the chain with its headers, recomputed from the headers; refuses holes and packs that stand twice. */
export async function anchoredPacks(t: TestCity): Promise<{ epochs: EpochAnswer[]; packs: PackAnswer[] }> {
  const newest = await t.chainEpoch();
  if (newest > 0)
    await until(`every operator has confirmed epoch ${newest}`, async () => {
      const answers = await Promise.all([1, 2, 3, 4].map((n) => fetch(`${t.url(n)}/epochs/${newest}`)));
      return answers.every(({ ok }) => ok);
    });
  const streams = new Map<Hex, StreamPreimage>();
  for (const { streamId } of await t.get<{ streamId: Hex }[]>(1, "/streams"))
    streams.set(streamId, (await t.get<{ preimage: StreamPreimage }>(1, `/streams/${streamId}`)).preimage);
  const epochs: EpochAnswer[] = [];
  const packs: PackAnswer[] = [];
  const seen = new Set<Hex>();
  let prev: Hex = ZERO32;
  for (let number = 1; number <= newest; number++) {
    const answers = await Promise.all([1, 2, 3, 4].map((n) => t.get<EpochAnswer>(n, `/epochs/${number}`)));
    const first = answers[0] as EpochAnswer;
    const onChain = await t.city.contracts.DataAnchor.epochHash(number);
    for (const [i, a] of answers.entries()) {
      if (a.hash !== onChain || epochHash(a.epoch) !== onChain)
        throw new Error(`operator ${i + 1} has another epoch ${number} than the chain`);
      if (a.headerDigests.join() !== first.headerDigests.join())
        throw new Error(`operator ${i + 1} has other headers in epoch ${number} than operator 1`);
    }
    if (first.epoch.number !== number || first.epoch.prev !== prev) throw new Error(`epoch ${number} does not follow`);
    prev = first.hash;
    const held: PackAnswer[] = [];
    for (let i = 0; i < first.headerDigests.length; i += 500) {
      const response = await fetch(`${t.url(1 + (number % 4))}/packs`, {
        method: "POST",
        body: JSON.stringify({ headerDigests: first.headerDigests.slice(i, i + 500) }),
      });
      held.push(...((await response.json()) as PackAnswer[]));
    }
    const tree = epochTree(
      held.map((pack) => {
        const signed = decodeCose(fromBase64(pack.cose));
        return packOf(streams.get(signed.header.streamId) as StreamPreimage, signed);
      }),
    );
    if (toHex(tree.tree.root) !== first.epoch.root || manifestOf(tree.leaves) !== first.epoch.manifest)
      throw new Error(`the headers of epoch ${number} do not hash to its root`);
    for (const pack of held) {
      if (seen.has(pack.headerDigest)) throw new Error(`the pack ${pack.headerDigest} is anchored twice`);
      seen.add(pack.headerDigest);
    }
    epochs.push(first);
    packs.push(...held);
  }
  return { epochs, packs };
}

/** The keys of a stream that an operator holds, as its own market process may ask for them. */
export async function keysOf(
  t: TestCity,
  n: number,
  streamId: Hex,
  from: number,
  to: number,
  holes: [number, number][] = [],
) {
  const token = Buffer.from(secretFile(t.city.layout.operator(n), "token")).toString("hex");
  const response = await fetch(`${t.url(n)}/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify({ streamId, fromSlot: from, toSlot: to, holes }),
  });
  if (!response.ok) throw new Error(`operator ${n} gives no keys: ${await response.text()}`);
  const nodes = (await response.json()) as { depth: number; firstSlot: number; key: Hex }[];
  return nodes.map(({ depth, firstSlot, key }): TreeNode => ({ depth, firstSlot, key: fromHex(key, 32) }));
}

/** Every reading of a stream that stands in a leaf on the chain, in order of seq, opened. */
export async function anchoredReadings(
  t: TestCity,
  streamId: Hex,
  packs: readonly PackAnswer[],
  keys?: TreeNode[],
): Promise<{ tMs: number; n: string; v: unknown; seq: number }[]> {
  const { preimage } = await t.get<{ preimage: StreamPreimage }>(1, `/streams/${streamId}`);
  const mine = packs
    .map((pack) => ({ ...pack, signed: decodeCose(fromBase64(pack.cose)) }))
    .filter(({ signed }) => signed.header.streamId === streamId)
    .sort((a, b) => a.signed.header.seq - b.signed.header.seq);
  const frontier = keys ?? (await keysOf(t, 1, streamId, 0, LAST_SLOT));
  return mine.flatMap(({ signed, content }) => {
    if (content === null) return [];
    const leaf = leafNode(frontier, headerSlot(preimage, signed.header));
    const { readings } = openPack(preimage, signed.header, leaf, fromBase64(content));
    return readings.map((r) => ({ tMs: r.tMs, n: r.n, v: r.v, seq: signed.header.seq }));
  });
}
