import { type ContractRunner, type Provider } from "ethers";

/** A block's number, or the newest block at the time of each question. */
export type Block = number | "latest";

/** Answers every call of a contract by the state after one block, so that figures that are compared are of one moment. */
export const atBlock = (provider: Provider, block: Block): ContractRunner => ({
  provider,
  call: (transaction) => provider.call({ ...transaction, blockTag: block }),
});
