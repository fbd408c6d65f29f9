import { type Hex } from "@msec/core";
import { notFound } from "next/navigation";
import { getTranslations, setRequestLocale } from "next-intl/server";
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
  return (
    <Messages of={["publish", "errors"]}>
      <div className="page">
        <div className="stack tight">
          <h1>{t("title")}</h1>
          <p className="lead">{info.preimage.name}</p>
        </div>
        <Wizard streamId={streamId as Hex} info={info} />
      </div>
    </Messages>
  );
}
