import { type Hex } from "./bytes.ts";
import { type Certificate } from "./certificate.ts";
import { ProtocolError } from "./errors.ts";
import { type NodePlace, type SlotRange } from "./keytree.ts";
import { type StreamPreimage } from "./stream.ts";
import { type Config, type Deal, type Epoch, type Head } from "./types.ts";

// Proof bundles: everything that a reader needs to verify alone. JSON; bytes are base64, ids and hashes hex.

export interface BundleKey {
  keyEpoch: number;
  /** DER SPKI, base64. */
  spki: string;
}

/** A header, its epoch and its path: that it was anchored. */
export interface Anchoring {
  epoch: Epoch;
  /** Siblings from the pack's leaf to the epoch's root. */
  path: Hex[];
  /** q signatures, ascending by signer. */
  signatures: Hex[];
  config: Config;
}

export interface BundleChain {
  chainId: number;
  /** DataAnchor. */
  anchor: Hex;
  /** DeviceRegistry, where the device's key can be looked up. */
  registry?: Hex;
}

export interface BundlePack {
  /** base64. */
  cose: string;
  /** base64; null where the pack's slot is erased or a hole of the window. */
  content: string | null;
  /** Where the buyer wants lateness proved: the pack's own epoch. */
  anchoring?: Anchoring;
}

/** How the window is known to end: see PROTOCOL, Verifying a window, rule 3. */
export type EndEvidence =
  | { kind: "successor"; cose: string }
  | { kind: "ended" }
  | { kind: "head"; head: Head; epoch: Epoch; epochSignatures: Hex[]; signatures: Hex[]; config: Config };

export interface WindowBundle {
  format: "msec.window/1";
  chain: BundleChain;
  stream: StreamPreimage;
  keys: BundleKey[];
  window: { fromSlot: number; toSlot: number; holes: SlotRange[]; asOfEpoch: number };
  /** Cover nodes of the window. They open every pack in their slots: whoever gets this file can read them. */
  nodes: (NodePlace & { key: Hex })[];
  /** The header named by `previous` of the first one; null where that is zero. */
  start: string | null;
  packs: BundlePack[];
  end: EndEvidence;
  /** Of the last header used: the successor's, else the last pack's. */
  anchoring: Anchoring;
  /** Of a chain whose validators seal its blocks. */
  certificate?: Certificate;
  /** The deal that it was bought by. */
  deal?: Deal & { escrow: Hex };
}

export interface ReadingBundle {
  format: "msec.reading/1";
  chain: BundleChain;
  stream: StreamPreimage;
  keys: BundleKey[];
  /** base64. */
  cose: string;
  /** The record's bytes, base64. */
  record: string;
  salt: Hex;
  index: number;
  /** Siblings from the reading's leaf to the header's root. */
  path: Hex[];
  anchoring: Anchoring;
  certificate?: Certificate;
}

export type Bundle = WindowBundle | ReadingBundle;

const replace = (_key: string, value: unknown) => (typeof value === "bigint" ? { uint: value.toString() } : value);

function revive(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const { uint, ...others } = value as { uint?: unknown };
  if (typeof uint !== "string" || Object.keys(others).length > 0) return value;
  if (!/^(0|[1-9]\d{0,77})$/.test(uint)) throw new ProtocolError("malformed", "a uint is decimal text", uint);
  return BigInt(uint);
}

export function encodeBundle(bundle: Bundle): string {
  return `${JSON.stringify(bundle, replace, 1)}\n`;
}

/** Parses a bundle and checks its outline; what it claims is for `verify` to judge. */
export function decodeBundle(text: string): Bundle {
  let value: unknown;
  try {
    value = JSON.parse(text, revive);
  } catch (error) {
    if (error instanceof ProtocolError) throw error;
    throw new ProtocolError("malformed", `not a proof bundle: ${(error as Error).message}`);
  }
  const format = (value as { format?: unknown } | null)?.format;
  if (format !== "msec.window/1" && format !== "msec.reading/1")
    throw new ProtocolError(
      "malformed",
      "not a proof bundle of M-Sec: its format is msec.window/1 or msec.reading/1",
      format,
    );
  return value as Bundle;
}
