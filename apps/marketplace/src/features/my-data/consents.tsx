"use client";
import { type Hex, MODE, purposeHash, ZERO_ADDRESS } from "@msec/core";
import { useQuery } from "@tanstack/react-query";
import { abiStream } from "@msec/trade";
import { useFormatter, useTranslations } from "next-intl";
import { useCity } from "@/features/city/context.tsx";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { useTx } from "@/features/tx/use-tx.ts";
import { askIndexer, type IndexedGrant, type Page } from "@/lib/indexer.ts";
import { Hash } from "@/ui/hex.tsx";
import { type OwnStream } from "./use-streams.ts";

const YEAR_MS = 365 * 86_400_000;

/** Who may have the data, for what, until when; withdrawn as easily as given. */
export function Consents({ stream: { streamId, info, owner } }: { stream: OwnStream }) {
  const t = useTranslations("mydata");
  const format = useFormatter();
  const city = useCity();
  const tx = useTx();
  const grants = useQuery({
    queryKey: ["grants", streamId],
    queryFn: () => askIndexer<Page<IndexedGrant>>(`/grants?stream=${streamId}&limit=200`),
    refetchInterval: 3_000,
  });
  const busy = ["simulating", "signing", "submitted"].includes(tx.state.step);
  const standing = grants.data?.items.filter((grant) => grant.standing && Number(grant.untilMs) > Date.now()) ?? [];
  const purposes = new Map(city.purposes.map((purpose) => [purposeHash(purpose) as string, purpose.text]));
  const struct = abiStream(info.preimage);
  const send = (functionName: string, args: unknown[], what: string) =>
    tx.send({ contract: "ConsentRegistry", functionName, args: [struct, ...args], what });
  const open = [...purposes].filter(([hash]) => !standing.some(({ purpose }) => purpose === hash));
  return (
    <section className="stack tight">
      <h3>{t("consents")}</h3>
      {standing.length === 0 ? <p className="soft">{t("noConsents")}</p> : null}
      <ul className="tiles list">
        {standing.map((grant) => (
          <li key={`${grant.purpose}${grant.grantee}`} className="card" data-consent={grant.grantee}>
            <p>{purposes.get(grant.purpose) ?? <Hash value={grant.purpose} label={t("purpose")} />}</p>
            <p className="soft small">
              {grant.grantee === ZERO_ADDRESS ? t("anyone") : <Hash value={grant.grantee} label={t("grantee")} />} ·{" "}
              {t("until", { date: format.dateTime(Number(grant.untilMs), { dateStyle: "medium" }) })}
            </p>
            <p>
              <button
                type="button"
                className="button small"
                disabled={busy}
                onClick={() => void send("revoke", [grant.purpose, grant.grantee], "revoke")}
              >
                {t("withdraw")}
              </button>
            </p>
          </li>
        ))}
      </ul>
      <div className="row">
        {standing.length > 1 ? (
          <button
            type="button"
            className="button small"
            disabled={busy}
            onClick={() => void send("revokeAll", [], "revoke")}
          >
            {t("withdrawAll")}
          </button>
        ) : null}
        {owner && info.preimage.mode !== MODE.sealed
          ? open.map(([hash, text]) => (
              <button
                key={hash}
                type="button"
                className="button small"
                disabled={busy}
                title={text}
                onClick={() =>
                  void send("grant", [hash as Hex, ZERO_ADDRESS, 0n, BigInt(Date.now() + YEAR_MS)], "grant")
                }
              >
                {t("give", { purpose: text.length > 40 ? `${text.slice(0, 40)}…` : text })}
              </button>
            ))
          : null}
      </div>
      <TxStatus state={tx.state} />
    </section>
  );
}
