import { type Addresses, type ContractName, type Contracts, contractsAt } from "@msec/chain";
import { type Hex } from "@msec/core";
import { type ContractRunner, type JsonRpcProvider } from "ethers";

/** A question that was put to the chain, for anybody to put to a node of their own. */
export interface Call {
  contract: ContractName;
  /** With its arguments in words. */
  call: string;
  to: Hex;
  data: Hex;
  result: Hex;
}

/** Most calls of one invariant that are listed; the others are of the same kind. */
const LISTED = 40;

/** The city's contracts by their state after one block, with a list of what they were asked. */
export class Calls {
  readonly contracts: Contracts;
  readonly listed: Call[] = [];
  total = 0;

  constructor(provider: JsonRpcProvider, addresses: Addresses, block: number) {
    const runner: ContractRunner = {
      provider,
      call: async (transaction) => {
        const result = (await provider.call({ ...transaction, blockTag: block })) as Hex;
        this.#note(addresses, (transaction.to as string).toLowerCase() as Hex, transaction.data as Hex, result);
        return result;
      },
    };
    this.contracts = contractsAt(addresses, runner);
  }

  #note(addresses: Addresses, to: Hex, data: Hex, result: Hex): void {
    if (++this.total > LISTED) return;
    const [contract] = Object.entries(addresses).find(([, address]) => address === to) as [ContractName, Hex];
    const parsed = this.contracts[contract].interface.parseTransaction({ data });
    this.listed.push({ contract, call: `${parsed?.name}(${parsed?.args.map(String).join(", ")})`, to, data, result });
  }
}
