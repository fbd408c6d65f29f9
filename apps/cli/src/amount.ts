import { Problem } from "./problem.ts";

/** A whole number of the token's smallest units, above 0. */
export function amountOf(text: string | undefined, option: string): bigint {
  if (text === undefined || !/^[1-9]\d{0,27}$/.test(text))
    throw new Problem(`${option} takes a whole number of units above 0, not ${text ?? "nothing"}`, 2);
  return BigInt(text);
}
