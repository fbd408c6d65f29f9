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
