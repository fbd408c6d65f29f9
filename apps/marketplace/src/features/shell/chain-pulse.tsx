"use client";
import { useTranslations } from "next-intl";
import { useBlockNumber } from "wagmi";

/** The chain's newest block: what a page shows is as new as this. */
export function ChainPulse() {
  const t = useTranslations("site");
  const { data, isError } = useBlockNumber({ watch: true });
  return (
    <span className="row">
      <span className={`badge ${isError ? "bad" : "good"}`}>{isError ? t("chainAway") : t("chainUp")}</span>
      <span>{data === undefined ? "" : t("block", { block: Number(data) })}</span>
    </span>
  );
}
