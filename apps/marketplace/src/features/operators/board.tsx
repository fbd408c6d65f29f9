"use client";
import { useQuery } from "@tanstack/react-query";
import { useFormatter, useTranslations } from "next-intl";
import { type ReactNode } from "react";
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

function Operator({ n, name, address }: { n: number; name: string; address: string }) {
  const t = useTranslations("operators");
  const status = useFigure(`custody-${n}`, () => readJson<CustodyStatus>(`/api/operators/${n}/status`));
  const s = status.data;
  const up = s && !status.isError;
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
        <dl className="facts small">
          <dt>{t("confirmed")}</dt>
          <dd>
            {s.epoch} / {s.chainEpoch}
          </dd>
          <dt>{t("backlog")}</dt>
          <dd>{s.pending}</dd>
          <dt>{t("waitingForHolders")}</dt>
          <dd>{s.waitingForHolders}</dd>
          <dt>{t("peers")}</dt>
          <dd>
            {s.peers.filter(({ up: answers }) => answers).length} / {s.peers.length}
          </dd>
          <dt>{t("disagreements")}</dt>
          <dd>{s.refusedProposals.reduce((sum, { times }) => sum + times, 0)}</dd>
          <dt>{t("refusedPacks")}</dt>
          <dd>{s.refusedPacks.reduce((sum, { times }) => sum + times, 0)}</dd>
          <dt>{t("doubleSignatures")}</dt>
          <dd>{s.equivocations}</dd>
          <dt>{t("leads")}</dt>
          <dd>{s.leader.toLowerCase() === address ? t("yes") : t("no")}</dd>
        </dl>
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
        <dl className="facts small">
          <dt>{t("openDeals")}</dt>
          <dd>{s.deals.open ?? 0}</dd>
          <dt>{t("subscriptions")}</dt>
          <dd>{s.subscriptions}</dd>
          <dt>{t("bond")}</dt>
          <dd>{(Number(s.bond) / 1e6).toFixed(2)} MSEC</dd>
        </dl>
      ) : null}
      <div className="row apart small">
        <Hash value={address} label={name} />
        <Age at={status.dataUpdatedAt} failed={status.isError} />
      </div>
    </article>
  );
}

const STATUS = ["unknown", "active", "suspended", "quarantined", "retired"] as const;

function Devices() {
  const t = useTranslations("operators");
  const devices = useFigure("devices", () => askIndexer<Page<IndexedDevice>>("/devices?limit=200"));
  return (
    <section className="card" aria-labelledby="devices">
      <h2 id="devices">{t("devices")}</h2>
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
