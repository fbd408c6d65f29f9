"use client";
import { type Schema, type SenmlRecord, valueText } from "@msec/core";
import { type Row, tableOf } from "@msec/trade";
import { useFormatter, useTranslations } from "next-intl";
import { useMemo, useState } from "react";
import { Chart } from "./chart.tsx";

const PAGE = 24;

/** Readings as a chart of one quantity, and as the equal table. */
export function Readings({ schema, rows }: { schema: Schema; rows: SenmlRecord[] }) {
  const t = useTranslations("readings");
  const format = useFormatter();
  const [quantity, setQuantity] = useState(schema.quantities[0]?.name ?? "");
  const [page, setPage] = useState(0);
  const table = useMemo<Row[]>(() => [...tableOf(schema, rows)], [schema, rows]);
  const chosen = schema.quantities.find(({ name }) => name === quantity);
  const points = useMemo(
    () =>
      rows.flatMap((row) =>
        row.n === quantity && Number.isFinite(Number(valueText(row)))
          ? [{ tMs: row.tMs, value: Number(valueText(row)) }]
          : [],
      ),
    [rows, quantity],
  );
  const pages = Math.max(1, Math.ceil(table.length / PAGE));
  const shown = table.slice(page * PAGE, (page + 1) * PAGE);
  return (
    <section className="card" aria-labelledby="readings">
      <div className="row apart">
        <h2 id="readings">{t("title")}</h2>
        <div className="row">
          <label htmlFor="quantity">{t("quantity")}</label>
          <select
            id="quantity"
            className="picker"
            value={quantity}
            onChange={(event) => setQuantity(event.target.value)}
          >
            {schema.quantities.map(({ name, unit }) => (
              <option key={name} value={name}>
                {unit ? `${name} (${unit})` : name}
              </option>
            ))}
          </select>
        </div>
      </div>
      <Chart points={points} label={t("chart", { quantity, count: points.length })} unit={chosen?.unit ?? ""} />
      <div className="scroll" role="region" aria-labelledby="readings" tabIndex={0}>
        <table data-testid="readings">
          <thead>
            <tr>
              <th scope="col">{t("time")}</th>
              {schema.quantities.map(({ name, unit }) => (
                <th key={name} scope="col" className="number">
                  {unit ? `${name} (${unit})` : name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map(({ tMs, values }, i) => (
              <tr key={`${tMs}-${i}`}>
                <td className="time">{format.dateTime(tMs, { dateStyle: "short", timeStyle: "medium" })}</td>
                {schema.quantities.map(({ name }) => {
                  const reading = values.get(name);
                  return (
                    <td key={name} className="number">
                      {reading ? valueText(reading) : ""}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div className="row apart">
        <span className="soft small">
          {t("rows", { from: table.length ? page * PAGE + 1 : 0, to: page * PAGE + shown.length, of: table.length })}
        </span>
        <span className="row">
          <button type="button" className="button small" disabled={page === 0} onClick={() => setPage(page - 1)}>
            {t("previous")}
          </button>
          <button type="button" className="button small" disabled={page + 1 >= pages} onClick={() => setPage(page + 1)}>
            {t("next")}
          </button>
        </span>
      </div>
    </section>
  );
}
