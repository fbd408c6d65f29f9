"use client";
import { type WindowBundle, type WindowReport } from "@msec/core";
import { useFormatter, useTranslations } from "next-intl";
import { type Stage, Stages } from "@/features/verify/stages.tsx";

/** Each thing that was proved, in plain words; the evidence one click deeper. */
export function Proof({
  report,
  bundle,
  milliseconds,
}: {
  report: WindowReport;
  bundle: WindowBundle;
  milliseconds?: number | undefined;
}) {
  const t = useTranslations("proof");
  const format = useFormatter();
  const { certified } = report;
  const stages: Stage[] = [
    {
      name: "device",
      text: t("device", { packs: report.packs }),
      evidence: [
        [t("deviceId"), report.deviceId],
        [t("keyHash"), report.claims.deviceKey.keyHash],
        [t("keyEpoch"), String(report.claims.deviceKey.keyEpoch)],
      ],
    },
    {
      name: "contents",
      text: t("contents", { readings: report.readings }),
      evidence: [[t("streamId"), report.streamId]],
    },
    {
      name: "complete",
      text: t("complete", { empty: report.emptySlots, gaps: report.gaps, erased: report.erased, late: report.late }),
      evidence: [
        [t("fromSlot"), String(report.fromSlot)],
        [t("toSlot"), String(report.toSlot)],
        [t("asOf"), String(bundle.window.asOfEpoch)],
      ],
    },
    {
      name: "epoch",
      text: t("epoch", {
        number: report.epoch.number,
        time: format.dateTime(report.epoch.closedAt, { dateStyle: "medium", timeStyle: "medium" }),
      }),
      evidence: [
        [t("epochHash"), report.epoch.hash],
        [t("packPath"), `${bundle.anchoring.path.length} × 32`],
      ],
    },
    {
      name: "committee",
      text: t("committee", { signers: report.signers.length }),
      evidence: [
        [t("configDigest"), report.committee],
        ...report.signers.map((signer, i) => [`${t("signer")} ${i + 1}`, signer] as const),
      ],
    },
    {
      name: "chain",
      text: certified
        ? t(certified.pinned ? "certified" : "sealed", {
            seals: certified.seals,
            validators: certified.validators.length,
          })
        : t("askChain", { anchor: report.claims.anchor }),
      evidence: [
        [t("anchor"), report.claims.anchor],
        ...report.claims.epochs.map(({ number, hash }) => [`${t("epochWord")} ${number}`, hash] as const),
      ],
    },
  ];
  return (
    <section className="card" aria-labelledby="proof">
      <div className="row apart">
        <h2 id="proof">{t("title")}</h2>
        <span className="badge good" data-testid="verified">
          {t("verified")}
        </span>
      </div>
      <Stages stages={stages} />
      {report.recorded > 0 ? <p className="note">{t("recorded", { packs: report.recorded })}</p> : null}
      {milliseconds ? (
        <p className="soft small">
          {t("speed", {
            seconds: milliseconds / 1000,
            rate: Math.round((report.readings / milliseconds) * 1000),
          })}
        </p>
      ) : null}
    </section>
  );
}
