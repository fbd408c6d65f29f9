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
