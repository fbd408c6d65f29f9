"use client";
import { useTranslations } from "next-intl";
import { Hash } from "@/ui/hex.tsx";
import { Lines } from "./lines.tsx";
import { type Audit, type AuditedContract } from "./use-audit.ts";
import { useReason, VerdictBadge } from "./verdict.tsx";

/** Every contract: where it is, and whether what runs there is what this repository builds. */
export function Contracts({ audit, stale }: { audit: Audit; stale: boolean }) {
  const t = useTranslations("audit");
  return (
    <section className="card" aria-labelledby="contracts">
      <h2 id="contracts">{t("contracts")}</h2>
      <p className="soft">{t("contractsHint", { block: audit.codeBlock })}</p>
      <div className="scroll broad" role="region" aria-labelledby="contracts" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">{t("contract")}</th>
              <th scope="col">{t("address")}</th>
              <th scope="col">{t("code")}</th>
              <th scope="col">{t("inflows")}</th>
              <th scope="col">{t("deployed")}</th>
            </tr>
          </thead>
          <tbody>
            {audit.contracts.map((contract) => (
              <Row
                key={contract.name}
                contract={contract}
                paused={audit.access?.paused[contract.name]}
                read={audit.access !== null}
                stale={stale}
              />
            ))}
          </tbody>
        </table>
      </div>
      <p className="soft small">
        {t("contractsCommand")} <code>npx msec contracts --rpc URL --manifest manifest.json</code>
      </p>
    </section>
  );
}

function Row({
  contract,
  paused,
  read,
  stale,
}: {
  contract: AuditedContract;
  paused: boolean | null | undefined;
  read: boolean;
  stale: boolean;
}) {
  const t = useTranslations("audit");
  const reasonOf = useReason();
  const { name, source, address, verdict, reason, compiler, deployedIn, differences } = contract;
  return (
    <tr data-contract={name}>
      <th scope="row">
        {name}
        <div className="soft small">
          <code>{source}</code>
        </div>
      </th>
      <td>
        <Hash value={address} label={name} />
      </td>
      <td>
        <div className="stack tight">
          <span>
            <VerdictBadge verdict={verdict} stale={stale} />
          </span>
          {reason ? <span className="small">{reasonOf(reason)}</span> : null}
          {compiler ? <span className="soft small">{compiler}</span> : null}
          {differences.length > 0 ? (
            <details className="small">
              <summary>{t("differences", { count: differences.length })}</summary>
              <Lines label={t("differences", { count: differences.length })}>
                {differences.map(({ where, what, expected, found }) => (
                  <li key={where}>
                    {where}: {what}: {JSON.stringify(found)} ≠ {JSON.stringify(expected)}
                  </li>
                ))}
              </Lines>
            </details>
          ) : null}
        </div>
      </td>
      <td>
        {paused === undefined && read ? (
          <span className="soft small">{t("noPause")}</span>
        ) : (
          <span
            className={`badge ${stale ? "" : paused ? "bad" : paused === false ? "good" : "warn"}`}
            data-paused={String(paused)}
          >
            {paused ? t("paused") : paused === false ? t("open") : t("verdict.unknown")}
          </span>
        )}
      </td>
      <td className="small">
        {deployedIn ? (
          <>
            {t("atBlockShort", { block: deployedIn.block })}
            <br />
            <Hash value={deployedIn.tx} label={t("deployed")} />
          </>
        ) : (
          "–"
        )}
      </td>
    </tr>
  );
}
