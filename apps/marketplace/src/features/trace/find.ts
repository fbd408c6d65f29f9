import { fromBase64, type Hex } from "@msec/core";
import { headerOf, Operators, type PackFull, TradeError } from "@msec/trade";
import { askIndexer, type IndexedDeal } from "@/lib/indexer.ts";

/** What a trace starts from. */
export interface Start {
  stream?: string | undefined;
  slot?: string | undefined;
  pack?: string | undefined;
  deal?: string | undefined;
}

export interface Outline {
  headerDigest: Hex;
  seq: number;
  slot: number;
  readings: number;
  erased: boolean;
}

export interface Found {
  pack: PackFull & { contentDigest?: Hex };
  streamId: Hex;
  /** The others of the same slot or deal. */
  packs: Outline[];
  truncated: boolean;
}

const DIGEST = /^0x[0-9a-f]{64}$/;
const digest = (text: string): Hex | undefined => {
  const trimmed = text.trim().toLowerCase();
  return DIGEST.test(trimmed) ? (trimmed as Hex) : undefined;
};

export class NothingFound extends Error {
  readonly what: "digest" | "pack" | "slot" | "deal";
  constructor(what: NothingFound["what"]) {
    super(what);
    this.what = what;
  }
}

/** The pack that a trace starts from, by whichever of its names was given. */
export async function findPack(operators: Operators, start: Start): Promise<Found> {
  if (start.pack) return one(operators, start.pack);
  let { stream } = start;
  let [from, to] = [Number(start.slot), Number(start.slot)];
  if (start.deal) {
    const id = digest(start.deal);
    if (!id) throw new NothingFound("digest");
    const deal = await askIndexer<IndexedDeal>(`/deals/${id}`).catch(() => {
      throw new NothingFound("deal");
    });
    stream = deal.streamId;
    [from, to] = [Number(deal.deal.fromSlot), Number(deal.deal.toSlot)];
  }
  const id = digest(stream ?? "");
  if (!id || !Number.isSafeInteger(from) || from < 0) throw new NothingFound("digest");
  const page = await operators.window(id, from, to);
  const [first] = page.packs;
  if (!first) throw new NothingFound("slot");
  const [pack] = await operators.packs([first.headerDigest]);
  if (!pack) throw new NothingFound("pack");
  return { pack, streamId: id, packs: page.packs, truncated: page.truncated };
}

async function one(operators: Operators, given: string): Promise<Found> {
  const id = digest(given);
  if (!id) throw new NothingFound("digest");
  // A pack has two names: the digest of its header, and that of its ciphertext.
  const [byHeader] = await operators.ask<PackFull[]>("/packs", { headerDigests: [id] });
  const pack =
    byHeader ??
    (await operators.ask<PackFull>(`/packs/${id}`).catch((error: unknown) => {
      if (error instanceof TradeError) throw new NothingFound("pack");
      throw error;
    }));
  const { streamId } = headerOf(pack);
  return { pack, streamId, packs: [], truncated: false };
}

export const bytesOf = (content: string | null): number => (content === null ? 0 : fromBase64(content).length);
