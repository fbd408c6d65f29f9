"use client";
import { type Hex } from "@msec/core";
import { useFormatter, useTranslations } from "next-intl";
import { useCity } from "@/features/city/context.tsx";
import { type Stage, Stages } from "@/features/verify/stages.tsx";
import { Link } from "@/i18n/navigation.ts";
import { type Trace, type Word } from "./use-trace.ts";

/** Packs of a slot or deal that are listed beside the one shown. */
const LISTED = 24;

/** Each step of the way in plain words, with what it rests on; what this browser checked itself is marked so. */
export function TraceView({ trace }: { trace: Trace }) {
  const t = useTranslations("trace");
  const format = useFormatter();
  const city = useCity();
  const { found, info, report, device, chain, content, deals, offers, erasures } = trace;
  const time = (ms: number) => format.dateTime(ms, { dateStyle: "medium", timeStyle: "medium" });
  const organisation = (hash: string) => city.organisations[hash as Hex] ?? hash;
  const signerName = (address: string) =>
    city.operators.find((operator) => operator.address.toLowerCase() === address.toLowerCase())?.name ?? t("signer");
  const evidence = device?.events.find(
    ({ name, args }) =>
      (name === "QuoteReported" && (args.quote as { evidenceDigest?: string }).evidenceDigest === trace.attestation) ||
      (name === "Enrolled" && (args.enrolment as { evidenceDigest?: string }).evidenceDigest === trace.attestation),
  );
  const quote =
    evidence?.name === "QuoteReported"
      ? (evidence.args.quote as Record<string, string | number>)
      : (device?.events.filter(({ name }) => name === "QuoteReported").at(-1)?.args.quote as
          | Record<string, string | number>
          | undefined);
  const proved = report ? "done" : trace.refused ? "failed" : "open";
  const worst = (...words: Word[]): NonNullable<Stage["mark"]> =>
    proved !== "done" ? proved : words.includes("other") ? "failed" : words.includes("away") ? "open" : "done";
  const said = (word: Word) => t(`chain.${word}`);
  const links = (items: { id: string; href: string; text: string }[], none: string) =>
    items.length === 0 ? (
      <p>{none}</p>
    ) : (
      <ul className="plain">
        {items.map(({ id, href, text }) => (
          <li key={id}>
            <Link href={href} prefetch={false}>
              {text}
            </Link>
          </li>
        ))}
      </ul>
    );

  const stages: Stage[] = [
    {
      name: "device",
      mark: device ? "done" : "open",
      text: device
        ? t(device.assurance === 2 ? "deviceTpm" : "deviceSoftware", {
            organisation: organisation(device.organisation),
            block: device.block,
            status: t(`status.${(["0", "1", "2", "3", "4"] as const)[device.status] ?? "0"}`),
          })
        : t("deviceUnknown"),
      evidence: [
        [t("deviceId"), info.preimage.deviceId],
        ...(device
          ? ([
              [t("owner"), device.owner],
              [t("organisation"), device.organisation],
              [t("enrolledIn"), device.tx],
            ] as const)
          : []),
      ],
    },
    {
      name: "boot",
      mark: quote ? "done" : "open",
      text: quote
        ? t(evidence?.name === "QuoteReported" ? "bootNamed" : evidence ? "bootEnrolled" : "bootLast", {
            quoted: time(Number(quote.quotedAtMs)),
            until: time(Number(quote.validUntilMs)),
          })
        : t(device?.assurance === 2 ? "bootNone" : "bootSoftware"),
      evidence: quote
        ? [
            [t("policy"), String(quote.policyId)],
            [t("pcrDigest"), String(quote.pcrDigest)],
            [t("evidenceDigest"), String(quote.evidenceDigest)],
          ]
        : [],
    },
    {
      name: "pack",
      mark: worst(chain.key),
      text: (
        <>
          <p>
            {t("pack", {
              seq: trace.seq,
              stream: info.preimage.name,
              count: trace.count,
              from: time(trace.fromMs),
              to: time(trace.toMs),
            })}
          </p>
          <p>{proved === "done" ? t("signature", { chain: said(chain.key) }) : trace.refused || t("notAnchored")}</p>
        </>
      ),
      evidence: [
        [t("headerDigest"), found.pack.headerDigest],
        [t("streamId"), found.streamId],
        [t("slot"), String(trace.slot)],
        ...(report ? ([[t("keyHash"), report.claims.deviceKey.keyHash]] as const) : []),
      ],
    },
    {
      name: "content",
      mark: content ? (content.fits ? "done" : "failed") : "open",
      text: content
        ? t(content.fits ? "content" : "contentWrong", { bytes: content.bytes })
        : t(erasures.length > 0 ? "contentErased" : "contentGone"),
      evidence: report ? [[t("contentDigest"), report.contentDigest]] : [],
    },
    ...(report && found.pack.anchoring
      ? ([
          {
            name: "epoch",
            text: t("epoch", {
              number: report.epoch.number,
              packs: found.pack.anchoring.epoch.packs,
              time: time(report.epoch.closedAt),
              steps: found.pack.anchoring.path.length,
            }),
            evidence: [
              [t("root"), found.pack.anchoring.epoch.root],
              ...found.pack.anchoring.path.map((sibling, i) => [`${t("sibling")} ${i + 1}`, sibling] as const),
            ],
          },
          {
            name: "committee",
            mark: worst(chain.committee),
            text: t("committee", { signers: report.signers.length, chain: said(chain.committee) }),
            evidence: [
              [t("configDigest"), report.committee],
              ...report.signers.map((signer) => [signerName(signer), signer] as const),
            ],
          },
          {
            name: "block",
            mark: worst(chain.epoch),
            text: trace.epoch
              ? t("block", { block: trace.epoch.block, time: time(trace.epoch.at * 1000), chain: said(chain.epoch) })
              : t("blockUnknown", { chain: said(chain.epoch) }),
            evidence: [
              [t("epochHash"), report.epoch.hash],
              ...(trace.epoch ? ([[t("anchoredIn"), trace.epoch.tx]] as const) : []),
            ],
          },
        ] satisfies Stage[])
      : []),
    {
      name: "offers",
      text: (
        <>
          <p>{t("offers", { offers: offers.length })}</p>
          {links(
            offers.map(({ offerId, open }) => ({
              id: offerId,
              href: `/offers/${offerId}`,
              text: t(open ? "offerOpen" : "offerClosed", { id: offerId.slice(0, 10) }),
            })),
            "",
          )}
        </>
      ),
      evidence: [],
    },
    {
      name: "deals",
      text: (
        <>
          <p>{t("deals", { deals: deals.length })}</p>
          {links(
            deals.map(({ dealId, state, buyer }) => ({
              id: dealId,
              href: `/deals/${dealId}`,
              text: t("deal", { state: t(`dealState.${state}`), buyer: `${buyer.slice(0, 8)}…${buyer.slice(-4)}` }),
            })),
            "",
          )}
        </>
      ),
      evidence: [],
    },
    {
      name: "erasures",
      text:
        erasures.length === 0
          ? t("noErasures")
          : erasures
              .map(({ number, completeAtMs }) =>
                completeAtMs ? t("erased", { number, time: time(completeAtMs) }) : t("erasing", { number }),
              )
              .join(" "),
      evidence: erasures.map(({ number, tx }) => [`${t("tombstone")} ${number}`, tx] as const),
    },
  ];
  const others = found.packs.filter(({ headerDigest }) => headerDigest !== found.pack.headerDigest);
  return (
    <section className="card" aria-labelledby="way" data-testid="trace">
      <div className="row apart">
        <h2 id="way">{t("way", { stream: info.preimage.name, seq: trace.seq })}</h2>
        <span className={`badge ${proved === "done" ? "good" : proved === "failed" ? "bad" : "warn"}`}>
          {t(`proved.${proved}`)}
        </span>
      </div>
      <Stages stages={stages} />
      {others.length > 0 ? (
        <details>
          <summary>{t("others", { packs: others.length })}</summary>
          <ul className="row list">
            {others.slice(0, LISTED).map(({ headerDigest, seq, readings }) => (
              <li key={headerDigest}>
                <Link href={`/trace?pack=${headerDigest}`} prefetch={false} className="button small">
                  {t("other", { seq, readings })}
                </Link>
              </li>
            ))}
          </ul>
        </details>
      ) : null}
    </section>
  );
}
