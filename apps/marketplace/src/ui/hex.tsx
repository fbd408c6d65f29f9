"use client";
import { useTranslations } from "next-intl";
import { useState } from "react";

/** A hash or address: shortened to read, whole to copy. */
export function Hash({ value, label, whole = false }: { value: string; label?: string; whole?: boolean }) {
  const t = useTranslations("site");
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(value);
    setCopied(true);
    setTimeout(() => setCopied(false), 2_000);
  };
  return (
    <span className="hash">
      <code title={value}>{whole || value.length <= 20 ? value : `${value.slice(0, 8)}…${value.slice(-6)}`}</code>
      <button
        type="button"
        className="copy"
        onClick={() => void copy()}
        aria-label={t("copy", { what: label ?? value })}
      >
        <svg
          viewBox="0 0 16 16"
          width="14"
          height="14"
          fill="none"
          stroke="currentColor"
          strokeWidth="1.5"
          aria-hidden="true"
        >
          {copied ? (
            <path d="m3 8.500 3.500 3.500L13 4.500" />
          ) : (
            <path d="M6 5.500h7.500V14H6zM10 5.500V2H2.500v8.500H6" />
          )}
        </svg>
      </button>
    </span>
  );
}
