"use client";
import { useQuery } from "@tanstack/react-query";
import { useFormatter, useTranslations } from "next-intl";
import { Fragment, type ReactNode } from "react";
import { useCity } from "@/features/city/context.tsx";
import {
  askIndexer,
  type IndexedDevice,
  type IndexedEpoch,
  type IndexerStatus,
  type Page,
  readJson,
} from "@/lib/indexer.ts";
import { Ago } from "@/ui/ago.tsx";
import { Hash } from "@/ui/hex.tsx";
import { Incidents } from "./incidents.tsx";
import { useTick } from "./use-tick.ts";
import { type CustodyStatus, type MarketStatus } from "./status.ts";

const ASK_MS = 2_000;
/** Older than this, a figure is shown as old. */
const STALE_MS = 10_000;

/** Asks again and again; keeps the last answer, which then grows old in sight. */
function useFigure<T>(key: string, ask: () => Promise<T>) {
  return useQuery({ queryKey: ["operators", key], queryFn: ask, refetchInterval: ASK_MS, retry: false });
}

/** The city in one glance: each number has its age, and old ones look old. */
export function Board() {
  const t = useTranslations("operators");
  const format = useFormatter();
  const city = useCity();
  const indexer = useFigure("indexer", () => askIndexer<IndexerStatus>("/status"));
  const epochs = useFigure("epochs", () => askIndexer<Page<IndexedEpoch>>("/epochs?limit=30"));
  const newest = epochs.data?.items[0];
  const oldest = epochs.data?.items.at(-1);
  const readings = epochs.data?.items.reduce((sum, epoch) => sum + epoch.readings, 0) ?? 0;
  const seconds = newest && oldest ? Math.max(1, newest.at - oldest.at) : 1;
  return (
    <>
      <Incidents />
      <section className="tiles" aria-label={t("chain")}>
        <Figure
          label={t("chainHead")}
          metric="indexer /status chainHead"
          at={indexer.dataUpdatedAt}
          failed={indexer.isError}
        >
          {indexer.data ? format.number(indexer.data.chainHead) : "–"}
        </Figure>
        <Figure
          label={t("indexerLag")}
          metric="indexer /status chainHead − block"
          at={indexer.dataUpdatedAt}
          failed={indexer.isError}
        >
          {indexer.data ? t("blocks", { blocks: indexer.data.chainHead - indexer.data.block }) : "–"}
        </Figure>
        <Figure label={t("newestEpoch")} metric="indexer /epochs" at={epochs.dataUpdatedAt} failed={epochs.isError}>
          {newest ? format.number(newest.number) : "–"}
        </Figure>
        <Figure
          label={t("anchored")}
          metric="indexer /epochs readings ÷ time"
          at={epochs.dataUpdatedAt}
          failed={epochs.isError}
        >
          {newest ? t("perSecond", { rate: Math.round(readings / seconds) }) : "–"}
        </Figure>
      </section>
      {newest ? (
        <p className="soft">
          {t("lastEpoch")} <Ago ms={newest.at * 1000} />
        </p>
      ) : null}
      {city.validators ? <Validators block={indexer.data?.chainHead} /> : null}
      <section className="stack" aria-labelledby="operators">
        <h2 id="operators">{t("custody")}</h2>
        <div className="tiles">
          {city.operators.map(({ name, address }, n) => (
            <Operator key={address} n={n} name={name} address={address} />
          ))}
        </div>
      </section>
      <section className="stack" aria-labelledby="deliverers">
        <h2 id="deliverers">{t("deliverers")}</h2>
        <div className="tiles">
          {city.markets.map(({ name, address }, n) => (
            <Deliverer key={address} n={n} name={name} address={address} />
          ))}
        </div>
      </section>
      <Devices />
    </>
  );
}

function Figure({
  label,
  metric,
  at,
  failed,
  children,
}: {
  label: string;
  metric: string;
  at: number;
  failed: boolean;
  children: ReactNode;
}) {
  return (
    <div className="card" title={metric}>
      <p className="soft">{label}</p>
      <p className="figure">{children}</p>
      <Age at={at} failed={failed} />
    </div>
  );
}

/** How old a figure is, and whether that is too old. */
function Age({ at, failed }: { at: number; failed: boolean }) {
  const t = useTranslations("operators");
  const now = useTick();
  const age = at && now ? Math.max(0, now - at) : 0;
  const old = failed || age > STALE_MS;
  if (!at) return <span className="badge">{failed ? t("away") : t("asking")}</span>;
  return (
    <span className={`badge ${old ? "bad" : ""}`}>{t(old ? "old" : "age", { seconds: Math.round(age / 1000) })}</span>
  );
}

type Fact = [
  label: Parameters<ReturnType<typeof useTranslations<"operators">>>[0],
  metric: string,
  value: string | number,
];

/** Figures of a service, each with the name of its metric. */
function Facts({ of }: { of: Fact[] }) {
  const t = useTranslations("operators");
  return (
    <dl className="facts figures small">
      {of.map(([label, metric, value]) => (
        <Fragment key={label}>
          <dt title={metric}>{t(label)}</dt>
          <dd>{value}</dd>
        </Fragment>
      ))}
    </dl>
  );
}

const total = (counts: readonly { times: number }[]) => counts.reduce((sum, { times }) => sum + times, 0);

function Operator({ n, name, address }: { n: number; name: string; address: string }) {
  const t = useTranslations("operators");
  const format = useFormatter();
  const status = useFigure(`custody-${n}`, () => readJson<CustodyStatus>(`/api/operators/${n}/status`));
  const s = status.data;
  const up = s && !status.isError;
  const inSeconds = (seconds: number | null) =>
    seconds === null ? t("none") : format.number(seconds, { style: "unit", unit: "second", maximumFractionDigits: 2 });
  return (
    <article className="card" aria-label={name} data-operator={name} data-healthy={up ? s.healthy : false}>
      <div className="row apart">
        <h3>{name}</h3>
        <span className={`badge ${!up ? "bad" : s.healthy ? "good" : "warn"}`}>
          {!s && !status.isError ? t("asking") : !up ? t("away") : s.healthy ? t("well") : t("troubled")}
        </span>
      </div>
      {s && up
        ? s.problems.map((problem) => (
            <p key={problem} className="note warn small">
              {problem}
            </p>
          ))
        : null}
      {status.isError ? <p className="note bad small">{t("awayHint")}</p> : null}
      {s ? (
        <Facts
          of={[
            ["confirmed", "msec_epoch", `${s.epoch} / ${s.chainEpoch}`],
            ["lag", "msec_newest_anchor_seconds", inSeconds(s.anchorLagSeconds)],
            ["backlog", "msec_packs_pending", s.pending],
            ["waitingForHolders", "status waitingForHolders", s.waitingForHolders],
            ["signed", "msec_signed_epoch", s.signedEpoch],
            ["unconfirmed", "msec_unconfirmed_seconds", inSeconds(s.unconfirmedSeconds)],
            ["peers", "msec_peers_up", `${s.peers.filter(({ up: answers }) => answers).length} / ${s.peers.length}`],
            ["broker", "msec_broker_up", t(s.broker ? "connected" : "notConnected")],
            ["database", "msec_database_seconds", inSeconds(s.databaseSeconds)],
            ["disagreements", "msec_proposals_refused_total", total(s.refusedProposals)],
            ["refusedPacks", "msec_packs_refused_total", total(s.refusedPacks)],
            ["doubleSignatures", "msec_equivocations_total", s.equivocations],
            ["leads", "status leader", t(s.leader.toLowerCase() === address ? "yes" : "no")],
          ]}
        />
      ) : null}
      <div className="row apart small">
        <Hash value={address} label={name} />
        <Age at={status.dataUpdatedAt} failed={status.isError} />
      </div>
    </article>
  );
}

function Deliverer({ n, name, address }: { n: number; name: string; address: string }) {
  const t = useTranslations("operators");
  const status = useFigure(`market-${n}`, () => readJson<MarketStatus>(`/api/markets/${n}/status`));
  const s = status.data;
  const up = s && !status.isError;
  return (
    <article className="card" aria-label={name}>
      <div className="row apart">
        <h3>{name}</h3>
        <span className={`badge ${!up ? "bad" : s.healthy ? "good" : "warn"}`}>
          {!s && !status.isError ? t("asking") : !up ? t("away") : s.healthy ? t("well") : t("troubled")}
        </span>
      </div>
      {s && up
        ? s.problems.map((problem) => (
            <p key={problem} className="note warn small">
              {problem}
            </p>
          ))
        : null}
      {s ? (
        <Facts
          of={[
            ["openDeals", "status deals.open", s.deals.open ?? 0],
            ["subscriptions", "status subscriptions", s.subscriptions],
            ["bond", "msec_bond_free", `${(Number(s.bond) / 1e6).toFixed(2)} MSEC`],
          ]}
        />
      ) : null}
      <div className="row apart small">
        <Hash value={address} label={name} />
        <Age at={status.dataUpdatedAt} failed={status.isError} />
      </div>
    </article>
  );
}

/** Who seals the chain's blocks, as the first operator that answers sees it. */
function Validators({ block }: { block: number | undefined }) {
  const t = useTranslations("operators");
  const city = useCity();
  const seen = useFigure("validators", async () => {
    for (const n of city.operators.keys()) {
      const status = await readJson<CustodyStatus>(`/api/operators/${n}/status`).catch(() => undefined);
      if (status?.validators) return status.validators;
    }
    throw new Error("no operator answers");
  });
  return (
    <section className="card" aria-labelledby="validators">
      <div className="row apart">
        <h2 id="validators">{t("validators")}</h2>
        <Age at={seen.dataUpdatedAt} failed={seen.isError} />
      </div>
      <ul className="plain" title="status validators">
        {seen.data?.map(({ address, lastBlock }) => (
          <li key={address} className="row apart" data-validator={address}>
            <Hash value={address} label={t("validators")} />
            <span>
              {lastBlock === null ? t("noBlock") : t("lastSealed", { block: lastBlock })}
              {block !== undefined && lastBlock !== null && block > lastBlock
                ? ` · ${t("blocksAgo", { blocks: block - lastBlock })}`
                : ""}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

const STATUS = ["unknown", "active", "suspended", "quarantined", "retired"] as const;

function Devices() {
  const t = useTranslations("operators");
  const devices = useFigure("devices", () => askIndexer<Page<IndexedDevice>>("/devices?limit=200"));
  return (
    <section className="card" aria-labelledby="devices">
      <h2 id="devices">{t("devices")}</h2>
      <p className="row" data-testid="devices-by-status">
        {STATUS.map(
          (name, status) => [name, devices.data?.items.filter((d) => d.status === status).length ?? 0] as const,
        )
          .filter(([, count]) => count > 0)
          .map(([name, count]) => (
            <span key={name} className={`badge ${name === "active" ? "good" : "bad"}`}>
              {t(`state.${name}`)}: {count}
            </span>
          ))}
      </p>
      <div className="scroll" role="region" aria-labelledby="devices" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">{t("device")}</th>
              <th scope="col">{t("status")}</th>
              <th scope="col">{t("key")}</th>
              <th scope="col">{t("attested")}</th>
            </tr>
          </thead>
          <tbody>
            {devices.data?.items.map((device) => (
              <tr key={device.deviceId}>
                <td>
                  <Hash value={device.deviceId} label={t("device")} />
                </td>
                <td>
                  <span className={`badge ${device.status === 1 ? "good" : "bad"}`}>
                    {t(`state.${STATUS[device.status] ?? "unknown"}`)}
                  </span>
                </td>
                <td>
                  {device.assurance === 2 ? "TPM" : t("software")} · {device.keyEpoch}
                </td>
                <td>{device.attestedAtMs ? <Ago ms={device.attestedAtMs} /> : "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
