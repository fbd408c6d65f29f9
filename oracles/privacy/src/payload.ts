import { createHash, createHmac, randomBytes } from "node:crypto";
import sodium from "libsodium-wrappers";
import { fromBase64, toBase64 } from "./encoding.ts";
import { PrivacyError } from "./errors.ts";
import { type KeyRing } from "./keys.ts";

// What is kept of a payload and travels between managers.
//
// body = version(1) ‖ sender(32) ‖ commitment(32) ‖ nonce(24) ‖ XChaCha20-Poly1305(payload), the first three as
// associated data; the key on the chain is SHA-512(body). The commitment fixes the content key, so that nobody can make
// one body that opens to two payloads. A box gives the content key to one recipient, together with the digest of the
// metadata: crypto_box (X25519, XSalsa20-Poly1305) from the sender, so that both are the sender's word.

await sodium.ready;

const VERSION = 1;
const KEY = 32;
const NONCE = 24;
const HEADER = 1 + 32 + 32;

export const FLAGS = { standard: 0, partyProtection: 1, mandatoryParties: 2, stateValidation: 3 } as const;
export type PrivacyFlag = (typeof FLAGS)[keyof typeof FLAGS];

/** What the sender says of a payload besides its content. All keys base64. */
export interface Metadata {
  flag: PrivacyFlag;
  /** Base64 of the state root that every party must come to; empty unless the flag is 3. */
  execHash: string;
  /** The payloads that created the contracts it touches, each with the proof that the sender holds it. */
  affected: { key: string; proof: string }[];
  /** Who must be a party, by flag 2. */
  mandatory: string[];
  /** All parties, by flag 3; otherwise empty, since a party is told of no other. */
  participants: string[];
}

export interface Envelope extends Metadata {
  body: Uint8Array;
  boxes: { recipient: string; box: Uint8Array }[];
}

export interface Opened {
  contentKey: Uint8Array;
  payload: Uint8Array;
}

/** The key on the chain: SHA-512 over the body, base64. */
export const keyOf = (body: Uint8Array) => createHash("sha512").update(body).digest("base64");
export const senderOf = (body: Uint8Array) => toBase64(body.subarray(1, 33));

const commitmentOf = (contentKey: Uint8Array) =>
  sodium.crypto_generichash(32, sodium.from_string("msec.privacy.commitment/1"), contentKey);

/** Encrypts a payload under a new content key. */
export function seal(payload: Uint8Array, sender: string): { body: Uint8Array; contentKey: Uint8Array } {
  const contentKey = new Uint8Array(randomBytes(KEY));
  const nonce = randomBytes(NONCE);
  const header = Buffer.concat([Uint8Array.of(VERSION), fromBase64(sender), commitmentOf(contentKey)]);
  const sealed = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(payload, header, null, nonce, contentKey);
  return { body: new Uint8Array(Buffer.concat([header, nonce, sealed])), contentKey };
}

function unseal(body: Uint8Array, contentKey: Uint8Array): Uint8Array {
  const header = body.subarray(0, HEADER);
  if (body[0] !== VERSION || !sodium.memcmp(header.subarray(33), commitmentOf(contentKey)))
    throw new Error("the content key is not the one that the body commits to");
  const nonce = body.subarray(HEADER, HEADER + NONCE);
  return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
    null,
    body.subarray(HEADER + NONCE),
    header,
    nonce,
    contentKey,
  );
}

function metadataDigest(key: string, recipient: string, metadata: Metadata): Uint8Array {
  const { flag, execHash, affected, mandatory, participants } = metadata;
  const text = JSON.stringify([
    "msec.privacy.metadata/1",
    key,
    recipient,
    flag,
    execHash,
    affected.map((a) => [a.key, a.proof]).sort(),
    [...mandatory].sort(),
    [...participants].sort(),
  ]);
  return sodium.crypto_generichash(32, sodium.from_string(text), null);
}

/** The content key and the metadata's digest for one recipient: nonce(24) ‖ box. */
export function boxFor(
  ring: KeyRing,
  sender: string,
  recipient: string,
  contentKey: Uint8Array,
  key: string,
  metadata: Metadata,
  nonce: Uint8Array = randomBytes(NONCE),
): Uint8Array {
  const content = Buffer.concat([contentKey, metadataDigest(key, recipient, metadata)]);
  const box = sodium.crypto_box_easy_afternm(content, nonce, ring.shared(sender, recipient));
  return new Uint8Array(Buffer.concat([nonce, box]));
}

/**
 * Opens an envelope by a box for one of our keys or, where we are the sender, by any box at all. Throws a 403 where body,
 * box and metadata do not belong together, a 404 where no box is ours.
 */
export function open(ring: KeyRing, envelope: Envelope, recipient?: string): Opened {
  const key = keyOf(envelope.body);
  const sender = senderOf(envelope.body);
  const ours = envelope.boxes.find((b) =>
    recipient === undefined ? ring.has(b.recipient) : b.recipient === recipient,
  );
  const [box, shared] =
    ours && ring.has(ours.recipient)
      ? [ours, ring.shared(ours.recipient, sender)]
      : ring.has(sender) && recipient === undefined && envelope.boxes[0]
        ? [envelope.boxes[0], ring.shared(sender, envelope.boxes[0].recipient)]
        : [undefined, undefined];
  if (!box) throw new PrivacyError(404, `Message with hash ${key} was not found: it is for no key of this manager`);
  try {
    const content = sodium.crypto_box_open_easy_afternm(box.box.subarray(NONCE), box.box.subarray(0, NONCE), shared);
    const contentKey = content.subarray(0, KEY);
    if (!sodium.memcmp(content.subarray(KEY), metadataDigest(key, box.recipient, envelope)))
      throw new Error("the metadata is not what the sender sealed");
    return { contentKey, payload: unseal(envelope.body, contentKey) };
  } catch {
    throw new PrivacyError(403, `the payload ${key} is not what ${sender} sealed: body, box or metadata was changed`);
  }
}

/** Shows that whoever made `key` could read the affected payload: HMAC-SHA-256 under that one's content key. */
export function affectedProof(affectedContentKey: Uint8Array, key: string): string {
  return createHmac("sha256", affectedContentKey).update(`msec.privacy.affected/1 ${key}`).digest("base64");
}
