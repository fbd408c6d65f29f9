import { randomBytes } from "node:crypto";
import { step } from "@msec/service";
import { fromBase64, toBase64 } from "./encoding.ts";
import { PrivacyError } from "./errors.ts";
import { type KeyRing } from "./keys.ts";
import {
  affectedProof,
  boxFor,
  type Envelope,
  FLAGS,
  keyOf,
  type Metadata,
  open,
  type PrivacyFlag,
  seal,
  senderOf,
} from "./payload.ts";
import { type Parties, type Party } from "./parties.ts";
import { checkReceived, checkSend } from "./rules.ts";
import { type Store } from "./store.ts";

/** For whom a payload is and what it touches; keys base64. */
export interface Distribution {
  to: string[];
  flag: PrivacyFlag;
  execHash: string;
  /** Keys of the payloads that created the contracts which it touches. */
  affected: string[];
  mandatory: string[];
}

export interface Sent {
  key: string;
  sender: string;
  /** Keys of this manager among the parties. */
  managedParties: string[];
}

export interface Received {
  payload: Uint8Array;
  sender: string;
  flag: PrivacyFlag;
  execHash: string;
  affected: string[];
  managedParties: string[];
}

/** A payload that was encrypted without being kept or sent; bytes in base64. */
export interface EncodedPayload {
  senderKey: string;
  cipherText: string;
  cipherTextNonce: string;
  recipientBoxes: string[];
  recipientNonce: string;
  recipientKeys: string[];
}

const NO_METADATA: Metadata = { flag: 0, execHash: "", affected: [], mandatory: [], participants: [] };
const NONCE = 24;
const RESEND_PAGE = 50;

const unknown = (key: string) => new PrivacyError(404, `Message with hash ${key} was not found`);
const distinct = (keys: readonly string[]) => [...new Set(keys)];

/** The payloads of one organisation's private transactions: sealed, handed to their parties, kept, read back. */
export class Manager {
  readonly ring: KeyRing;
  readonly parties: Parties;
  readonly #store: Store;
  readonly #push: (party: Party, envelope: Envelope) => Promise<void>;
  readonly #whenAway: "refuse" | "queue";

  constructor(parts: {
    ring: KeyRing;
    parties: Parties;
    store: Store;
    push: (party: Party, envelope: Envelope) => Promise<void>;
    /** What a send does while a party's manager is away: fail, or wait for it (flag 0 only). */
    whenAway: "refuse" | "queue";
  }) {
    this.ring = parts.ring;
    this.parties = parts.parties;
    this.#store = parts.store;
    this.#push = parts.push;
    this.#whenAway = parts.whenAway;
  }

  /** Seals a payload and brings it to its parties. Resolves when all of them hold it, or it waits for them on disk. */
  async send(payload: Uint8Array, from: string | undefined, distribution: Distribution): Promise<Sent> {
    const { body, contentKey } = seal(payload, this.#own(from));
    return this.#distribute(body, contentKey, distribution);
  }

  /** Seals a payload whose parties are named later, and returns its key. */
  async storeRaw(payload: Uint8Array, from: string | undefined): Promise<string> {
    const sender = this.#own(from);
    const { body, contentKey } = seal(payload, sender);
    const key = keyOf(body);
    await this.#store.putRaw(key, body, boxFor(this.ring, sender, sender, contentKey, key, NO_METADATA));
    return key;
  }

  /** Brings a stored payload to its parties; again, if an answer was lost, with no other effect. */
  async sendStored(key: string, distribution: Distribution): Promise<Sent> {
    const envelope = await this.#raw(key);
    return this.#distribute(envelope.body, open(this.ring, envelope).contentKey, distribution);
  }

  /** A payload that was stored, whether or not it was sent since. */
  async receiveRaw(key: string): Promise<Received> {
    const envelope = await this.#raw(key);
    const sender = senderOf(envelope.body);
    const { payload } = open(this.ring, envelope);
    return { payload, sender, flag: 0, execHash: "", affected: [], managedParties: [sender] };
  }

  /** A payload that one of this manager's keys is a party to; a 404 for every other. */
  async receive(key: string, recipient?: string): Promise<Received> {
    const envelope = await this.#get(key);
    const { payload } = open(this.ring, envelope, recipient);
    const known = await this.#store.getAll(envelope.affected.map((a) => a.key));
    const affected = checkReceived(this.ring, envelope, known);
    const { flag, execHash } = envelope;
    const managedParties = this.#managed(envelope.boxes.map((b) => b.recipient));
    return { payload, sender: senderOf(envelope.body), flag, execHash, affected, managedParties };
  }

  async isSender(key: string): Promise<boolean> {
    return this.ring.has(senderOf((await this.#get(key)).body));
  }

  /** The parties as far as this manager is told: all of them to the sender and by flag 3, otherwise its own. */
  async participants(key: string): Promise<string[]> {
    const envelope = await this.#get(key);
    return envelope.flag === FLAGS.stateValidation ? envelope.participants : envelope.boxes.map((b) => b.recipient);
  }

  async mandatory(key: string): Promise<string[]> {
    const envelope = await this.#get(key);
    if (envelope.flag !== FLAGS.mandatoryParties)
      throw new PrivacyError(400, "Operation invalid. Transaction found is not a mandatory recipients privacy type");
    return envelope.mandatory;
  }

  /** Encrypts without keeping: for whoever carries the result elsewhere. Flag 0, no affected contracts. */
  encode(payload: Uint8Array, from: string | undefined, to: readonly string[]): EncodedPayload {
    const sender = this.#own(from);
    const { body, contentKey } = seal(payload, sender);
    const key = keyOf(body);
    const nonce = randomBytes(NONCE);
    const recipients = distinct([sender, ...to]);
    for (const recipient of recipients) this.parties.ofKey(recipient);
    return {
      senderKey: sender,
      cipherText: toBase64(body),
      cipherTextNonce: toBase64(body.subarray(65, 65 + NONCE)),
      recipientBoxes: recipients.map((recipient) =>
        toBase64(boxFor(this.ring, sender, recipient, contentKey, key, NO_METADATA, nonce).subarray(NONCE)),
      ),
      recipientNonce: toBase64(nonce),
      recipientKeys: recipients,
    };
  }

  /** Decrypts what {@link encode} of this or another manager gave. */
  decode(encoded: EncodedPayload): Received {
    const nonce = fromBase64(encoded.recipientNonce);
    const boxes = encoded.recipientBoxes.map((box, i) => ({
      recipient: encoded.recipientKeys[i] ?? "",
      box: new Uint8Array(Buffer.concat([nonce, fromBase64(box)])),
    }));
    const envelope = { ...NO_METADATA, body: fromBase64(encoded.cipherText), boxes };
    const { payload } = open(this.ring, envelope);
    const managedParties = this.#managed(encoded.recipientKeys);
    return { payload, sender: senderOf(envelope.body), flag: 0, execHash: "", affected: [], managedParties };
  }

  /** Takes a payload that its sender's manager hands over. */
  async accept(from: Party, envelope: Envelope): Promise<void> {
    const sender = senderOf(envelope.body);
    if (!from.keys.includes(sender))
      throw new PrivacyError(403, `${from.name} is not the sender of this payload: only its manager may hand it over`);
    await this.#keep(envelope, true);
  }

  /** Takes back a payload of its own that another party still holds. */
  async restore(envelope: Envelope): Promise<void> {
    await this.#keep(envelope, false);
  }

  /** What this manager holds of another party's payloads; a recipient is told of no other. */
  async resend(to: Party, after: string): Promise<{ envelopes: Envelope[]; next: string | null }> {
    const rows = await this.#store.ofParty(to.keys, after, RESEND_PAGE);
    const envelopes = rows.map(({ envelope }) => {
      const sent = to.keys.includes(senderOf(envelope.body));
      return sent ? envelope : { ...envelope, boxes: envelope.boxes.filter((b) => to.keys.includes(b.recipient)) };
    });
    return { envelopes, next: rows.length < RESEND_PAGE ? null : (rows[rows.length - 1]?.number ?? null) };
  }

  async #keep(envelope: Envelope, strict: boolean): Promise<void> {
    const key = keyOf(envelope.body);
    const sender = senderOf(envelope.body);
    this.parties.ofKey(sender);
    const ours = this.ring.has(sender);
    if (!ours && !envelope.boxes.every((b) => this.ring.has(b.recipient)))
      throw new PrivacyError(403, `the payload ${key} has boxes that are for no key of this manager`);
    for (const { recipient } of envelope.boxes)
      open(this.ring, { ...envelope, boxes: envelope.boxes.filter((b) => b.recipient === recipient) });
    if (strict) {
      const known = await this.#store.getAll(envelope.affected.map((a) => a.key));
      checkReceived(this.ring, envelope, known);
    }
    await this.#store.put(key, sender, envelope);
  }

  async #distribute(body: Uint8Array, contentKey: Uint8Array, distribution: Distribution): Promise<Sent> {
    const key = keyOf(body);
    const sender = senderOf(body);
    const recipients = distinct([sender, ...distribution.to]);
    const owners = new Map(recipients.map((recipient) => [recipient, this.parties.ofKey(recipient)]));
    const known = await this.#store.getAll(distribution.affected);
    const metadata: Metadata = {
      flag: distribution.flag,
      execHash: distribution.execHash,
      affected: distinct(distribution.affected).map((affected) => ({ key: affected, proof: "" })),
      mandatory: distinct(distribution.mandatory),
      participants: distribution.flag === FLAGS.stateValidation ? recipients : [],
    };
    checkSend(metadata, sender, recipients, known);
    for (const claim of metadata.affected)
      claim.proof = affectedProof(open(this.ring, known.get(claim.key) as Envelope).contentKey, key);
    const boxes = recipients.map((recipient) => ({
      recipient,
      box: boxFor(this.ring, sender, recipient, contentKey, key, metadata),
    }));
    const envelope: Envelope = { ...metadata, body, boxes };
    const others = [...new Set(owners.values())].filter((party) => party !== this.parties.self);
    const queued = this.#whenAway === "queue" && metadata.flag === FLAGS.standard;
    if (!queued) await this.#pushAll(others, envelope);
    step("pushed");
    await this.#store.put(key, sender, envelope, queued ? others.map((party) => party.name) : []);
    return { key, sender, managedParties: this.#managed(recipients) };
  }

  async #pushAll(others: readonly Party[], envelope: Envelope): Promise<void> {
    const results = await Promise.allSettled(others.map((party) => this.#push(party, envelopeFor(party, envelope))));
    const failures = results.flatMap((r) => (r.status === "rejected" ? [r.reason as PrivacyError] : []));
    // A refusal is told before an absence: trying again would not help.
    const worst = failures.find((f) => f.status < 500) ?? failures[0];
    if (worst) throw worst;
  }

  async #get(key: string): Promise<Envelope> {
    const envelope = await this.#store.get(key);
    if (!envelope) throw unknown(key);
    return envelope;
  }

  async #raw(key: string): Promise<Envelope> {
    const raw = await this.#store.raw(key);
    if (raw) {
      const sender = senderOf(raw.body);
      return { ...NO_METADATA, body: raw.body, boxes: [{ recipient: sender, box: raw.box }] };
    }
    const sent = await this.#store.get(key);
    if (!sent || !this.ring.has(senderOf(sent.body)))
      throw new PrivacyError(404, `Raw Message with hash ${key} was not found: store it with /storeraw first`);
    return sent;
  }

  #own(from: string | undefined): string {
    if (from === undefined) return this.ring.first;
    if (!this.ring.has(from)) throw new PrivacyError(404, `${from} is no key of this manager: see /keys`);
    return from;
  }

  #managed(keys: readonly string[]): string[] {
    return this.ring.publicKeys.filter((key) => keys.includes(key));
  }
}

/** The part of an envelope that one party gets: its own boxes. */
export const envelopeFor = (party: Party, envelope: Envelope): Envelope => ({
  ...envelope,
  boxes: envelope.boxes.filter((b) => party.keys.includes(b.recipient)),
});
