import { demand } from "./errors.ts";

const NUMBER = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;
const MAX_DIGITS = 1_000;
const MAX_EXPONENT = 1_000_000;

/**
 * A decimal number mantissa · 10^exponent that no double's shortest text stands for (CBOR tag 4, RFC 8949 section
 * 3.4.4). The mantissa is not a multiple of ten.
 */
export class Decimal {
  readonly exponent: number;
  readonly mantissa: number | bigint;

  constructor(exponent: number, mantissa: number | bigint) {
    this.exponent = exponent;
    this.mantissa = typeof mantissa === "bigint" && isSafe(mantissa) ? Number(mantissa) : mantissa;
  }

  get [Symbol.toStringTag](): string {
    return "Decimal";
  }

  /** The nearest double. */
  toNumber(): number {
    return Number(`${this.mantissa}e${this.exponent}`);
  }

  /** Plain decimal text, without an exponent where that takes at most 40 characters. */
  toString(): string {
    const negative = this.mantissa < 0;
    const digits = String(negative ? -this.mantissa : this.mantissa);
    const sign = negative ? "-" : "";
    if (this.exponent >= 0 && digits.length + this.exponent <= 40) return sign + digits + "0".repeat(this.exponent);
    const point = digits.length + this.exponent;
    if (this.exponent < 0 && point > 0) return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
    if (this.exponent < 0 && point > -20) return `${sign}0.${"0".repeat(-point)}${digits}`;
    return `${sign}${digits}e${this.exponent}`;
  }

  /** The content of a tag 4; refuses what {@link parseNumber} would have written as an integer or a float. */
  static fromCbor(content: unknown): Decimal {
    demand(Array.isArray(content) && content.length === 2, "malformed", "tag 4 holds [exponent, mantissa]", content);
    const [exponent, mantissa] = content as [unknown, unknown];
    demand(
      typeof exponent === "number" && Number.isSafeInteger(exponent) && Math.abs(exponent) <= MAX_EXPONENT,
      "malformed",
      `the exponent of tag 4 is a whole number within ±${MAX_EXPONENT}`,
      exponent,
    );
    demand(
      typeof mantissa === "bigint" || (typeof mantissa === "number" && Number.isSafeInteger(mantissa)),
      "malformed",
      "the mantissa of tag 4 is a whole number",
      mantissa,
    );
    demand(String(mantissa).length <= MAX_DIGITS, "malformed", `a number has at most ${MAX_DIGITS} digits`);
    const value = canonical(BigInt(mantissa), exponent);
    demand(
      value instanceof Decimal &&
        value.exponent === exponent &&
        value.mantissa === mantissa &&
        BigInt(mantissa) % 10n !== 0n,
      "malformed",
      "tag 4 is only for numbers that no double's shortest text stands for, with 10 not dividing the mantissa",
      content,
    );
    return value;
  }
}

const isSafe = (m: bigint) => m >= BigInt(Number.MIN_SAFE_INTEGER) && m <= BigInt(Number.MAX_SAFE_INTEGER);

/** Sign, digits and exponent of decimal text, without trailing zeros in the mantissa; undefined for other text. */
function parts(text: string): { mantissa: bigint; exponent: number } | undefined {
  const match = NUMBER.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = "", fraction = "", exponent = "0"] = match;
  const digits = (whole + fraction).replace(/^0+/, "");
  if (whole + fraction === "" || digits.length > MAX_DIGITS || exponent.length > 8) return undefined;
  if (digits === "") return { mantissa: 0n, exponent: 0 };
  const stripped = digits.replace(/0+$/, "");
  const magnitude = BigInt(stripped);
  const tens = Number(exponent) - fraction.length + (digits.length - stripped.length);
  if (Math.abs(tens) > MAX_EXPONENT) return undefined;
  return { mantissa: sign === "-" ? -magnitude : magnitude, exponent: tens };
}

/** The protocol's one form of mantissa · 10^exponent: a double where its shortest text is that number. */
function canonical(mantissa: bigint, exponent: number): number | Decimal {
  if (mantissa === 0n) return 0;
  const double = Number(`${mantissa}e${exponent}`);
  if (Number.isFinite(double)) {
    const shortest = parts(String(double));
    const wanted = parts(`${mantissa}e${exponent}`);
    if (shortest?.mantissa === wanted?.mantissa && shortest?.exponent === wanted?.exponent) return double;
  }
  return new Decimal(exponent, mantissa);
}

/**
 * Reads decimal text so that the number comes back exactly: a double where the text stands for what the double's
 * shortest text stands for, else a {@link Decimal}. −0 becomes 0. Undefined for text that is not a number, has more than
 * 1,000 digits or an exponent beyond ±1,000,000.
 */
export function parseNumber(text: string): number | Decimal | undefined {
  const read = parts(text.trim());
  return read && canonical(read.mantissa, read.exponent);
}
