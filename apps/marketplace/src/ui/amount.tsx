"use client";
import { useFormatter } from "next-intl";

/** Decimals of the city's token (MSecToken). */
export const DECIMALS = 6;

/** An amount of the city's token as people read it. */
export function Amount({ units }: { units: bigint | string }) {
  const format = useFormatter();
  return (
    <span className="amount">
      {format.number(Number(BigInt(units)) / 10 ** DECIMALS, {
        minimumFractionDigits: 2,
        maximumFractionDigits: DECIMALS,
      })}{" "}
      MSEC
    </span>
  );
}

/** The smallest units of an amount as people write it, with a point or a comma; undefined where it is none, or not above 0. */
export function unitsFrom(text: string): bigint | undefined {
  const match = /^(\d{1,12})(?:[.,](\d{1,6}))?$/.exec(text.trim());
  if (!match) return undefined;
  const units = BigInt(match[1] as string) * 10n ** BigInt(DECIMALS) + BigInt((match[2] ?? "").padEnd(DECIMALS, "0"));
  return units > 0n ? units : undefined;
}
