import { Decimal, type Quantity, type Schema, type SenmlRecord } from "@msec/core";

export interface Series {
  quantity: Quantity;
  points: { tMs: number; value: number }[];
}

const numberOf = (reading: SenmlRecord): number | undefined =>
  reading.v instanceof Decimal ? reading.v.toNumber() : typeof reading.v === "number" ? reading.v : undefined;

/** Numeric readings by quantity, in the order of the schema; quantities without any are left out. */
export function seriesOf(schema: Schema, readings: readonly SenmlRecord[]): Series[] {
  const points = new Map<string, Series["points"]>();
  for (const reading of readings) {
    const value = numberOf(reading);
    if (value === undefined) continue;
    const list = points.get(reading.n) ?? [];
    list.push({ tMs: reading.tMs, value });
    points.set(reading.n, list);
  }
  return schema.quantities.flatMap((quantity) => {
    const list = points.get(quantity.name);
    return list ? [{ quantity, points: list.sort((a, b) => a.tMs - b.tMs) }] : [];
  });
}

const range = (values: readonly number[]) =>
  values.reduce((r, v) => ({ min: Math.min(r.min, v), max: Math.max(r.max, v) }), { min: Infinity, max: -Infinity });
const label = (value: number) => Number(value.toPrecision(4)).toString();
const BARS = "▁▂▃▄▅▆▇█";

/** One line a quantity: lowest value, a line of bars, highest value. A gap in time stays empty. */
export function textPlot(series: readonly Series[], width = 60): string[] {
  const all = series.flatMap((s) => s.points.map((p) => p.tMs));
  const times = range(all);
  const name = (q: Quantity) => (q.unit ? `${q.text} (${q.unit})` : q.text);
  const longest = Math.max(0, ...series.map((s) => name(s.quantity).length));
  return series.map(({ quantity, points }) => {
    const values = range(points.map((p) => p.value));
    const sums = new Array<{ sum: number; n: number } | undefined>(width);
    for (const { tMs, value } of points) {
      const at =
        times.max === times.min
          ? 0
          : Math.min(width - 1, Math.floor(((tMs - times.min) / (times.max - times.min)) * width));
      const bin = sums[at] ?? { sum: 0, n: 0 };
      sums[at] = { sum: bin.sum + value, n: bin.n + 1 };
    }
    const bars = Array.from(sums, (bin) => {
      if (!bin) return " ";
      const level = values.max === values.min ? 0 : (bin.sum / bin.n - values.min) / (values.max - values.min);
      return BARS[Math.min(7, Math.floor(level * 8))];
    }).join("");
    return `${name(quantity).padEnd(longest)}  ${label(values.min).padStart(8)} ${bars} ${label(values.max)}`;
  });
}

/** Text for XML: markup escaped, characters that XML 1.0 forbids left out. */
const escape = (text: string) =>
  text
    // eslint-disable-next-line no-control-regex
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "")
    .replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const PANEL = { width: 760, height: 120, left: 70, right: 20, gap: 46 };

/** A picture of the readings: one panel a quantity, time along the bottom, a break in the line where data is missing. */
export function svgPlot(title: string, subtitle: string, series: readonly Series[]): string {
  const times = range(series.flatMap((s) => s.points.map((p) => p.tMs)));
  const span = Math.max(1, times.max - times.min);
  const inner = PANEL.width - PANEL.left - PANEL.right;
  const x = (tMs: number) => PANEL.left + ((tMs - times.min) / span) * inner;
  const top = 86;
  const height = top + series.length * (PANEL.height + PANEL.gap) + 10;
  const day = (tMs: number) => new Date(tMs).toISOString().slice(0, 16).replace("T", " ");
  const panels = series.map(({ quantity, points }, i) => {
    const y0 = top + i * (PANEL.height + PANEL.gap);
    const values = range(points.map((p) => p.value));
    const lowest = values.min;
    const spread = values.max === values.min ? 1 : values.max - values.min;
    const y = (value: number) => y0 + PANEL.height - ((value - lowest) / spread) * (PANEL.height - 10);
    const steps = points
      .slice(1)
      .map((p, k) => p.tMs - (points[k] as { tMs: number }).tMs)
      .sort((a, b) => a - b);
    const usual = steps[Math.floor(steps.length / 2)] ?? 0;
    let path = "";
    points.forEach((p, k) => {
      const before = points[k - 1];
      const pen = before && p.tMs - before.tMs <= 1.5 * usual ? "L" : "M";
      path += `${pen}${x(p.tMs).toFixed(1)} ${y(p.value).toFixed(1)}`;
      const after = points[k + 1];
      if (pen === "M" && (!after || after.tMs - p.tMs > 1.5 * usual)) path += "h0.1";
    });
    const text = quantity.unit ? `${quantity.text} (${quantity.unit})` : quantity.text;
    return `<g><text x="${PANEL.left}" y="${y0 - 8}" class="name">${escape(text)}</text>
<rect x="${PANEL.left}" y="${y0}" width="${inner}" height="${PANEL.height}" class="panel"/>
<text x="${PANEL.left - 8}" y="${y0 + 16}" class="tick" text-anchor="end">${label(values.max)}</text>
<text x="${PANEL.left - 8}" y="${y0 + PANEL.height}" class="tick" text-anchor="end">${label(values.min)}</text>
<path d="${path}" class="line"/>
<text x="${PANEL.left}" y="${y0 + PANEL.height + 16}" class="tick">${day(times.min)}</text>
<text x="${PANEL.width - PANEL.right}" y="${y0 + PANEL.height + 16}" class="tick" text-anchor="end">${day(times.max)}</text></g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PANEL.width} ${height}" width="${PANEL.width}" height="${height}" role="img" aria-label="${escape(title)}">
<style>text{font:13px system-ui,sans-serif;fill:#222}.title{font-size:18px;font-weight:600}.name{font-weight:600}.tick{font-size:11px;fill:#555}.panel{fill:#f6f8fa;stroke:#d0d7de}.line{fill:none;stroke:#0a6b8a;stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="20" y="28" class="title">${escape(title)}</text><text x="20" y="48" class="tick">${escape(subtitle)}</text>
${panels.join("\n")}
</svg>
`;
}
