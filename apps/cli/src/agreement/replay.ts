import { type Agreement, type Domain, fromHex, type Hex, recoverAddress } from "@msec/core";
import { type Card, digestOf, type Message, type Proposal, type SignedVersion, termsHashOf } from "./message.ts";

/** A message as the chain orders and dates it. */
export interface Entry {
  /** The payload's key. */
  key: Hex;
  /** Account that announced it. */
  author: Hex;
  /** Time of its block, Unix milliseconds. */
  atMs: number;
  message: Message;
}

export interface Version {
  agreement: Agreement;
  terms: string;
  cards: Card[];
  digest: Hex;
  /** Key of the payload that proposed it; undefined for a copy. */
  key?: Hex;
  /** Accounts that must sign. */
  asked: Hex[];
  signatures: Map<Hex, Hex>;
}

export interface AgreementState {
  id: Hex;
  /** In force, or the last one once it has ended. */
  active?: Version;
  /** When the active one ends, notice included; Unix milliseconds. */
  endMs: number;
  /** The last proposal, unless it is active by now. */
  open?: Version;
  /** Of the newest proposal. */
  newest: number;
  /** Parties of the first proposal: until one is active, they alone propose. */
  founders: Hex[];
  /** Cards of the first proposal: where a contract stands behind the agreement, they have it. */
  first: Card[];
}

const MAX_SIGNING_MS = 90 * 86_400_000;
const MAX_TERM_MS = 36_525 * 86_400_000;

const ascending = (list: readonly Hex[]) => list.every((a, i) => i === 0 || (list[i - 1] as Hex) < a);

export const isActive = (state: AgreementState, atMs: number) => state.active !== undefined && atMs <= state.endMs;
export const isOpen = (state: AgreementState, atMs: number) =>
  state.open !== undefined && atMs <= state.open.agreement.deadline;

/** Where things stand, in the words of the contract. */
export function stateName(
  state: AgreementState,
  atMs: number,
): "proposed" | "active" | "amending" | "ended" | "lapsed" {
  if (isActive(state, atMs)) return isOpen(state, atMs) ? "amending" : "active";
  if (isOpen(state, atMs)) return "proposed";
  return state.active ? "ended" : "lapsed";
}

function signerOf(digest: Hex, signature: Hex): Hex | undefined {
  try {
    return recoverAddress(fromHex(digest), signature);
  } catch {
    return undefined;
  }
}

/** Why an agreement is not one that may be proposed at this time; undefined if it is. */
export function faultOf(
  { agreement: a, terms, cards }: Omit<Proposal, "kind" | "signature">,
  atMs: number,
): string | undefined {
  if (termsHashOf(terms) !== a.termsHash) return "the terms are not those of the hash";
  if (!ascending(a.parties) || !ascending(a.auditors)) return "parties and auditors must be different and ascending";
  if (a.auditors.some((auditor) => a.parties.includes(auditor))) return "nobody is both party and auditor";
  const named = [...a.parties, ...a.auditors].sort();
  if (
    cards
      .map(({ account }) => account)
      .sort()
      .join() !== named.join()
  )
    return "every party and auditor has one card";
  if (a.deadline < atMs || a.deadline - atMs > MAX_SIGNING_MS)
    return "it must be signed within 90 days, and not before now";
  if (a.endMs < a.deadline || a.endMs - atMs > MAX_TERM_MS)
    return "it must end after the time to sign it, within 100 years";
  return undefined;
}

/** Whether every party signed; such a version needs no other witness. */
export function isSigned(domain: Domain, { agreement, terms, signatures }: SignedVersion): boolean {
  const digest = digestOf(domain, agreement);
  return (
    termsHashOf(terms) === agreement.termsHash &&
    signatures.length === agreement.parties.length &&
    agreement.parties.every((party, i) => signerOf(digest, signatures[i] as Hex) === party)
  );
}

/**
 * The agreements that these messages make, by id. Every party comes to the same, since the chain orders and dates the
 * messages; one that breaks a rule has no effect.
 */
export function replay(domain: Domain, entries: readonly Entry[]): Map<Hex, AgreementState> {
  const states = new Map<Hex, AgreementState>();
  for (const entry of entries) {
    const { message, author, atMs } = entry;
    if (message.kind === "proposal") propose(domain, states, entry, message);
    else if (message.kind === "copy") takeCopy(domain, states, message);
    else {
      for (const state of states.values()) {
        if (message.kind === "signature" && state.open?.digest === message.digest) sign(state, message.signature, atMs);
        else if (message.kind === "notice" && state.active?.digest === message.digest) {
          const { parties, noticeMs } = state.active.agreement;
          if (parties.includes(author) && isActive(state, atMs)) state.endMs = Math.min(state.endMs, atMs + noticeMs);
        }
      }
    }
  }
  return states;
}

function propose(domain: Domain, states: Map<Hex, AgreementState>, entry: Entry, message: Proposal): void {
  const { agreement, terms, cards } = message;
  const { atMs, author, key } = entry;
  const id = agreement.agreement;
  const state = states.get(id) ?? { id, endMs: 0, newest: 0, founders: agreement.parties, first: cards };
  const mayPropose = state.active?.agreement.parties ?? state.founders;
  if (faultOf(message, atMs) || agreement.version !== state.newest + 1 || !mayPropose.includes(author)) return;
  const amended = isActive(state, atMs) ? (state.active?.agreement.parties ?? []) : [];
  const asked = [...new Set([...agreement.parties, ...amended])];
  const digest = digestOf(domain, agreement);
  state.open = { agreement, terms, cards, digest, key, asked, signatures: new Map() };
  state.newest = agreement.version;
  states.set(id, state);
  sign(state, message.signature, atMs);
}

function sign(state: AgreementState, signature: Hex, atMs: number): void {
  const { open } = state;
  if (!open || !isOpen(state, atMs)) return;
  const signer = signerOf(open.digest, signature);
  if (!signer || !open.asked.includes(signer)) return;
  open.signatures.set(signer, signature);
  if (open.signatures.size < open.asked.length) return;
  state.active = open;
  state.endMs = open.agreement.endMs;
  delete state.open;
}

function takeCopy(domain: Domain, states: Map<Hex, AgreementState>, message: Message & { kind: "copy" }): void {
  const { signed, endMs, newest } = message;
  const { agreement, terms, cards, signatures } = signed;
  const id = agreement.agreement;
  // Whoever was there knows better.
  if (states.has(id) || !isSigned(domain, signed) || endMs > agreement.endMs || newest < agreement.version) return;
  const active: Version = {
    ...{ agreement, terms, cards, digest: digestOf(domain, agreement), asked: agreement.parties },
    signatures: new Map(agreement.parties.map((party, i) => [party, signatures[i] as Hex])),
  };
  states.set(id, { id, active, endMs, newest, founders: agreement.parties, first: cards });
}
