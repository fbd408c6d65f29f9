import { type BlockTag, type ContractRunner, type Provider } from "ethers";

/** Answers every call of a contract by the state after one block, so that figures that are compared are of one moment. */
export const atBlock = (provider: Provider, block: BlockTag): ContractRunner => ({
  provider,
  call: (transaction) => provider.call({ ...transaction, blockTag: block }),
});
