import { type Hex, MODE } from "@msec/core";
import { notFound } from "next/navigation";
import { getTranslations, setRequestLocale } from "next-intl/server";
import { PlaceForm } from "@/features/description/place-form.tsx";
import { SampleForm } from "@/features/description/sample-form.tsx";
import { Wizard } from "@/features/publish/wizard.tsx";
import { Messages } from "@/i18n/messages.tsx";
import { streamInfo } from "@/server/operators.ts";

type Props = { params: Promise<{ locale: string; streamId: string }> };

export async function generateMetadata({ params }: Props) {
  const t = await getTranslations({ locale: (await params).locale, namespace: "publish" });
  return { title: t("title") };
}

export default async function PublishPage({ params }: Props) {
  const { locale, streamId } = await params;
  setRequestLocale(locale);
  const info = /^0x[0-9a-f]{64}$/.test(streamId) ? await streamInfo(streamId as Hex) : undefined;
  if (!info) notFound();
  const t = await getTranslations("publish");
  const { firstSlot, lastSlot } = info;
  const { mode } = info.preimage;
  return (
    <Messages of={["publish", "description", "sample", "errors"]}>
      <div className="page">
        <div className="stack tight">
          <h1>{t("title")}</h1>
          <p className="lead">{info.preimage.name}</p>
        </div>
        <div className="columns">
          <div className="stack">
            <Wizard streamId={streamId as Hex} info={info} />
          </div>
          <div className="stack">
            <PlaceForm streamId={streamId as Hex} info={info} />
            {mode === MODE.open && firstSlot !== null && lastSlot !== null ? (
              <SampleForm streamId={streamId as Hex} info={info} bounds={{ first: firstSlot, last: lastSlot }} />
            ) : null}
          </div>
        </div>
      </div>
    </Messages>
  );
}
