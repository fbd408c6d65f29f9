"use client";
import { useTranslations } from "next-intl";
import { useRef } from "react";
import { useRouter } from "@/i18n/navigation.ts";
import { DECIMALS } from "@/ui/amount.tsx";
import { FRESH, type OfferQuery, SCORES, searchOf } from "./query.ts";

const WAIT_MS = 350;
const FIELDS = ["text", "mode", "assurance", "from", "to", "fresh", "leastScore"] as const;

/** What is looked for; the address of the page follows, so that a search can be kept and sent on. */
export function OfferSearch({ query }: { query: OfferQuery }) {
  const t = useTranslations("home");
  const u = useTranslations("units");
  const router = useRouter();
  const form = useRef<HTMLFormElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const go = () => {
    if (!form.current) return;
    const data = new FormData(form.current);
    const given = (name: string) => (data.get(name) as string | null)?.trim() ?? "";
    const price = Number(given("price"));
    const search = searchOf({
      ...(Object.fromEntries(FIELDS.map((name) => [name, given(name)])) as Partial<OfferQuery>),
      mostPrice: price > 0 ? String(Math.round(price * 10 ** DECIMALS)) : "",
      where: query.where,
    });
    router.replace(search.size ? `/?${search}` : "/", { scroll: false });
  };
  const soon = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(go, WAIT_MS);
  };
  return (
    <search>
      <form
        ref={form}
        className="search"
        onSubmit={(event) => {
          event.preventDefault();
          go();
        }}
        onChange={soon}
      >
        <div className="field grow">
          <label htmlFor="text">{t("what")}</label>
          <input
            id="text"
            name="text"
            type="search"
            className="input"
            defaultValue={query.text}
            placeholder={t("whatHint")}
            maxLength={100}
          />
        </div>
        <div className="field">
          <label htmlFor="mode">{t("kind")}</label>
          <select id="mode" name="mode" className="input" defaultValue={query.mode}>
            <option value="">{t("any")}</option>
            <option value="0">{u("mode.open")}</option>
            <option value="1">{u("mode.sealed")}</option>
            <option value="2">{u("mode.dataset")}</option>
          </select>
        </div>
        <div className="field">
          <label htmlFor="assurance">{t("device")}</label>
          <select id="assurance" name="assurance" className="input" defaultValue={query.assurance}>
            <option value="">{t("any")}</option>
            <option value="2">{u("assurance.tpm")}</option>
            <option value="1">{u("assurance.software")}</option>
          </select>
        </div>
        <div className="field">
          <label htmlFor="price">{t("mostPrice")}</label>
          <input
            id="price"
            name="price"
            type="number"
            min="0"
            step="any"
            className="input"
            defaultValue={query.mostPrice ? Number(query.mostPrice) / 10 ** DECIMALS : ""}
          />
        </div>
        <details className="more" open={Boolean(query.from || query.to || query.fresh || query.leastScore)}>
          <summary>{t("more")}</summary>
          <div className="search">
            {(["from", "to"] as const).map((name) => (
              <div className="field" key={name}>
                <label htmlFor={name}>{t(`${name}Day`)}</label>
                <input id={name} name={name} type="date" className="input" defaultValue={query[name]} />
              </div>
            ))}
            <div className="field">
              <label htmlFor="fresh">{t("fresh")}</label>
              <select id="fresh" name="fresh" className="input" defaultValue={query.fresh}>
                <option value="">{t("any")}</option>
                {FRESH.map((seconds) => (
                  <option key={seconds} value={seconds}>
                    {t(`freshWithin.${seconds}`)}
                  </option>
                ))}
              </select>
            </div>
            <div className="field">
              <label htmlFor="leastScore">{t("leastScore")}</label>
              <select id="leastScore" name="leastScore" className="input" defaultValue={query.leastScore}>
                <option value="">{t("any")}</option>
                {SCORES.map((percent) => (
                  <option key={percent} value={percent}>
                    {t("atLeast", { percent: Number(percent) })}
                  </option>
                ))}
              </select>
            </div>
          </div>
        </details>
      </form>
    </search>
  );
}
