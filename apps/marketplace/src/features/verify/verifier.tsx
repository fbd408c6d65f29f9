"use client";
import { decodeBundle, type ReadingReport, valueText, type WindowBundle, type WindowReport } from "@msec/core";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { useConfig } from "wagmi";
import { readContract } from "wagmi/actions";
import { useCity } from "@/features/city/context.tsx";
import { Proof } from "@/features/deal/proof.tsx";
import { Readings } from "@/features/readings/readings.tsx";
import { inWorker } from "@/features/trade/work.ts";
import { Waiting } from "@/ui/waiting.tsx";

const LARGEST = 256 * 1024 * 1024;

type State =
  | { step: "empty" }
  | { step: "reading"; done: number; of: number }
  | { step: "wrong"; reason: string }
  | { step: "proved"; bundle: WindowBundle; report: WindowReport; milliseconds: number; chain: ChainWord }
  | { step: "reading-proved"; report: ReadingReport; chain: ChainWord };

/** What this city's chain says of the epochs that a file claims. */
type ChainWord = "confirms" | "denies" | "other" | "away";

/** Takes a proof file, here only, and tells what it proves. */
export function Verifier() {
  const t = useTranslations("verify");
  const city = useCity();
  const config = useConfig();
  const [state, setState] = useState<State>({ step: "empty" });

  const askChain = async ({ claims }: WindowReport | ReadingReport): Promise<ChainWord> => {
    const here =
      claims.chainId === city.chainId && claims.anchor.toLowerCase() === city.addresses.DataAnchor.toLowerCase();
    if (!here) return "other";
    const { abis } = await import("@/lib/contracts.ts");
    try {
      const words = await Promise.all(
        claims.epochs.map(({ number }) =>
          readContract(config, {
            address: city.addresses.DataAnchor,
            abi: abis.DataAnchor,
            functionName: "epochHash",
            args: [BigInt(number)],
          }),
        ),
      );
      return words.every((word, i) => word === claims.epochs[i]?.hash) ? "confirms" : "denies";
    } catch {
      return "away";
    }
  };

  const take = async (file: File | undefined) => {
    if (!file) return;
    if (file.size > LARGEST) return setState({ step: "wrong", reason: t("tooLarge") });
    setState({ step: "reading", done: 0, of: 0 });
    try {
      const text = await file.text();
      const started = performance.now();
      const options = city.validators ? { validators: city.validators } : {};
      const report = await inWorker("verify", { text, ...options }, (done, of) =>
        setState({ step: "reading", done, of }),
      );
      const milliseconds = performance.now() - started;
      const chain = await askChain(report);
      if (report.kind === "reading") return setState({ step: "reading-proved", report, chain });
      setState({ step: "proved", bundle: decodeBundle(text) as WindowBundle, report, milliseconds, chain });
    } catch (error) {
      setState({ step: "wrong", reason: (error as Error).message });
    }
  };

  return (
    <>
      <div
        className="card drop"
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault();
          void take(event.dataTransfer.files[0]);
        }}
      >
        <label htmlFor="proof-file" className="strong">
          {t("choose")}
        </label>
        <input
          id="proof-file"
          type="file"
          accept="application/json,.json"
          onChange={(event) => void take(event.target.files?.[0])}
        />
        <p className="soft small">{t("stays")}</p>
      </div>
      {state.step === "reading" ? (
        <Waiting>{state.of ? t("packs", { done: state.done, of: state.of }) : t("reading")}</Waiting>
      ) : null}
      {state.step === "wrong" ? (
        <div role="alert" className="note bad" data-testid="not-proved">
          <p className="strong">{t("notProved")}</p>
          <p>{state.reason}</p>
        </div>
      ) : null}
      {state.step === "proved" || state.step === "reading-proved" ? (
        <p
          className={`note ${state.chain === "confirms" ? "good" : state.chain === "denies" ? "bad" : "warn"}`}
          data-testid="chain-word"
        >
          {t(`chain.${state.chain}`)}
        </p>
      ) : null}
      {state.step === "proved" && state.chain !== "denies" ? (
        <>
          <Proof report={state.report} bundle={state.bundle} milliseconds={state.milliseconds} />
          <Readings schema={state.bundle.stream.schema} rows={state.report.rows} />
        </>
      ) : null}
      {state.step === "reading-proved" && state.chain !== "denies" ? (
        <section className="card" aria-labelledby="one">
          <h2 id="one">{t("oneReading", { index: state.report.index + 1, of: state.report.of })}</h2>
          <p className="figure">
            {state.report.row.n}: {valueText(state.report.row)} {state.report.row.u}
          </p>
          <p>{new Date(state.report.row.tMs).toISOString()}</p>
        </section>
      ) : null}
    </>
  );
}
