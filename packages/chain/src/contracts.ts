import { Contract, type ContractRunner } from "ethers";
import { type Hex } from "@msec/core";
import { artifact } from "./artifacts.ts";
import type { AccessManager } from "./generated/@openzeppelin/contracts/access/manager/AccessManager.js";
import type {
  AgreementDigests,
  Arbitration,
  BootPolicy,
  ConsentRegistry,
  DataAnchor,
  DeviceRegistry,
  Directory,
  Escrow,
  Marketplace,
  MSecToken,
  OracleCommittee,
  Reputation,
  Subscription,
} from "./generated/index.js";

/** Source of every contract that is deployed, by its name. */
export const SOURCES = {
  AccessManager: "@openzeppelin/contracts/access/manager/AccessManager.sol",
  Directory: "contracts/access/Directory.sol",
  OracleCommittee: "contracts/oracle/OracleCommittee.sol",
  BootPolicy: "contracts/identity/BootPolicy.sol",
  DeviceRegistry: "contracts/identity/DeviceRegistry.sol",
  DataAnchor: "contracts/data/DataAnchor.sol",
  ConsentRegistry: "contracts/data/ConsentRegistry.sol",
  MSecToken: "contracts/market/MSecToken.sol",
  Arbitration: "contracts/market/Arbitration.sol",
  Escrow: "contracts/market/Escrow.sol",
  Marketplace: "contracts/market/Marketplace.sol",
  Reputation: "contracts/trust/Reputation.sol",
  AgreementDigests: "contracts/privacy/AgreementDigests.sol",
  Subscription: "contracts/market/Subscription.sol",
} as const;
export type ContractName = keyof typeof SOURCES;
export type Addresses = Record<ContractName, Hex>;

/** The city's contracts, typed. */
export interface Contracts {
  AccessManager: AccessManager;
  Directory: Directory;
  OracleCommittee: OracleCommittee;
  BootPolicy: BootPolicy;
  DeviceRegistry: DeviceRegistry;
  DataAnchor: DataAnchor;
  ConsentRegistry: ConsentRegistry;
  MSecToken: MSecToken;
  Arbitration: Arbitration;
  Escrow: Escrow;
  Marketplace: Marketplace;
  Reputation: Reputation;
  AgreementDigests: AgreementDigests;
  Subscription: Subscription;
}

/** Handles of the contracts whose addresses are given. */
export function contractsAt<N extends ContractName>(
  addresses: Record<N, Hex>,
  runner: ContractRunner,
): Pick<Contracts, N> {
  const names = Object.keys(addresses) as N[];
  return Object.fromEntries(
    names.map((name) => [name, new Contract(addresses[name], artifact(SOURCES[name]).abi, runner)]),
  ) as unknown as Pick<Contracts, N>;
}
