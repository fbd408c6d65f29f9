import { type ChainProvider, type Contracts, contractsAt } from "@msec/chain";
import { type Hex } from "@msec/core";
import { Problem } from "../problem.ts";

// A payment under an agreement is a transfer of the token whose data ends with the agreement's digest: the token does not look at
// it, and whoever reads the chain sees what was paid, by whom, under which digest, and no term. It is the payer who names the digest,
// by signing the transaction.

export interface Payment {
  from: Hex;
  to: Hex;
  /** In the token's base units. */
  amount: bigint;
  hash: Hex;
  block: number;
  /** Unix milliseconds. */
  atMs: number;
}

type Token = Contracts["MSecToken"];

/** What a node is asked for at once. */
const BLOCKS = 10_000;

/** The data of a payment. */
export const paymentData = (token: Token, to: Hex, amount: bigint, digest: Hex): Hex =>
  `${token.interface.encodeFunctionData("transfer", [to, amount])}${digest.slice(2)}` as Hex;

/** All payments under a digest since it was anchored, in the chain's order; whoever made them. */
export async function paymentsOf(
  {
    provider,
    digests,
    token: tokenAddress,
  }: { provider: ChainProvider; digests: Contracts["AgreementDigests"]; token: Hex },
  digest: Hex,
): Promise<Payment[]> {
  const [anchored] = await digests.queryFilter(digests.filters.DigestAnchored(digest));
  if (!anchored) throw new Problem(`${digest} is not anchored on this chain: nothing can have been paid under it`);
  const { MSecToken: token } = contractsAt({ MSecToken: tokenAddress }, provider);
  const latest = await provider.getBlockNumber();
  const payments: Payment[] = [];
  for (let from = anchored.blockNumber; from <= latest; from += BLOCKS) {
    const transfers = await token.queryFilter(token.filters.Transfer(), from, Math.min(from + BLOCKS - 1, latest));
    for (const { args, transactionHash, blockNumber } of transfers) {
      const transaction = await provider.getTransaction(transactionHash);
      // What a contract transfers for somebody is not its signer's word.
      if (transaction?.to?.toLowerCase() !== tokenAddress) continue;
      const { to, value } = args;
      if (transaction.data !== paymentData(token, to as Hex, value, digest)) continue;
      const block = await provider.getBlock(blockNumber);
      payments.push({
        ...{ from: transaction.from.toLowerCase() as Hex, to: to.toLowerCase() as Hex, amount: value },
        ...{ hash: transactionHash as Hex, block: blockNumber, atMs: Number(block?.timestamp) * 1000 },
      });
    }
  }
  return payments;
}
