import { PrivacyError } from "./errors.ts";
import { type Envelope } from "./payload.ts";
import { envelopeFor } from "./manager.ts";
import { type Parties, type Party } from "./parties.ts";
import { type Store } from "./store.ts";

const BATCH = 50;

/** Brings each party what waits for it, in order. One that is refused for good is set aside and told of. */
export class Outbox {
  readonly #parties: Parties;
  readonly #store: Store;
  readonly #push: (party: Party, envelope: Envelope) => Promise<void>;

  constructor(parties: Parties, store: Store, push: (party: Party, envelope: Envelope) => Promise<void>) {
    this.#parties = parties;
    this.#store = store;
    this.#push = push;
  }

  /** Delivers to one party until nothing waits or it does not answer; the latter is thrown. */
  async deliver(party: Party): Promise<void> {
    for (;;) {
      const waiting = await this.#store.waiting(party.name, BATCH);
      if (waiting.length === 0) return;
      for (const { id, envelope } of waiting) {
        try {
          await this.#push(party, envelopeFor(party, envelope));
          await this.#store.delivered(id);
        } catch (error) {
          if (!(error instanceof PrivacyError) || error.status >= 500) throw error;
          await this.#store.refused(id, error.message);
        }
      }
    }
  }

  get parties(): readonly Party[] {
    return this.#parties.others;
  }
}
