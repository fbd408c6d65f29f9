/** Why a byte string, a pack, an epoch or a bundle was refused. One code a reason, so that each can be counted. */
export type RefusalCode =
  | "malformed"
  | "oversize"
  | "wrong-stream"
  | "bad-signature"
  | "unknown-key"
  | "revoked"
  | "inactive-device"
  | "slot"
  | "time"
  | "order"
  | "branch"
  | "after-end"
  | "equivocation"
  | "content-digest"
  | "key-commitment"
  | "unopenable"
  | "records"
  | "root"
  | "padding"
  | "epoch"
  | "inclusion"
  | "committee"
  | "completeness"
  | "erased"
  | "key-tree"
  | "deal"
  | "unattested"
  | "validators"
  | "state";

/** Numbers of the codes on the wire: `Refused.reason` (uint16). Append only. */
export const REFUSAL_NUMBERS: Record<RefusalCode, number> = {
  malformed: 1,
  oversize: 2,
  "wrong-stream": 3,
  "bad-signature": 4,
  "unknown-key": 5,
  revoked: 6,
  "inactive-device": 7,
  slot: 8,
  time: 9,
  order: 10,
  branch: 11,
  "after-end": 12,
  equivocation: 13,
  "content-digest": 14,
  "key-commitment": 15,
  unopenable: 16,
  records: 17,
  root: 18,
  padding: 19,
  epoch: 20,
  inclusion: 21,
  committee: 22,
  completeness: 23,
  erased: 24,
  "key-tree": 25,
  deal: 26,
  unattested: 27,
  validators: 28,
  state: 29,
};

/** The code behind a number received in `Refused`, or undefined for one that this version does not know. */
export function refusalCode(reason: number): RefusalCode | undefined {
  return (Object.keys(REFUSAL_NUMBERS) as RefusalCode[]).find((code) => REFUSAL_NUMBERS[code] === reason);
}

/** A rule of the protocol was broken. `message` says what to do about it; `value` is what offended. */
export class ProtocolError extends Error {
  readonly code: RefusalCode;
  readonly value: unknown;
  constructor(code: RefusalCode, message: string, value?: unknown) {
    super(message);
    this.name = "ProtocolError";
    this.code = code;
    this.value = value;
  }
}

/** Throws a {@link ProtocolError} unless `condition` holds. */
export function demand(condition: boolean, code: RefusalCode, message: string, value?: unknown): asserts condition {
  if (!condition) throw new ProtocolError(code, message, value);
}
