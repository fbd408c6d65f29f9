import { type Hex } from "@msec/core";

/** Contents by their SHA-256, which is also their CIDv1 (raw). Only ciphertext ever goes in. */
export interface ContentStore {
  /** Makes contents available to whoever asks the network for them. Idempotent. */
  provide(contents: readonly { digest: Hex; bytes: Uint8Array }[]): Promise<void>;
  /** A content from another node, or undefined within the time given. It is checked against its digest. */
  fetch(digest: Hex, timeoutMs: number): Promise<Uint8Array | undefined>;
  /** Stops providing; copies that others made are theirs. */
  remove(digests: readonly Hex[]): Promise<void>;
  /** Addresses of this node, for the other operators. */
  addresses(): string[];
  /** Connects to another operator's node. */
  dial(address: string): Promise<void>;
  stop(): Promise<void>;
}
