"use client";
import { useTranslations } from "next-intl";
import { type ReactNode } from "react";
import { Hash } from "@/ui/hex.tsx";

/** One thing on the way of a proof, in plain words, with what it rests on. */
export interface Stage {
  name: string;
  text: ReactNode;
  evidence: readonly (readonly [label: string, value: string])[];
  /** `open`: neither shown nor refuted. Done if left out. */
  mark?: "done" | "failed" | "open";
}

const MARKS = { done: "✓", failed: "✗", open: "?" };

/** The stages one after the other; the evidence one click deeper. */
export function Stages({ stages }: { stages: readonly Stage[] }) {
  const t = useTranslations("proof");
  return (
    <ol className="steps">
      {stages.map(({ name, text, evidence, mark = "done" }) => (
        <li key={name} className={mark} data-stage={name} data-mark={mark}>
          <span className="mark" role="img" aria-label={t(`mark.${mark}`)}>
            {MARKS[mark]}
          </span>
          <div className="stack tight">
            {typeof text === "string" ? <p>{text}</p> : text}
            {evidence.length > 0 ? (
              <details>
                <summary className="soft small">{t("evidence")}</summary>
                <dl className="facts small">
                  {evidence.map(([label, value]) => (
                    <div className="pair" key={label}>
                      <dt>{label}</dt>
                      <dd>{value.startsWith("0x") ? <Hash value={value} label={label} /> : value}</dd>
                    </div>
                  ))}
                </dl>
              </details>
            ) : null}
          </div>
        </li>
      ))}
    </ol>
  );
}
