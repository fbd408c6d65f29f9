import { sha256 } from "#native";
import { compare, concat, fromHex, type Hex, toHex, ZERO32 } from "./bytes.ts";
import { demand } from "./errors.ts";
import { recoverTyped } from "./account.ts";
import { merkleTree, type MerkleTree } from "./merkle.ts";
import { packLeaf } from "./pack.ts";
import { type Domain, hashStruct } from "./struct.ts";
import { CONFIG, type Config, EPOCH, type Epoch, HEAD, type Head, type Pack } from "./types.ts";

/** Most packs in one epoch. */
export const MAX_PACKS = 16_384;
/** A header may name a time at most this far after the epoch's closedAt. */
export const FUTURE_MS = 120_000;
/** Beyond this a pack counts as late. */
export const LATE_MS = 3_600_000;

/** Domain of everything that the committee and devices sign: the anchor contract on its chain. */
export const anchorDomain = (chainId: number, anchor: Hex): Domain => ({
  name: "DataAnchor",
  chainId,
  verifyingContract: anchor,
});

export const escrowDomain = (chainId: number, escrow: Hex): Domain => ({
  name: "Escrow",
  chainId,
  verifyingContract: escrow,
});

/** Domain of orders: offers and requests that are signed off chain. */
export const marketDomain = (chainId: number, marketplace: Hex): Domain => ({
  name: "Marketplace",
  chainId,
  verifyingContract: marketplace,
});

export const epochHash = (epoch: Epoch): Hex => hashStruct(EPOCH, epoch);
export const configDigest = (config: Config): Hex => hashStruct(CONFIG, config);

/** Largest number of dead or lying operators that n bear. */
export const faults = (n: number): number => Math.floor((n - 1) / 3);
/** Signatures that an epoch needs. */
export const quorum = (n: number): number => n - faults(n);

/** Refuses members that are not ascending and distinct, organisations that repeat, and a q other than n − f. */
export function checkConfig(config: Config): void {
  const { members, organisations, q } = config;
  demand(members.length > 0 && members.length === organisations.length, "committee", "one organisation a member");
  for (let i = 1; i < members.length; i++)
    demand(
      compare(fromHex(members[i - 1] as Hex, 20), fromHex(members[i] as Hex, 20)) < 0,
      "committee",
      "members are ascending and distinct",
      members[i],
    );
  demand(
    new Set(organisations.map((o) => o.toLowerCase())).size === members.length,
    "committee",
    "members are of different organisations",
  );
  demand(q === quorum(members.length), "committee", `q is n − ⌊(n−1)/3⌋ = ${quorum(members.length)}`, q);
}

export interface EpochTree {
  /** Leaves in the epoch's order: ascending. */
  leaves: Hex[];
  /** The packs in the same order. */
  packs: Pack[];
  tree: MerkleTree;
}

/** Orders packs by their leaves and builds the epoch's tree. */
export function epochTree(packs: readonly Pack[]): EpochTree {
  demand(packs.length > 0 && packs.length <= MAX_PACKS, "epoch", `an epoch has 1 to ${MAX_PACKS} packs`, packs.length);
  const rows = packs.map((pack) => ({ pack, leaf: packLeaf(pack) })).sort((a, b) => (a.leaf < b.leaf ? -1 : 1));
  for (let i = 1; i < rows.length; i++)
    demand(rows[i - 1]?.leaf !== rows[i]?.leaf, "epoch", "a pack stands twice in the epoch", rows[i]?.leaf);
  const leaves = rows.map((row) => row.leaf);
  return { leaves, packs: rows.map((row) => row.pack), tree: merkleTree(leaves.map((leaf) => fromHex(leaf))) };
}

/** SHA-256 of the leaves' concatenated bytes: the name of the epoch's content object. */
export function manifestOf(leaves: readonly Hex[]): Hex {
  return toHex(sha256(concat(...leaves.map((leaf) => fromHex(leaf, 32)))));
}

/** The Epoch of some packs. Times in Unix milliseconds. */
export function buildEpoch(
  packs: EpochTree,
  fields: { number: number; prev: Hex; closedAt: number; stateBlock: number; configDigest: Hex },
): Epoch {
  return {
    ...fields,
    root: toHex(packs.tree.root),
    packs: packs.packs.length,
    readings: packs.packs.reduce((sum, pack) => sum + pack.count, 0),
    fromMs: packs.packs.reduce((min, pack) => Math.min(min, pack.fromMs), Number.MAX_SAFE_INTEGER),
    toMs: packs.packs.reduce((max, pack) => Math.max(max, pack.toMs), 0),
    manifest: manifestOf(packs.leaves),
  };
}

/** Refuses an epoch that does not follow `previous` (undefined before the first). */
export function checkEpochFollows(previous: Epoch | undefined, next: Epoch): void {
  demand(next.number === (previous?.number ?? 0) + 1, "epoch", "epoch numbers have no hole", next.number);
  demand(next.prev === (previous ? epochHash(previous) : ZERO32), "epoch", "`prev` is not the epoch before", next.prev);
  if (previous === undefined) return;
  demand(next.closedAt > previous.closedAt, "epoch", "closedAt only rises", next.closedAt);
  demand(next.stateBlock >= previous.stateBlock, "epoch", "stateBlock never falls", next.stateBlock);
}

/** Demands exactly q signatures of `struct`, ascending by signer, all of the configuration. Returns the signers. */
function checkQuorum(recover: (signature: Hex) => Hex, config: Config, signatures: readonly Hex[]): Hex[] {
  checkConfig(config);
  demand(
    signatures.length === config.q,
    "committee",
    `${config.q} signatures are needed, ${signatures.length} given`,
    signatures.length,
  );
  const members = new Set(config.members.map((m) => m.toLowerCase()));
  let before = "";
  return signatures.map((signature) => {
    const signer = recover(signature);
    demand(members.has(signer), "committee", "a signer is not of the committee", signer);
    demand(signer > before, "committee", "signatures are ascending by signer, one each", signer);
    before = signer;
    return signer;
  });
}

/** Refuses an epoch without exactly q signatures of the configuration that it names. */
export function checkEpochSignatures(domain: Domain, epoch: Epoch, config: Config, signatures: readonly Hex[]): Hex[] {
  demand(
    configDigest(config) === epoch.configDigest,
    "committee",
    "the epoch names another committee",
    epoch.configDigest,
  );
  demand(config.fromEpoch <= epoch.number, "committee", "the committee was not in force yet", config.fromEpoch);
  return checkQuorum((signature) => recoverTyped(domain, EPOCH, epoch, signature), config, signatures);
}

/** Refuses a head without exactly q signatures of the configuration. */
export function checkHeadSignatures(domain: Domain, head: Head, config: Config, signatures: readonly Hex[]): Hex[] {
  return checkQuorum((signature) => recoverTyped(domain, HEAD, head, signature), config, signatures);
}
