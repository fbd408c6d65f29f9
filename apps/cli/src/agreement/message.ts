import { AGREEMENT, type Agreement, type Domain, type Hex, keccak256, toHex, typedDataDigest, utf8 } from "@msec/core";
import { address, bytes32 } from "@msec/service";
import { z } from "zod";

// What parties of an agreement send one another through their privacy managers. The rules are those of the contract
// PrivateAgreement; what is signed and anchored is its EIP-712 struct, so that AgreementDigests judges it.

const ms = z.int().nonnegative();
const hex = z.string().regex(/^0x[0-9a-f]*$/) as unknown as z.ZodType<Hex>;
const managerKey = z.base64().length(44);

/** Who someone is to the others: the account that signs, and the key that payloads are sealed to. */
export const card = z.strictObject({ account: address, key: managerKey });
export type Card = z.infer<typeof card>;

const agreement = z.strictObject({
  agreement: address,
  version: z.int().positive(),
  termsHash: bytes32,
  parties: z.array(address).min(2).max(16),
  auditors: z.array(address).max(4),
  endMs: ms,
  noticeMs: ms,
  deadline: ms,
  salt: bytes32,
});

const version = {
  agreement,
  terms: z.string().min(1),
  /** Of every party and auditor. */
  cards: z.array(card),
};

/** A version that all its parties signed: it proves itself to whoever is shown it. */
export const signedVersion = z.strictObject({
  ...version,
  /** In the order of the parties. */
  signatures: z.array(hex),
});
export type SignedVersion = z.infer<typeof signedVersion>;

const proposal = z.strictObject({ kind: z.literal("proposal"), ...version, signature: hex });
const signature = z.strictObject({ kind: z.literal("signature"), digest: bytes32, signature: hex });
const notice = z.strictObject({ kind: z.literal("notice"), digest: bytes32 });
/** What is in force, for someone who was not there when it was signed. */
const copy = z.strictObject({
  kind: z.literal("copy"),
  signed: signedVersion,
  /** When it ends, notice included; Unix milliseconds. */
  endMs: ms,
  /** Of the newest proposal, signed or not. */
  newest: z.int().positive(),
});
const message = z.discriminatedUnion("kind", [proposal, signature, notice, copy]);
export type Message = z.infer<typeof message>;
export type Proposal = z.infer<typeof proposal>;

const FORMAT = "msec.agreement/1";

export const encodeMessage = (m: Message): Uint8Array => utf8(JSON.stringify({ format: FORMAT, ...m }));

/** Undefined for a payload that is something else. */
export function decodeMessage(payload: Uint8Array): Message | undefined {
  try {
    const { format, ...rest } = JSON.parse(Buffer.from(payload).toString("utf8")) as Record<string, unknown>;
    return format === FORMAT ? message.parse(rest) : undefined;
  } catch {
    return undefined;
  }
}

export const digestsDomain = (chainId: number, digests: Hex): Domain => ({
  ...{ name: "AgreementDigests", chainId },
  verifyingContract: digests,
});

/** What the parties sign, and what is anchored. */
export const digestOf = (domain: Domain, value: Agreement): Hex => toHex(typedDataDigest(domain, AGREEMENT, value));
export const termsHashOf = (terms: string): Hex => toHex(keccak256(utf8(terms)));
