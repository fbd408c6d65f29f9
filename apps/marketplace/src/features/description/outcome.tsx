"use client";
import { useTranslations } from "next-intl";
import { Failure } from "@/ui/waiting.tsx";
import { type useDescription } from "./use-description.ts";

/** How far a description has come. */
export function Outcome({ of: { account, isPending, error, data } }: { of: ReturnType<typeof useDescription> }) {
  const t = useTranslations("description");
  if (!account) return <p className="soft">{t("connect")}</p>;
  if (isPending)
    return (
      <p role="status" className="row">
        <span className="spinner" aria-hidden="true" />
        {t("signing")}
      </p>
    );
  if (error) return <Failure reason={error.message} />;
  return data ? (
    <p role="status" className="note good">
      {t("done", { took: data.took, of: data.of })}
    </p>
  ) : null;
}
