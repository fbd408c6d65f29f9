"use client";
import { useFormatter } from "next-intl";
import { type Point, thin, ticks } from "./scale.ts";

const WIDTH = 720;
const HEIGHT = 240;
const MARGIN = { left: 56, right: 12, top: 12, bottom: 28 };
/** A chart shows no more than its width can: the least and the greatest of each stretch. */
const MOST_POINTS = 1_400;

/** A line over time. The table beside it says the same to whoever can't see it. */
export function Chart({ points, label, unit }: { points: readonly Point[]; label: string; unit: string }) {
  const format = useFormatter();
  if (points.length === 0) return null;
  const shown = thin(points, MOST_POINTS);
  const times = shown.map(({ tMs }) => tMs);
  const [from, to] = [Math.min(...times), Math.max(...times)];
  const values = shown.map(({ value }) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = (high - low) * 0.06 || 1;
  const x = (t: number) => MARGIN.left + ((t - from) / (to - from || 1)) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (v: number) =>
    HEIGHT - MARGIN.bottom - ((v - low + pad) / (high - low + 2 * pad)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const line = shown.map(({ tMs, value }, i) => `${i ? "L" : "M"}${x(tMs).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const long = to - from > 2 * 86_400_000;
  return (
    <svg className="chart" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
      {ticks(low, high, 4).map((value) => (
        <g key={value}>
          <line className="grid" x1={MARGIN.left} x2={WIDTH - MARGIN.right} y1={y(value)} y2={y(value)} />
          <text x={MARGIN.left - 8} y={y(value) + 4} textAnchor="end">
            {format.number(value, { maximumSignificantDigits: 4 })}
          </text>
        </g>
      ))}
      {[0, 0.25, 0.5, 0.75, 1].map((part) => (
        <text
          key={part}
          x={x(from + part * (to - from))}
          y={HEIGHT - 8}
          textAnchor={part === 0 ? "start" : part === 1 ? "end" : "middle"}
        >
          {format.dateTime(
            from + part * (to - from),
            long ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit" },
          )}
        </text>
      ))}
      {unit ? (
        <text x={MARGIN.left} y={MARGIN.top} className="unit">
          {unit}
        </text>
      ) : null}
      <path className="line" d={line} />
    </svg>
  );
}
