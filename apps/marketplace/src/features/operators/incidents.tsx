"use client";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useFormatter, useTranslations } from "next-intl";
import { type FormEvent, useState } from "react";
import { useCity } from "@/features/city/context.tsx";
import { useSession } from "@/features/session/use-session.ts";
import { readJson } from "@/lib/indexer.ts";
import { type Incident } from "@/server/incidents/incidents.ts";
import { Ago } from "@/ui/ago.tsx";
import { Field } from "@/ui/field.tsx";
import { Hash } from "@/ui/hex.tsx";
import { Failure, Waiting } from "@/ui/waiting.tsx";
import { useTick } from "./use-tick.ts";

const ASK_MS = 2_000;
/** The server looks every few seconds: if it has not for this long, nothing here is of now. */
const STALE_MS = 20_000;
const KEY = ["incidents"];

interface Told {
  lookedAtMs: number;
  items: Incident[];
}

/** What is wrong, since when, and who takes care of it. */
export function Incidents() {
  const t = useTranslations("incidents");
  const told = useQuery({
    queryKey: KEY,
    queryFn: () => readJson<Told>("/api/incidents"),
    refetchInterval: ASK_MS,
    retry: false,
  });
  const now = useTick();
  const going = told.data?.items.filter(({ endedAtMs }) => endedAtMs === null) ?? [];
  const over = told.data?.items.filter(({ endedAtMs }) => endedAtMs !== null) ?? [];
  const old = told.data !== undefined && now !== undefined && now - told.data.lookedAtMs > STALE_MS;
  return (
    <section className="card" aria-labelledby="incidents" data-testid="incidents">
      <div className="row apart">
        <h2 id="incidents">{t("title")}</h2>
        {told.data ? (
          <span className={`badge ${old || told.isError ? "bad" : going.length > 0 ? "warn" : "good"}`}>
            {old || told.isError ? t("old") : t("going", { incidents: going.length })}
          </span>
        ) : null}
      </div>
      <SignedInAs />
      {told.isPending ? <Waiting>{t("asking")}</Waiting> : null}
      {told.isError ? <Failure reason={told.error.message} retry={() => void told.refetch()} /> : null}
      <ul className="stack list">
        {going.map((incident) => (
          <One key={incident.id} incident={incident} />
        ))}
      </ul>
      {over.length > 0 ? (
        <details>
          <summary>{t("over", { incidents: over.length })}</summary>
          <ul className="stack list">
            {over.map((incident) => (
              <One key={incident.id} incident={incident} />
            ))}
          </ul>
        </details>
      ) : null}
    </section>
  );
}

function SignedInAs() {
  const t = useTranslations("incidents");
  const { organisations } = useCity();
  const { session, connected, signIn, signOut, busy, failed } = useSession();
  return (
    <div className="stack tight small">
      {session ? (
        <p className="row">
          <span>{t("signedIn")}</span>
          <Hash value={session.address} label={t("account")} />
          <span className={`badge ${session.organisation ? "accent" : "warn"}`}>
            {session.organisation
              ? (organisations[session.organisation] ?? `${session.organisation.slice(0, 10)}…`)
              : t("noOrganisation")}
          </span>
          <button type="button" className="button small" onClick={() => void signOut()}>
            {t("signOut")}
          </button>
        </p>
      ) : connected ? (
        <p className="row">
          <button type="button" className="button small" disabled={busy} onClick={() => void signIn(t("statement"))}>
            {t("signIn")}
          </button>
          <span className="soft">{t("signInHint")}</span>
        </p>
      ) : (
        <p className="soft">{t("connect")}</p>
      )}
      {failed ? (
        <p role="alert" className="note warn">
          {failed === "rejected" ? t("rejected") : t("failed", { reason: failed.reason })}
        </p>
      ) : null}
    </div>
  );
}

function One({ incident }: { incident: Incident }) {
  const t = useTranslations("incidents");
  const format = useFormatter();
  const now = useTick();
  const { organisations } = useCity();
  const { id, kind, subject, detail, startedAtMs, endedAtMs, acknowledged } = incident;
  const state = endedAtMs !== null ? "over" : acknowledged ? "acknowledged" : "open";
  const seconds = Math.max(0, Math.round(((endedAtMs ?? now ?? startedAtMs) - startedAtMs) / 1000));
  return (
    <li
      className={`note stack tight ${state === "open" ? "bad" : state === "acknowledged" ? "warn" : ""}`}
      data-incident={`${kind} ${subject}`}
      data-state={state}
    >
      <div className="row apart">
        <p className="strong">{t(`kind.${kind}`, { subject, detail })}</p>
        <span className={`badge ${state === "open" ? "bad" : state === "acknowledged" ? "warn" : ""}`}>
          {t(`state.${state}`)}
        </span>
      </div>
      <p className="small">{t(`advice.${kind}`)}</p>
      {detail && kind !== "backlog" && kind !== "stuck" && kind !== "behind" && kind !== "indexerBehind" ? (
        <p className="soft small">{t("told", { detail })}</p>
      ) : null}
      <p className="soft small">
        {t("since", { time: format.dateTime(startedAtMs, { dateStyle: "medium", timeStyle: "medium" }) })}{" "}
        {t(endedAtMs === null ? "lasts" : "lasted", { minutes: Math.floor(seconds / 60), seconds: seconds % 60 })}
      </p>
      {acknowledged ? (
        <p className="small">
          {t("acknowledgedBy", {
            organisation: organisations[acknowledged.organisation] ?? `${acknowledged.organisation.slice(0, 10)}…`,
            note: acknowledged.note,
          })}{" "}
          <Hash value={acknowledged.by} label={t("account")} /> <Ago ms={acknowledged.atMs} />
        </p>
      ) : null}
      {state === "open" ? <Acknowledge id={id} /> : null}
    </li>
  );
}

function Acknowledge({ id }: { id: number }) {
  const t = useTranslations("incidents");
  const queries = useQueryClient();
  const { session } = useSession();
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  if (!session?.organisation) return null;
  const send = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const note = (new FormData(event.currentTarget).get("note") as string).trim();
    if (!note) return setWrong(t("noteEmpty"));
    setBusy(true);
    setWrong("");
    try {
      await readJson(`/api/incidents/${id}/acknowledgement`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ note }),
      });
      await queries.invalidateQueries({ queryKey: KEY });
    } catch (error) {
      setWrong((error as Error).message);
    }
    setBusy(false);
  };
  return (
    <form className="row" onSubmit={(event) => void send(event)}>
      <Field label={t("note")} name="note" maxLength={500} wrong={wrong || undefined} autoComplete="off" />
      <button type="submit" className="button small" disabled={busy}>
        {t("acknowledge")}
      </button>
    </form>
  );
}
