import { encodeExtra, type Hex, ISTANBUL_DIGEST, toHex, VOTING_BLOCKS } from "@msec/core";

// QBFT as GoQuorum 24.4.1 runs it: the block header's extraData and the genesis block.

/** Gas of a block that two quiet cores execute within a second; far above it GoQuorum seals empty blocks for ever. */
export const BLOCK_GAS = 40_000_000;
/**
 * Seconds that an empty block waits beyond the period. A proposer seals an empty block first and proposes it when the period is over;
 * a full one that took longer to execute replaces it only while it waits, so that without this every other block of a burst is empty.
 */
const EMPTY_WAITS = 1;
/** Seconds; each failed round takes twice as long as the one before, so that without this an outage of hours is followed by hours more. */
const LONGEST_ROUND = 16;
/**
 * Seconds after which a validator that still waits for a block makes its own anew, with what has come since. GoQuorum then also begins to
 * wait for the round anew, so that with less than a round takes, a chain that lacks one validator stands still while transactions come.
 */
export const RECOMMIT_SECONDS = LONGEST_ROUND + 4;

/** extraData of a genesis block: without vote and seals, in round 0. */
export const extraData = (validators: readonly Hex[]): Hex =>
  toHex(encodeExtra({ validators: [...validators], vote: null, round: 0, seals: [] }));

export interface GenesisOptions {
  chainId: number;
  validators: readonly Hex[];
  /** Whole seconds between blocks, at least 1. */
  blockSeconds: number;
}

/**
 * The genesis block. Berlin is left out, since private transactions do not survive it; privacy enhancements are a
 * transition, since as a top-level setting they stop every node that has no privacy manager.
 */
export function genesis({ chainId, validators, blockSeconds }: GenesisOptions): Record<string, unknown> {
  return {
    config: {
      chainId,
      homesteadBlock: 0,
      eip150Block: 0,
      eip155Block: 0,
      eip158Block: 0,
      byzantiumBlock: 0,
      constantinopleBlock: 0,
      petersburgBlock: 0,
      istanbulBlock: 0,
      muirGlacierBlock: 0,
      isQuorum: true,
      txnSizeLimit: 64,
      qbft: {
        epochlength: VOTING_BLOCKS,
        blockperiodseconds: blockSeconds,
        emptyblockperiodseconds: blockSeconds + EMPTY_WAITS,
        requesttimeoutseconds: 4,
        maxRequestTimeoutSeconds: LONGEST_ROUND,
        policy: 0,
        ceil2Nby3Block: 0,
      },
      transitions: [{ block: 0, contractsizelimit: 64, privacyEnhancementsEnabled: true, "miner.gaslimit": BLOCK_GAS }],
    },
    nonce: "0x0",
    timestamp: "0x0",
    extraData: extraData(validators),
    gasLimit: `0x${BLOCK_GAS.toString(16)}`,
    difficulty: "0x1",
    mixHash: ISTANBUL_DIGEST,
    coinbase: `0x${"00".repeat(20)}`,
    alloc: {},
  };
}
