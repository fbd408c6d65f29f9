/** Why a step of trade could not be taken. */
export type TradeCode =
  /** No operator answers, or none has a good answer: another time or another operator may have. */
  | "unanswered"
  /** An operator answers with something else than was asked for. */
  | "wrong-answer"
  /** It is not anchored, or not complete, yet. */
  | "not-yet"
  /** The window holds more than is served or sold at once. */
  | "too-large"
  /** There is nothing of the kind. */
  | "none"
  /** The offer is closed. */
  | "closed"
  /** The stream is of a kind that is not sold in this way. */
  | "wrong-mode"
  /** An order is expired, not signed by whom it names, or does not fit the other. */
  | "no-match";

/** A step of trade that can't be taken; `message` is one sentence for whoever trades. */
export class TradeError extends Error {
  readonly code: TradeCode;
  constructor(code: TradeCode, message: string) {
    super(message);
    this.name = "TradeError";
    this.code = code;
  }
}
