"use client";
import { type Hex } from "@msec/core";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { useConfig, useConnection } from "wagmi";
import { Hash } from "@/ui/hex.tsx";
import { Lines } from "./lines.tsx";
import { type AuditedInvariant } from "./use-audit.ts";

type Asked = { same: number; other: string[] } | { failed: string };
interface Asker {
  request(asked: { method: string; params: unknown[] }): Promise<unknown>;
}

/** Which questions were put to the chain, and the same questions put again: to this site's node, or to the wallet's own. */
export function Calls({
  invariant,
  block,
  subject,
}: {
  invariant: AuditedInvariant;
  block: number;
  subject: string | null;
}) {
  const t = useTranslations("audit");
  const config = useConfig();
  const { connector } = useConnection();
  const [asked, setAsked] = useState<{ by: string; block: number; answer: Asked }>();
  const [busy, setBusy] = useState(false);
  const { calls, callsTotal, events } = invariant;

  const ask = async (by: string, asker: () => Promise<Asker>) => {
    setBusy(true);
    try {
      const provider = await asker();
      const at = `0x${block.toString(16)}`;
      const results = await Promise.all(
        calls.map(({ to, data }) => provider.request({ method: "eth_call", params: [{ to, data }, at] })),
      );
      const other = calls.flatMap(({ call, result }, i) => (results[i] === result ? [] : [call]));
      setAsked({ by, block, answer: { same: calls.length - other.length, other } });
    } catch (error) {
      setAsked({ by, block, answer: { failed: (error as Error).message.split("\n")[0] ?? "" } });
    }
    setBusy(false);
  };
  const curl = calls
    .map(
      ({ to, data }) =>
        `curl -s $RPC -H 'content-type: application/json' -d '${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_call", params: [{ to, data }, `0x${block.toString(16)}`] })}'`,
    )
    .join("\n");

  return (
    <details>
      <summary className="soft small">{t("how")}</summary>
      <div className="stack small">
        {subject ? (
          <p className="row">
            {t("token")} <Hash value={subject} label={t("token")} />
          </p>
        ) : null}
        {events.length > 0 ? <p>{t("events", { events: events.join(", ") })}</p> : null}
        {calls.length > 0 ? (
          <>
            <p>{t("calls", { shown: calls.length, total: callsTotal, block })}</p>
            <Lines label={t("how")}>
              {calls.map(({ contract, call, result }, i) => (
                <li key={`${i} ${call}`}>
                  {contract}.{call} → {shown(result as Hex)}
                </li>
              ))}
            </Lines>
            <div className="row">
              <button
                type="button"
                className="button small"
                disabled={busy}
                onClick={() => void ask(t("siteNode"), async () => config.getClient() as Asker)}
              >
                {t("askSite")}
              </button>
              {connector ? (
                <button
                  type="button"
                  className="button small"
                  disabled={busy}
                  onClick={() => void ask(t("walletNode"), async () => (await connector.getProvider()) as Asker)}
                >
                  {t("askWallet")}
                </button>
              ) : null}
              <span className="row">
                {t("curl")} <Hash value={curl} label={t("curl")} />
              </span>
            </div>
            {asked ? (
              <p
                role="status"
                className={`note ${"failed" in asked.answer ? "warn" : asked.answer.other.length > 0 ? "bad" : "good"}`}
              >
                {"failed" in asked.answer
                  ? t("askedFailed", { by: asked.by, reason: asked.answer.failed })
                  : asked.answer.other.length > 0
                    ? t("askedOther", { by: asked.by, calls: asked.answer.other.join("; ") })
                    : t("askedSame", { by: asked.by, calls: asked.answer.same, block: asked.block })}
              </p>
            ) : null}
          </>
        ) : null}
      </div>
    </details>
  );
}

/** One word as a number where it is a small one; longer answers shortened. */
function shown(result: Hex): string {
  if (result.length === 66 && /^0x0{32}/.test(result)) return BigInt(result).toString();
  return result.length > 66 ? `${result.slice(0, 34)}… (${(result.length - 2) / 2})` : result;
}
