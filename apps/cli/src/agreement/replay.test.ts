import { addressOfKey, AGREEMENT, type Agreement, type Hex, signTyped, toHex } from "@msec/core";
import { describe, expect, test } from "vitest";
import {
  type Card,
  decodeMessage,
  digestOf,
  digestsDomain,
  encodeMessage,
  type Message,
  termsHashOf,
} from "./message.ts";
import { type AgreementState, type Entry, isSigned, replay, stateName } from "./replay.ts";

const domain = digestsDomain(20_260, `0x${"d1".repeat(20)}`);
const keys = Array.from({ length: 5 }, (_, i) => new Uint8Array(32).fill(i + 1)).sort((a, b) =>
  addressOfKey(a) < addressOfKey(b) ? -1 : 1,
);
const account = (i: number): Hex => addressOfKey(keys[i] as Uint8Array);
const card = (i: number): Card => ({ account: account(i), key: Buffer.alloc(32, i).toString("base64") });
const ID: Hex = `0x${"a9".repeat(20)}`;
const NOW = 1_000_000;
const DEADLINE = NOW + 1_000;
const END = NOW + 100_000;

let at = 0;
const entry = (author: number, message: Message, atMs = NOW): Entry => ({
  ...{ key: toHex(new Uint8Array(64).fill(++at)), author: account(author), atMs, message },
});
const agreementOf = (parties: number[], change: Partial<Agreement> = {}): Agreement => ({
  ...{ agreement: ID, version: 1, termsHash: termsHashOf("terms"), parties: parties.map(account), auditors: [] },
  ...{ endMs: END, noticeMs: 500, deadline: DEADLINE, salt: toHex(new Uint8Array(32).fill(7)) },
  ...change,
});
const signed = (i: number, a: Agreement) => signTyped(keys[i] as Uint8Array, domain, AGREEMENT, a);
function proposal(by: number, a: Agreement, terms = "terms"): Message {
  const cards = [...a.parties, ...a.auditors].map((who) => card(keys.findIndex((k) => addressOfKey(k) === who)));
  return { kind: "proposal", agreement: a, terms, cards, signature: signed(by, a) };
}
const signature = (i: number, a: Agreement): Message => ({
  ...{ kind: "signature", digest: digestOf(domain, a), signature: signed(i, a) },
});
const after = (...entries: Entry[]) => replay(domain, entries).get(ID) as AgreementState;

const first = agreementOf([0, 1]);
const AGREED = [entry(0, proposal(0, first)), entry(1, signature(1, first))];

describe("as the contract has it", () => {
  test("proposed, signed by all, active, ended", () => {
    expect(stateName(after(entry(0, proposal(0, first))), NOW)).toBe("proposed");
    expect(stateName(after(entry(0, proposal(0, first))), DEADLINE + 1)).toBe("lapsed");
    const state = after(...AGREED);
    expect([stateName(state, NOW), stateName(state, END), stateName(state, END + 1)]).toEqual([
      "active",
      "active",
      "ended",
    ]);
    expect(state.active?.digest).toBe(digestOf(domain, first));
  });

  test("anyone may bring a signature, and it counts once, in time, for the proposal that is open", () => {
    const open = entry(0, proposal(0, first));
    expect(stateName(after(open, entry(4, signature(1, first))), NOW)).toBe("active");
    expect(stateName(after(open, entry(0, signature(0, first))), NOW)).toBe("proposed");
    expect(stateName(after(open, entry(1, signature(1, first), DEADLINE + 1)), NOW)).toBe("proposed");
    expect(stateName(after(open, entry(2, signature(2, first))), NOW)).toBe("proposed");
    const counter = agreementOf([0, 1], { version: 2, endMs: END - 1 });
    const countered = after(open, entry(1, proposal(1, counter)), entry(1, signature(1, first)));
    expect([stateName(countered, NOW), countered.open?.digest]).toEqual(["proposed", digestOf(domain, counter)]);
  });

  test.each<[string, number, Agreement]>([
    ["a stranger", 4, agreementOf([0, 1], { version: 2 })],
    ["a stranger who names itself", 4, agreementOf([0, 4], { version: 2 })],
    ["an auditor", 2, agreementOf([0, 1], { version: 2, auditors: [account(2)] })],
    ["a party, with a version that is not the next", 1, agreementOf([0, 1], { version: 3 })],
    ["a party, with parties in another order", 1, agreementOf([1, 0], { version: 2 })],
    ["a party, with a deadline that is over", 1, agreementOf([0, 1], { version: 2, deadline: NOW - 1 })],
    ["a party, with an end before the deadline", 1, agreementOf([0, 1], { version: 2, endMs: DEADLINE - 1 })],
    ["a party, with somebody as party and auditor", 1, agreementOf([0, 1], { version: 2, auditors: [account(1)] })],
    ["a party, with terms of another hash", 1, agreementOf([0, 1], { version: 2, termsHash: termsHashOf("others") })],
  ])("a proposal by %s has no effect", (_, by, next) => {
    expect(after(...AGREED, entry(by, proposal(by, next)))).toEqual(after(...AGREED));
  });

  test("an amendment is signed by all of before and all of after; until then the old one stands", () => {
    const next = agreementOf([0, 2], { version: 2 });
    const amend = [...AGREED, entry(0, proposal(0, next)), entry(2, signature(2, next))];
    expect([stateName(after(...amend), NOW), after(...amend).active?.agreement.version]).toEqual(["amending", 1]);
    expect(after(...amend, entry(1, signature(1, next))).active?.agreement.version).toBe(2);
    // Who left no longer writes.
    const left = entry(1, proposal(1, agreementOf([0, 1], { version: 3 })));
    expect(after(...amend, entry(1, signature(1, next)), left).newest).toBe(2);
  });

  test("a party's notice shortens it, never twice and never by others", () => {
    const digest = digestOf(domain, first);
    const notice = (by: number, atMs: number) => entry(by, { kind: "notice", digest }, atMs);
    expect(after(...AGREED, notice(1, NOW + 10)).endMs).toBe(NOW + 510);
    expect(after(...AGREED, notice(1, NOW + 10), notice(0, NOW + 20)).endMs).toBe(NOW + 510);
    expect(after(...AGREED, notice(4, NOW + 10)).endMs).toBe(END);
  });
});

describe("a copy for somebody who was not there", () => {
  const signatures = [signed(0, first), signed(1, first)];
  const shown = { agreement: first, terms: "terms", cards: [card(0), card(1)], signatures };
  const copy = (change: object = {}, endMs = END): Message => ({
    ...{ kind: "copy", signed: { ...shown, ...change }, endMs, newest: 1 },
  });

  test("is believed by its signatures, and what follows builds on it", () => {
    const next = agreementOf([0, 1, 2], { version: 2 });
    const state = after(entry(0, copy()), entry(0, proposal(0, next)));
    expect([stateName(state, NOW), state.active?.terms, state.open?.asked.length]).toEqual(["amending", "terms", 3]);
  });

  test.each<[string, object]>([
    ["other terms", { terms: "better terms" }],
    ["a missing signature", { signatures: signatures.slice(1) }],
    ["a signature of somebody else", { signatures: [signed(0, first), signed(2, first)] }],
    ["signatures in another order", { signatures: [...signatures].reverse() }],
    ["another end", { agreement: { ...first, endMs: END + 1 } }],
  ])("is not believed with %s", (_, change) => {
    expect(isSigned(domain, { ...shown, ...change })).toBe(false);
    expect(after(entry(0, copy(change)))).toBeUndefined();
  });

  test("changes nothing for whoever was there", () => {
    expect(after(...AGREED, entry(4, copy({}, NOW)))).toEqual(after(...AGREED));
  });
});

test("what is no message of this form is left alone", () => {
  const message = proposal(0, first);
  expect(decodeMessage(encodeMessage(message))).toEqual(message);
  for (const payload of [
    "",
    "{",
    "null",
    '{"format":"msec.agreement/2"}',
    '{"format":"msec.agreement/1","kind":"x"}',
    "[1]",
  ])
    expect(decodeMessage(new TextEncoder().encode(payload))).toBeUndefined();
});
