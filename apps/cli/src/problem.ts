import { NetworkProblem } from "@msec/quorum";
import { TradeError } from "@msec/trade";

/** Something that the person at the terminal can do something about: shown as one sentence, without a stack. */
export class Problem extends Error {
  /** Exit code: 1 something was refused or failed, 2 wrong use. */
  readonly exitCode: number;
  constructor(message: string, exitCode = 1) {
    super(message);
    this.name = "Problem";
    this.exitCode = exitCode;
  }
}

/** The problem that an error is to the person at the terminal, if it is one. */
export function problemOf(error: unknown): Problem | undefined {
  if (error instanceof TradeError) return new Problem(error.message, error.code === "wrong-mode" ? 2 : 1);
  if (error instanceof NetworkProblem) return new Problem(error.message);
  return error instanceof Problem ? error : undefined;
}
