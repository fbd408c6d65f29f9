import { type Hex } from "@msec/core";
import { readJson, writeJson } from "@msec/service";
import { type JsonRpcProvider } from "ethers";

/** That an account has sent a payload: its key as the data of a transaction to itself, as a private transaction has it. */
export interface Announcement {
  key: Hex;
  author: Hex;
  atMs: number;
}

interface Seen {
  chainId: number;
  /** Blocks up to this one were read. */
  block: number;
  announcements: Announcement[];
}

interface Block {
  timestamp: string;
  transactions: { from: Hex; to: Hex | null; input: Hex }[];
}

const KEY_HEX = 2 + 2 * 64;
/** Read again each time: a chain that was killed may have lost its last blocks. */
const OVERLAP = 64;
const BATCH = 100;

/** The announcements of a chain in its order, remembered in a file, so that each block is read about once. */
export async function readAnnouncements(
  provider: JsonRpcProvider,
  chainId: number,
  file: string,
): Promise<Announcement[]> {
  const latest = await provider.getBlockNumber();
  const before = readJson<Seen>(file);
  const seen: Seen =
    before && before.chainId === chainId && before.block <= latest ? before : { chainId, block: -1, announcements: [] };
  const known = new Map(seen.announcements.map((a) => [a.key + a.author, a]));
  for (let from = Math.max(0, seen.block - OVERLAP); from <= latest; from += BATCH) {
    const numbers = Array.from({ length: Math.min(BATCH, latest - from + 1) }, (_, i) => from + i);
    const blocks = await Promise.all(
      numbers.map((n) => provider.send("eth_getBlockByNumber", [`0x${n.toString(16)}`, true]) as Promise<Block | null>),
    );
    for (const block of blocks)
      for (const { from: author, to, input } of block?.transactions ?? [])
        if (input.length === KEY_HEX && to?.toLowerCase() === author.toLowerCase() && !known.has(input + author))
          known.set(input + author.toLowerCase(), {
            ...{ key: input, author: author.toLowerCase() as Hex },
            atMs: Number(block?.timestamp) * 1000,
          });
  }
  const announcements = [...known.values()];
  writeJson(file, { chainId, block: latest, announcements } satisfies Seen);
  return announcements;
}
