"use client";
import { type Hex } from "@msec/core";
import { useQueryClient } from "@tanstack/react-query";
import { useTranslations } from "next-intl";
import { useEffect, useState } from "react";
import { useConfig, useConnection } from "wagmi";
import { useCity } from "@/features/city/context.tsx";
import { forget, pendingTxs, type PendingTx } from "./store.ts";

const ASK_MS = 1_000;
/** A transaction that is not mined after this is not waited for in silence. */
const LOST_MS = 60_000;

/** Transactions under way, after a reload too; each ends with a word of what became of it. */
export function TxToasts() {
  const t = useTranslations("tx");
  const config = useConfig();
  const { chainId } = useCity();
  const { address } = useConnection();
  const queries = useQueryClient();
  const [pending, setPending] = useState<PendingTx[]>([]);
  const [ended, setEnded] = useState<{ hash: Hex; what: string; ok: boolean }[]>([]);
  const account = address?.toLowerCase() as Hex | undefined;

  useEffect(() => {
    const read = () => setPending(account ? pendingTxs(chainId, account) : []);
    read();
    window.addEventListener("msec.tx", read);
    window.addEventListener("storage", read);
    return () => {
      window.removeEventListener("msec.tx", read);
      window.removeEventListener("storage", read);
    };
  }, [account, chainId]);

  useEffect(() => {
    if (pending.length === 0 || !account) return;
    const timer = setInterval(() => {
      for (const tx of pending)
        void import("wagmi/actions")
          .then(({ getTransactionReceipt }) => getTransactionReceipt(config, { hash: tx.hash }))
          .then(async (receipt) => {
            forget(chainId, account, tx.hash);
            setEnded((list) => [
              ...list.filter(({ hash }) => hash !== tx.hash),
              { hash: tx.hash, what: tx.what, ok: receipt.status === "success" },
            ]);
            await queries.invalidateQueries();
          })
          .catch(() => undefined);
    }, ASK_MS);
    return () => clearInterval(timer);
  }, [pending, account, chainId, config, queries]);

  return (
    <div className="toasts" aria-live="polite">
      {pending.map((tx) => (
        <div className="toast" key={tx.hash}>
          <span className="row">
            <span className="spinner" aria-hidden="true" />
            {t(`what.${tx.what}` as never)}
          </span>
          {Date.now() - tx.sentAt > LOST_MS ? (
            <>
              <span className="small">{t("lost")}</span>
              <button
                type="button"
                className="button small"
                onClick={() => account && forget(chainId, account, tx.hash)}
              >
                {t("forget")}
              </button>
            </>
          ) : null}
        </div>
      ))}
      {ended.map(({ hash, what, ok }) => (
        <div className="toast" key={hash} role={ok ? undefined : "alert"}>
          <span className="row apart">
            <span>
              <span className={`badge ${ok ? "good" : "bad"}`}>{t(ok ? "done" : "reverted")}</span>{" "}
              {t(`what.${what}` as never)}
            </span>
            <button
              type="button"
              className="button quiet small"
              onClick={() => setEnded((list) => list.filter((tx) => tx.hash !== hash))}
            >
              {t("dismiss")}
            </button>
          </span>
        </div>
      ))}
    </div>
  );
}
