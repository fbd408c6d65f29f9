import { expect } from "vitest";
import { ProtocolError, type RefusalCode } from "../src/index.ts";

/** Runs what must be refused and returns the refusal; anything thrown that is not a ProtocolError is a failure. */
export function refusal(run: () => unknown): ProtocolError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError);
    return error as ProtocolError;
  }
  throw new Error("it was not refused");
}

export function expectRefusal(code: RefusalCode, run: () => unknown, message?: RegExp): void {
  const error = refusal(run);
  expect(`${error.code}: ${error.message}`).toMatch(new RegExp(`^${code}: `));
  if (message) expect(error.message).toMatch(message);
}

/** Runs a decoder on hostile input: it may succeed or refuse, but not fail in any other way. */
export function neverCrashes(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError);
  }
}
