import * as abis from "../generated/contracts.ts";

export { abis };
export type ContractName = keyof typeof abis;
