import { PrivacyError } from "./errors.ts";
import { type KeyRing } from "./keys.ts";
import { affectedProof, type Envelope, FLAGS, keyOf, type Metadata, open, senderOf } from "./payload.ts";

// What a node leaves to its privacy manager: that the parties of a transaction fit those of the contracts it touches.
// The same rules hold for whoever sends, for whoever takes a payload and for whoever reads it back.

const same = (a: readonly string[], b: readonly string[]) => a.length === b.length && a.every((key) => b.includes(key));

const forbid = (message: string) => new PrivacyError(403, message);

/** Rules that need nothing but the metadata. `recipients` are the parties as far as the metadata's reader knows them. */
function checkForm({ flag, execHash, mandatory }: Metadata, recipients: readonly string[]): void {
  if (flag === FLAGS.stateValidation && execHash === "")
    throw new PrivacyError(400, "execHash is missing: private state validation (flag 3) needs the state root");
  if (flag !== FLAGS.stateValidation && execHash !== "")
    throw new PrivacyError(400, "an execHash goes with private state validation (flag 3) only");
  if (flag === FLAGS.mandatoryParties && mandatory.length === 0)
    throw new PrivacyError(400, "mandatoryRecipients is empty: name them, or use party protection (flag 1)");
  if (flag !== FLAGS.mandatoryParties && mandatory.length > 0)
    throw new PrivacyError(400, "mandatoryRecipients go with mandatory parties (flag 2) only");
  if (!mandatory.every((key) => recipients.includes(key)))
    throw forbid("One or more mandatory recipients not included in the participant list");
}

/** Rules between a payload and one that created a contract which it touches. */
function checkAffected(metadata: Metadata, sender: string, key: string, affected: Envelope): void {
  if (affected.flag !== metadata.flag || !affected.mandatory.every((m) => metadata.mandatory.includes(m)))
    throw forbid(`Privacy metadata mismatched with Affected Txn ${key}`);
  if (metadata.flag !== FLAGS.stateValidation) return;
  if (!affected.participants.includes(sender))
    throw forbid(`the sender ${sender} is no party of the Affected Txn ${key}`);
  if (!same(affected.participants, metadata.participants))
    throw forbid(`Recipients mismatched for Affected Txn ${key}`);
}

/** Refuses what may not be sent. `known` are the affected payloads that the sender holds. */
export function checkSend(
  metadata: Metadata,
  sender: string,
  recipients: readonly string[],
  known: ReadonlyMap<string, Envelope>,
): void {
  checkForm(metadata, recipients);
  for (const { key } of metadata.affected) {
    const envelope = known.get(key);
    if (!envelope) throw forbid(`Unable to find affectedContractTransaction ${key}`);
    checkAffected(metadata, sender, key, envelope);
  }
}

/**
 * Judges what another manager sent, with the affected payloads that are known here, and returns the affected keys that
 * count: one that its sender does not hold is left out, so that the node takes it for a stranger's. A party of flag 3
 * must know them all.
 */
export function checkReceived(ring: KeyRing, envelope: Envelope, known: ReadonlyMap<string, Envelope>): string[] {
  const sender = senderOf(envelope.body);
  const key = keyOf(envelope.body);
  const strict = envelope.flag === FLAGS.stateValidation;
  checkForm(envelope, strict ? envelope.participants : envelope.mandatory);
  if (strict && !envelope.boxes.every(({ recipient }) => envelope.participants.includes(recipient)))
    throw forbid(`a recipient of ${key} is missing in its list of parties`);
  return envelope.affected
    .filter((claim) => {
      const affected = known.get(claim.key);
      if (!affected && strict) throw forbid(`Unable to find affectedContractTransaction ${claim.key}`);
      if (!affected) return true;
      const proven = affectedProof(open(ring, affected).contentKey, key) === claim.proof;
      if (!proven && strict) throw forbid(`the sender does not hold the Affected Txn ${claim.key}`);
      if (proven) checkAffected(envelope, sender, claim.key, affected);
      return proven;
    })
    .map((claim) => claim.key);
}
