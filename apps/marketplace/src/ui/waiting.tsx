"use client";
import { useTranslations } from "next-intl";
import { type ReactNode, useEffect, useState } from "react";

const LONG_MS = 20_000;

/** A spinner that says what is waited for, and, when it takes long, what to do. */
export function Waiting({ children }: { children: ReactNode }) {
  const t = useTranslations("site");
  const [long, setLong] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLong(true), LONG_MS);
    return () => clearTimeout(timer);
  }, []);
  return (
    <p role="status" className="row">
      <span className="spinner" aria-hidden="true" />
      <span>
        {children}
        {long ? ` ${t("long")}` : ""}
      </span>
    </p>
  );
}

/** Something that could not be shown, why, and the way on. */
export function Failure({ reason, retry }: { reason: string; retry?: (() => void) | undefined }) {
  const t = useTranslations("site");
  return (
    <div role="alert" className="note bad stack tight">
      <p>{reason}</p>
      {retry ? (
        <p>
          <button type="button" className="button small" onClick={retry}>
            {t("retry")}
          </button>
        </p>
      ) : null}
    </div>
  );
}
