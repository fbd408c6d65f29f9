"use client";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { useDisconnect } from "wagmi";
import { forgetVault, storedVault } from "./browser-key.ts";

/** Keeping a copy of the key in this browser, and taking it out of it. */
export function KeyCare() {
  const t = useTranslations("wallet");
  const disconnect = useDisconnect();
  const [sure, setSure] = useState(false);
  const save = () => {
    const vault = storedVault();
    if (!vault) return;
    const url = URL.createObjectURL(new Blob([JSON.stringify(vault, null, 2)], { type: "application/json" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `m-sec-key-${vault.address.slice(2, 10)}.json`;
    link.click();
    URL.revokeObjectURL(url);
  };
  return (
    <div className="note stack tight">
      <p>{t("keepACopy")}</p>
      <div className="row">
        <button type="button" className="button small" onClick={save}>
          {t("saveFile")}
        </button>
        <button
          type="button"
          className={`button small ${sure ? "danger" : ""}`}
          onClick={() => {
            if (!sure) return setSure(true);
            forgetVault();
            disconnect.mutate({});
          }}
        >
          {sure ? t("reallyForget") : t("forget")}
        </button>
      </div>
    </div>
  );
}
