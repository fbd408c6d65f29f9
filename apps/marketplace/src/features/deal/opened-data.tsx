"use client";
import { useTranslations } from "next-intl";
import { Readings } from "@/features/readings/readings.tsx";
import { Failure, Waiting } from "@/ui/waiting.tsx";
import { Exports } from "./exports.tsx";
import { Proof } from "./proof.tsx";
import { type DealStory } from "./types.ts";
import { type OpenedState } from "./use-opened.ts";
import { useRecover } from "./use-recover.ts";

/** What was bought: first the proof, then the readings, then the files. */
export function OpenedData({
  opened,
  mine,
  story,
  again,
}: {
  opened: OpenedState;
  mine: boolean;
  story: DealStory;
  /** Looks once more for what opens it. */
  again: () => void;
}) {
  const t = useTranslations("deal");
  if (opened.step === "opened")
    return (
      <>
        <Proof report={opened.report} bundle={opened.bundle} milliseconds={opened.milliseconds} />
        <Readings schema={opened.bundle.stream.schema} rows={opened.report.rows} />
        <Exports bundle={opened.bundle} />
      </>
    );
  return (
    <section className="card" aria-labelledby="data">
      <h2 id="data">{t("data")}</h2>
      {opened.step === "looking" ? <Waiting>{t("looking")}</Waiting> : null}
      {opened.step === "waiting" ? (
        story.state === "funded" ? (
          <Waiting>{t("waitingForKeys")}</Waiting>
        ) : (
          <p className="note">{t("nothingDelivered")}</p>
        )
      ) : null}
      {opened.step === "opening" ? (
        <Waiting>{opened.of ? t("openingPacks", { done: opened.done, of: opened.of }) : t("opening")}</Waiting>
      ) : null}
      {opened.step === "not-kept" && !mine ? <p className="note">{t("notYours")}</p> : null}
      {opened.step === "not-kept" && mine ? <Recover story={story} done={again} /> : null}
      {opened.step === "fault" ? (
        <p className="note bad" role="alert">
          {t(opened.fault.key ? "faultUnopenable" : "faultWrongKey")}
        </p>
      ) : null}
      {opened.step === "failed" ? (
        <p className="note bad" role="alert">
          {t("openFailed", { reason: opened.reason })}
        </p>
      ) : null}
    </section>
  );
}

function Recover({ story, done }: { story: DealStory; done: () => void }) {
  const t = useTranslations("deal");
  const { busy, reason, recover } = useRecover(story, done);
  return (
    <div className="note stack tight">
      <p>{t("secretElsewhere")}</p>
      <p>
        <button type="button" className="button small" disabled={busy} onClick={() => void recover()}>
          {t("recover")}
        </button>
      </p>
      {busy ? <Waiting>{t("recovering")}</Waiting> : null}
      {reason ? <Failure reason={reason} /> : null}
    </div>
  );
}
