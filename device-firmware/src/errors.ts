export type DeviceCode =
  | "config"
  | "csv"
  | "time-order"
  | "sealed-overflow"
  | "reading-too-large"
  | "source-changed"
  | "stream-changed"
  | "not-initialised"
  | "outbox-in-use"
  | "outbox-damaged"
  | "outbox-full"
  | "disk-full"
  | "outbox-lost"
  | "clock"
  | "operator"
  | "release"
  | "sensor";

/** The device can't go on with something. `message` is a sentence a person can act on; `value` is what offended. */
export class DeviceError extends Error {
  readonly code: DeviceCode;
  readonly value: unknown;
  constructor(code: DeviceCode, message: string, value?: unknown, cause?: unknown) {
    super(message, { cause });
    this.name = "DeviceError";
    this.code = code;
    this.value = value;
  }
}

/** An error as log fields: code and sentence where it has them. */
export function errorFields(error: unknown): { code: string; error: string } {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  return { code: typeof code === "string" ? code : "unexpected", error: String(message ?? error) };
}
