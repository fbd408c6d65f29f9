"use client";
import { useFormatter } from "next-intl";

/** Seconds as people say them: whole days, minutes or seconds. */
export function useDuration(): (seconds: number) => string {
  const format = useFormatter();
  return (seconds) => {
    const [size, unit] =
      seconds % 86_400 === 0
        ? ([86_400, "day"] as const)
        : seconds % 60 === 0
          ? ([60, "minute"] as const)
          : ([1, "second"] as const);
    return format.number(seconds / size, { style: "unit", unit, unitDisplay: "long" });
  };
}
