import { type ChainProvider, type Contracts, type Sender } from "@msec/chain";
import { type ErasureKeys, type Frontiers } from "@msec/companion-db";
import { anchorDomain, consentDomain, type Domain, type Hex, faults, quorum } from "@msec/core";
import { type Logger } from "pino";
import { type Config } from "./config.ts";
import { type Lines } from "./lines.ts";
import { type Metrics } from "./metrics.ts";
import { type Peers } from "./peers.ts";
import { type ContentStore } from "@msec/content-store";
import { type DeviceCache } from "./registry.ts";
import { type Store } from "./store.ts";
import { type Verifier } from "./verifier.ts";

/** What every part of the process works with. Made once, in main. */
export interface Context {
  config: Config;
  log: Logger;
  metrics: Metrics;
  store: Store;
  lines: Lines;
  verifier: Verifier;
  frontiers: Frontiers;
  erasureKeys: ErasureKeys;
  devices: DeviceCache;
  peers: Peers;
  contents: ContentStore;
  contracts: Contracts;
  provider: ChainProvider;
  sender: Sender;
  /** Sends receipts of erasures, from an account of its own: nobody's nonces wait for the anchoring's. */
  reporter: Sender;
  /** The operator's signing key (secp256k1). */
  key: Uint8Array;
  address: Hex;
  /** X25519 key pair that seeds are sealed to. */
  sealing: { publicKey: Uint8Array; privateKey: Uint8Array };
}

export const domainOf = (ctx: Context): Domain =>
  anchorDomain(ctx.config.chain.chainId, ctx.config.chain.addresses.DataAnchor as Hex);

export const consentDomainOf = (ctx: Context): Domain =>
  consentDomain(ctx.config.chain.chainId, ctx.config.chain.addresses.ConsentRegistry as Hex);

/** Organisations whose word is needed so that one honest one is among them. */
export const honest = (ctx: Context): number => faults(ctx.config.committee.length) + 1;
export const needed = (ctx: Context): number => quorum(ctx.config.committee.length);

/** Whether this operator must open a stream's packs itself. */
export function opens(ctx: Context, line: { stream: { mode: number }; holders: { holders: Hex[] } }): boolean {
  return line.stream.mode !== 1 || line.holders.holders.includes(ctx.address);
}
