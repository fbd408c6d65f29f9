"use client";
import { type Hex, LAST_SLOT, MODE, purposeHash, ZERO32, ZERO_ADDRESS } from "@msec/core";
import { abiStream, type StreamInfo } from "@msec/trade";
import { useQuery } from "@tanstack/react-query";
import { useTranslations } from "next-intl";
import { useId, useState } from "react";
import { keccak256, toBytes } from "viem";
import { useConnection } from "wagmi";
import { useCity } from "@/features/city/context.tsx";
import { BOND, COMPLAIN_SECONDS, DELIVER_SECONDS, FEE_PER_MILLE } from "@/features/trade/defaults.ts";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { useTx } from "@/features/tx/use-tx.ts";
import { Link } from "@/i18n/navigation.ts";
import { askIndexer, type IndexedDevice } from "@/lib/indexer.ts";
import { Amount, unitsFrom } from "@/ui/amount.tsx";
import { Choice } from "@/ui/choice.tsx";
import { Field } from "@/ui/field.tsx";
import { Hash } from "@/ui/hex.tsx";

const STEPS = ["price", "delivery", "check"] as const;

/** An offer in three steps: what it costs, who delivers and under which licence, and all of it once more before signing. */
export function Wizard({ streamId, info: { preimage, head } }: { streamId: Hex; info: StreamInfo }) {
  const t = useTranslations("publish");
  const { markets, addresses, purposes } = useCity();
  const { address } = useConnection();
  const account = address?.toLowerCase();
  const tx = useTx();
  const licenceField = useId();
  const [step, setStep] = useState(0);
  const [price, setPrice] = useState("");
  const [market, setMarket] = useState(0);
  const [licence, setLicence] = useState("");
  const device = useQuery({
    queryKey: ["device", preimage.deviceId],
    queryFn: () => askIndexer<IndexedDevice>(`/devices/${preimage.deviceId}`),
  });
  const unitPrice = unitsFrom(price);
  const sealed = preimage.mode === MODE.sealed;
  const perDay = preimage.slotSeconds > 0 ? 86_400 / preimage.slotSeconds : 0;
  const busy = ["simulating", "signing", "submitted"].includes(tx.state.step);
  const fallback = markets.find((_, i) => i !== market);
  const consent = useQuery({
    queryKey: ["publish-consent", streamId],
    queryFn: () =>
      askIndexer<{ items: { standing: boolean; purpose: string }[] }>(`/grants?stream=${streamId}&limit=50`),
  });
  const consented = consent.data?.items.some(
    ({ standing, purpose }) => standing && purposes.some((known) => purposeHash(known) === purpose),
  );

  if (!account) return <p className="note">{t("connect")}</p>;
  if (device.data && device.data.owner !== account) return <p className="note warn">{t("notYours")}</p>;
  if (tx.state.step === "mined")
    return (
      <section className="card stack" data-testid="published">
        <h2>{t("done")}</h2>
        {consented === false ? <p className="note warn">{t("noConsent")}</p> : null}
        <p className="row">
          <Link className="button" href="/">
            {t("toOffers")}
          </Link>
          <Link className="button" href="/my-data">
            {t("toMyData")}
          </Link>
        </p>
      </section>
    );
  const publish = () => {
    const terms = {
      deliverer: markets[market]?.address,
      fallbackDeliverer: fallback?.address ?? ZERO_ADDRESS,
      token: addresses.MSecToken,
      unitPrice,
      feePerMille: FEE_PER_MILLE,
      bond: BOND,
      deliverSeconds: DELIVER_SECONDS,
      complainSeconds: COMPLAIN_SECONDS,
      fromSlot: 0,
      toSlot: preimage.mode === MODE.dataset ? 0 : LAST_SLOT,
      terms: licence ? keccak256(toBytes(licence)) : ZERO32,
    };
    const args = [abiStream(preimage), terms];
    void tx.send({ contract: "Marketplace", functionName: "publish", args, what: "publish" });
  };
  return (
    <section className="card stack" aria-labelledby="step">
      <p className="soft">{t("stepOf", { step: step + 1, of: STEPS.length })}</p>
      <h2 id="step">{t(`step.${STEPS[step] as "price"}`)}</h2>
      {step === 0 ? (
        <>
          <Field
            label={t(sealed ? "pricePack" : "priceReading")}
            inputMode="decimal"
            value={price}
            onChange={(event) => setPrice(event.target.value)}
            wrong={price !== "" && unitPrice === undefined ? t("wrongPrice") : undefined}
          />
          {unitPrice !== undefined && sealed && perDay > 0 ? (
            <p className="soft small">
              {t("aDay")} <Amount units={unitPrice * BigInt(Math.round(perDay))} />
            </p>
          ) : null}
        </>
      ) : null}
      {step === 1 ? (
        <>
          <Choice
            label={t("market")}
            hint={t("marketHint", { percent: FEE_PER_MILLE / 10 })}
            options={markets.map(({ name }) => name)}
            chosen={market}
            onChoose={setMarket}
          />
          <div className="field">
            <label htmlFor={licenceField}>{t("licence")}</label>
            <span className="hint">{t("licenceHint")}</span>
            <textarea
              id={licenceField}
              className="input"
              rows={5}
              maxLength={10_000}
              value={licence}
              onChange={(event) => setLicence(event.target.value)}
            />
          </div>
        </>
      ) : null}
      {step === 2 ? (
        <>
          <dl className="facts">
            <dt>{t("what")}</dt>
            <dd>{preimage.name}</dd>
            <dt>{t(sealed ? "pricePack" : "priceReading")}</dt>
            <dd>
              <Amount units={unitPrice ?? 0n} />
            </dd>
            <dt>{t("market")}</dt>
            <dd>
              {markets[market]?.name}
              {fallback ? `, ${t("orElse")} ${fallback.name}` : ""}
            </dd>
            <dt>{t("stake")}</dt>
            <dd>
              <Amount units={BOND} />
            </dd>
            <dt>{t("times")}</dt>
            <dd>{t("timesOf", { deliver: DELIVER_SECONDS, complain: COMPLAIN_SECONDS })}</dd>
            <dt>{t("licence")}</dt>
            <dd>{licence ? <Hash value={keccak256(toBytes(licence))} label={t("licence")} /> : t("noLicence")}</dd>
          </dl>
          {head === null ? <p className="note warn">{t("nothingYet")}</p> : null}
          {consented === false ? <p className="note warn">{t("noConsent")}</p> : null}
        </>
      ) : null}
      <p className="row">
        {step > 0 ? (
          <button type="button" className="button" disabled={busy} onClick={() => setStep(step - 1)}>
            {t("back")}
          </button>
        ) : null}
        {step < 2 ? (
          <button
            type="button"
            className="button primary"
            disabled={unitPrice === undefined}
            onClick={() => setStep(step + 1)}
          >
            {t("next")}
          </button>
        ) : (
          <button type="button" className="button primary" disabled={busy} onClick={publish}>
            {t("publish")}
          </button>
        )}
      </p>
      <TxStatus state={tx.state} />
    </section>
  );
}
