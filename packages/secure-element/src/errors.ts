export type SecureElementCode =
  | "key-missing"
  | "key-exposed"
  | "key-damaged"
  | "key-rotated"
  | "foreign-tpm"
  | "cleared"
  | "firmware"
  | "tpm-restarted"
  | "tpm-in-use"
  | "no-certificate"
  | "service";

/** The secure element can't do what was asked. `message` says what to do about it; `value` is what offended. */
export class SecureElementError extends Error {
  readonly code: SecureElementCode;
  readonly value: unknown;
  constructor(code: SecureElementCode, message: string, value?: unknown, cause?: unknown) {
    super(message, { cause });
    this.name = "SecureElementError";
    this.code = code;
    this.value = value;
  }
}
