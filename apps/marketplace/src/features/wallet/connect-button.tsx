"use client";
import dynamic from "next/dynamic";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { useConnection } from "wagmi";

const WalletDialog = dynamic(() => import("./wallet-dialog.tsx").then((m) => m.WalletDialog), { ssr: false });

export function ConnectButton() {
  const t = useTranslations("wallet");
  const { address, isConnected } = useConnection();
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" className={`button small ${isConnected ? "" : "primary"}`} onClick={() => setOpen(true)}>
        {isConnected && address ? (
          <>
            <span className="hidden-text">{t("account")} </span>
            <code>{`${address.slice(0, 6)}…${address.slice(-4)}`}</code>
          </>
        ) : (
          t("connect")
        )}
      </button>
      {open ? <WalletDialog onClose={() => setOpen(false)} /> : null}
    </>
  );
}
