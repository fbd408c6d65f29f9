import { Decimal, type Schema, type SenmlRecord } from "@msec/core";
import { expect, test } from "vitest";
import { seriesOf, svgPlot, textPlot } from "./plot.ts";

const schema: Schema = {
  quantities: [
    { name: "t", unit: "Cel", text: "Temperature" },
    { name: "s", unit: "", text: "State" },
    { name: "h", unit: "%RH", text: "Humidity" },
  ],
  retainDays: 0,
  padCount: 0,
  padBytes: 0,
};
const T = Date.UTC(2024, 4, 1);
const HOUR = 3_600_000;
const at = (n: string, hour: number, v: number | Decimal): SenmlRecord => ({ n, v, tMs: T + hour * HOUR });

/** Throws unless the text is well-formed XML: tags nest, attributes are quoted, no bare & or <, no forbidden characters. */
function wellFormed(xml: string): void {
  const open: string[] = [];
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(xml)) throw new Error("a character that XML forbids");
  let at = 0;
  for (const tag of xml.matchAll(/<(\/?)([a-z]+)((?:\s+[a-zA-Z-]+="[^"<]*")*)\s*(\/?)>/g)) {
    const text = xml.slice(at, tag.index);
    if (/[<>]|&(?!#\d+;)/.test(text)) throw new Error(`bare markup in ${text}`);
    if (/&(?!#\d+;)/.test(tag[3] as string)) throw new Error(`bare & in ${tag[0]}`);
    at = tag.index + tag[0].length;
    if (tag[1]) {
      if (open.pop() !== tag[2]) throw new Error(`${tag[0]} closes another element`);
    } else if (!tag[4]) open.push(tag[2] as string);
  }
  if (open.length > 0 || xml.slice(at).trim() !== "") throw new Error(`${open.join()} is not closed`);
}

const paths = (svg: string) => [...svg.matchAll(/<path d="([^"]*)"/g)].map((m) => m[1] as string);

test("series are the numbers of each quantity, in the schema's order, by time", () => {
  const series = seriesOf(schema, [
    at("h", 1, 50),
    at("t", 2, new Decimal(-1, 205n)),
    at("t", 1, 19),
    { n: "s", vs: "on", tMs: T },
    at("unknown", 1, 1),
  ]);
  expect(series.map((s) => [s.quantity.name, s.points.map((p) => p.value)])).toEqual([
    ["t", [19, 20.5]],
    ["h", [50]],
  ]);
});

test("the picture is well-formed, whatever names and titles hold", () => {
  const evil: Schema = {
    ...schema,
    quantities: [{ name: "t", unit: '<"&>', text: "a]]><script>alert('1')</script>\u0001\uffff" }],
  };
  const svg = svgPlot('<b>"park" & more\u0000', "</text>\u001b[31m", seriesOf(evil, [at("t", 1, 1), at("t", 2, 2)]));
  expect(() => wellFormed(svg)).not.toThrow();
  expect(svg).not.toContain("<script");
  expect(svg).toContain("&#60;b&#62;&#34;park&#34; &#38; more");
  expect(() => wellFormed("<a><b></a>")).toThrow();
  expect(() => wellFormed("<a>&</a>")).toThrow();
});

test("a line breaks where data is missing, and goes on after it", () => {
  const points = [0, 1, 2, 3, 8, 9, 10].map((hour) => at("t", hour, hour));
  const [path] = paths(svgPlot("x", "y", seriesOf(schema, points)));
  expect((path?.match(/[ML]/g) ?? []).join("")).toBe("MLLLMLL");
});

test("a reading alone between two gaps is a dot, not nothing", () => {
  const points = [0, 1, 2, 20, 40, 41, 42, 43].map((hour) => at("t", hour, hour));
  const [path] = paths(svgPlot("x", "y", seriesOf(schema, points)));
  expect((path?.match(/[MLh]/g) ?? []).join("")).toBe("MLLMhMLLL");
  expect((paths(svgPlot("x", "y", seriesOf(schema, [at("t", 1, 5)])))[0]?.match(/[MLh]/g) ?? []).join("")).toBe("Mh");
});

test("a constant series is a level line inside its panel", () => {
  const svg = svgPlot(
    "x",
    "y",
    seriesOf(
      schema,
      [0, 1, 2].map((hour) => at("t", hour, 7)),
    ),
  );
  expect(svg).not.toMatch(/NaN|Infinity/);
  const ys = [...(paths(svg)[0] ?? "").matchAll(/[ML][\d.]+ ([\d.]+)/g)].map((m) => Number(m[1]));
  expect(new Set(ys).size).toBe(1);
  expect(ys[0]).toBeGreaterThanOrEqual(86);
  expect(ys[0]).toBeLessThanOrEqual(86 + 120);
});

test("every point lies inside its panel, and panels stand below one another", () => {
  const points = [0, 1, 2, 3].flatMap((hour) => [at("t", hour, -5 + hour), at("h", hour, 100 - hour)]);
  const svg = svgPlot("x", "y", seriesOf(schema, points));
  const ranges = paths(svg).map((d) =>
    [...d.matchAll(/[ML]([\d.]+) ([\d.]+)/g)].map((m) => [Number(m[1]), Number(m[2])]),
  );
  expect(ranges).toHaveLength(2);
  for (const [panel, list] of ranges.entries())
    for (const [x, y] of list) {
      expect(x).toBeGreaterThanOrEqual(70);
      expect(x).toBeLessThanOrEqual(740);
      expect(y).toBeGreaterThanOrEqual(86 + panel * 166);
      expect(y).toBeLessThanOrEqual(86 + panel * 166 + 120);
    }
});

test("no series at all is still a picture with its title", () => {
  const svg = svgPlot("nothing", "0 readings", []);
  expect(() => wellFormed(svg)).not.toThrow();
  expect(svg).not.toMatch(/NaN|Infinity/);
  expect(svg).toContain(">nothing<");
});

test("in a terminal: lowest value, bars, highest value; a gap stays empty; a constant is level", () => {
  const lines = textPlot(
    seriesOf(schema, [
      ...[0, 1, 2, 3, 7, 8, 9, 10].map((hour) => at("t", hour, hour)),
      ...[0, 10].map((hour) => at("h", hour, 50)),
    ]),
    10,
  );
  expect(lines[0]).toBe("Temperature (Cel)         0 ▁▁▂▃   ▆▇█ 10");
  expect(lines[1]).toBe("Humidity (%RH)           50 ▁        ▁ 50");
  expect(textPlot([])).toEqual([]);
});
