import { type ErrorDescription, Interface } from "ethers";
import { artifact } from "./artifacts.ts";
import { type ContractName, SOURCES } from "./contracts.ts";

let interfaces: Interface[] | undefined;

/** The contract's own error behind a failed call, such as `Escrow_WrongState(dealId, 3)`; undefined for other failures. */
export function contractError(error: unknown): ErrorDescription | undefined {
  interfaces ??= (Object.keys(SOURCES) as ContractName[]).map((name) => new Interface(artifact(SOURCES[name]).abi));
  const data =
    (error as { data?: unknown }).data ?? (error as { info?: { error?: { data?: unknown } } }).info?.error?.data;
  if (typeof data !== "string") return undefined;
  for (const candidate of interfaces) {
    const parsed = candidate.parseError(data);
    if (parsed) return parsed;
  }
  return undefined;
}

/** One line for a person: the contract's error with its values, else the message of the failure. */
export function describeError(error: unknown): string {
  const known = contractError(error);
  if (known) return `${known.name}(${known.args.map(String).join(", ")})`;
  return (error as { shortMessage?: string }).shortMessage ?? (error as Error).message;
}
