import { type Addresses, artifact, type ContractName, SOURCES } from "@msec/chain";
import { type Hex } from "@msec/core";
import { Interface, type ParamType } from "ethers";

export type Json = string | number | boolean | Json[] | { [name: string]: Json };

/** An event of one of the city's contracts, as it is kept and shown. */
export interface ContractEvent {
  block: number;
  /** Of the log in its block. */
  index: number;
  tx: Hex;
  contract: ContractName;
  name: string;
  /**
   * By the names of the contract's interface. Integers of at most 48 bits are numbers, longer ones decimal text; bytes and
   * addresses are in lower case.
   */
  args: { [name: string]: Json };
}

/** A log as a node gives it. */
export interface Log {
  address: string;
  topics: readonly string[];
  data: string;
  blockNumber: number;
  index: number;
  transactionHash: string;
}

const MOST_BITS = 48;

/** Reads the logs of a city's contracts by their interfaces. */
export class Decoder {
  readonly addresses: string[];
  readonly #contracts: Map<string, { name: ContractName; interface: Interface }>;

  constructor(addresses: Addresses) {
    this.#contracts = new Map(
      (Object.entries(addresses) as [ContractName, Hex][]).map(([name, address]) => [
        address.toLowerCase(),
        { name, interface: new Interface(artifact(SOURCES[name]).abi) },
      ]),
    );
    this.addresses = [...this.#contracts.keys()];
  }

  /** @returns The event, or undefined for a log of another contract, or of an event that this version does not know. */
  decode(log: Log): ContractEvent | undefined {
    const contract = this.#contracts.get(log.address.toLowerCase());
    const event = contract?.interface.parseLog(log);
    if (!contract || !event) return undefined;
    return {
      block: log.blockNumber,
      index: log.index,
      tx: log.transactionHash.toLowerCase() as Hex,
      contract: contract.name,
      name: event.name,
      args: fieldsOf(event.fragment.inputs, event.args as unknown as readonly unknown[]),
    };
  }
}

const fieldsOf = (params: readonly ParamType[], values: readonly unknown[]): { [name: string]: Json } =>
  Object.fromEntries(params.map((param, i) => [param.name, jsonOf(param, values[i])]));

function jsonOf(param: ParamType, value: unknown): Json {
  if (param.baseType === "tuple") return fieldsOf(param.components ?? [], value as unknown[]);
  if (param.baseType === "array") return (value as unknown[]).map((v) => jsonOf(param.arrayChildren as ParamType, v));
  if (typeof value === "bigint") {
    const bits = Number(/\d+$/.exec(param.baseType)?.[0]);
    return bits <= MOST_BITS ? Number(value) : value.toString();
  }
  if (typeof value === "boolean") return value;
  return param.baseType === "string" ? String(value) : String(value).toLowerCase();
}
