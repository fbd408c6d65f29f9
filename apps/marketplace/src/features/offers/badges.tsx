import { useTranslations } from "next-intl";

const MODES = ["open", "sealed", "dataset"] as const;

export function ModeBadge({ mode }: { mode: number }) {
  const t = useTranslations("units");
  const name = MODES[mode] ?? "open";
  return (
    <span className="badge accent" title={t(`modeHint.${name}`)}>
      {t(`mode.${name}`)}
    </span>
  );
}

/** How sure one can be of a device's key: 1 software, 2 TPM (IDeviceRegistry). */
export function AssuranceBadge({ assurance }: { assurance: number | null }) {
  const t = useTranslations("units");
  if (assurance === 2) return <span className="badge good">{t("assurance.tpm")}</span>;
  return <span className="badge warn">{t(assurance === 1 ? "assurance.software" : "assurance.unknown")}</span>;
}

/** How buyers rate the seller; nothing where nobody has. */
export function ScoreBadge({ score }: { score: number | null }) {
  const t = useTranslations("units");
  if (score === null) return null;
  return (
    <span className="badge" title={t("scoreHint")}>
      {t("score", { percent: Math.round(score) })}
    </span>
  );
}
