"use client";
import { type WindowBundle } from "@msec/core";
import { type Format, FORMATS } from "@msec/trade";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { inWorker } from "@/features/trade/work.ts";
import { saveBlob } from "@/ui/save.ts";
import { fileName } from "./file-name.ts";

const NAMES: Record<Format, string> = {
  csv: "CSV",
  senml: "SenML",
  "ngsi-ld": "NGSI-LD",
  sensorthings: "SensorThings",
};

/** The readings as files, and the proof that `msec verify` takes. */
export function Exports({ bundle }: { bundle: WindowBundle }) {
  const t = useTranslations("deal");
  const [problem, setProblem] = useState("");
  const base = fileName(bundle.stream.name);
  const save = async (make: () => Promise<Blob>, name: string) => {
    setProblem("");
    try {
      saveBlob(await make(), name);
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  return (
    <section className="card" aria-labelledby="files">
      <h2 id="files">{t("files")}</h2>
      <div className="row">
        {(Object.keys(FORMATS) as Format[]).map((format) => {
          const { mediaType, extension } = FORMATS[format];
          return (
            <button
              key={format}
              type="button"
              className="button small"
              onClick={() => void save(() => inWorker("export", { format, mediaType, bundle }), `${base}.${extension}`)}
            >
              {NAMES[format]}
            </button>
          );
        })}
        <button
          type="button"
          className="button small primary"
          onClick={() => void save(() => inWorker("save", { bundle }), `${base}.proof.json`)}
        >
          {t("proofFile")}
        </button>
      </div>
      <p className="soft small">{t("proofFileHint")}</p>
      {problem ? (
        <p role="alert" className="note bad">
          {problem}
        </p>
      ) : null}
    </section>
  );
}
