"use client";
import { useTranslations } from "next-intl";
import { Failure } from "@/ui/waiting.tsx";

export default function Broken({ error, reset }: { error: Error; reset: () => void }) {
  const t = useTranslations("site");
  return (
    <div className="page">
      <h1>{t("broken")}</h1>
      <Failure reason={error.message} retry={reset} />
    </div>
  );
}
