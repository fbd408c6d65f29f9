/** A request that is refused. `status` is the HTTP status that the caller gets, `message` what to do about it. */
export class PrivacyError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "PrivacyError";
    this.status = status;
  }
}
