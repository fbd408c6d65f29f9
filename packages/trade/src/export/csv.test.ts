import { parseNumber, type Schema, type SenmlRecord } from "@msec/core";
import { expect, test } from "vitest";
import { csvOf, tableOf } from "./csv.ts";

const schema: Schema = {
  quantities: [
    { name: "a", unit: "Cel", text: "Air, outside" },
    { name: "b", unit: "", text: 'so-called "B"' },
  ],
  retainDays: 0,
  padCount: 0,
  padBytes: 0,
};
const T = Date.UTC(2024, 4, 1, 12);
const reading = (n: string, v: string, tMs = T): SenmlRecord => {
  const value = parseNumber(v);
  return value === undefined ? { n, vs: v, tMs } : { n, v: value, tMs };
};
const lines = (readings: SenmlRecord[]) => csvOf(schema, readings).split("\r\n");

test("a header of texts and units, times in ISO 8601, a line break after each row", () => {
  const text = csvOf(schema, [reading("a", "1.5"), reading("b", "2")]);
  expect(text).toBe('time,"Air, outside [Cel]","so-called ""B"""\r\n2024-05-01T12:00:00.000Z,1.5,2\r\n');
});

test("numbers are written exactly as they were measured", () => {
  const exact = [
    "0.1",
    "0.10000000000000000001",
    "9007199254740993",
    "-0.30000000000000004",
    "1e-7",
    "123456789.987654321",
  ];
  const rows = lines(exact.map((v, i) => reading("a", v, T + i)));
  const cells = rows.slice(1, -1).map((row) => row.split(",")[1] as string);
  expect(cells.map(parseNumber)).toEqual(exact.map(parseNumber));
  expect(cells[1]).toBe("0.10000000000000000001");
  expect(cells[2]).toBe("9007199254740993");
});

test("text with commas, quotes and line breaks is quoted", () => {
  expect(
    lines([reading("b", 'say "hi", then\nleave')])
      .slice(1)
      .join("\r\n"),
  ).toBe('2024-05-01T12:00:00.000Z,,"say ""hi"", then\nleave"\r\n');
});

test("readings of one time share a row; a quantity that comes again starts another", () => {
  const rows = [
    ...tableOf(schema, [
      reading("a", "1"),
      reading("b", "2"),
      reading("a", "3"),
      reading("b", "4"),
      reading("b", "5"),
      reading("a", "6", T + 1000),
    ]),
  ];
  expect(rows.map((row) => [...row.values.values()].map((r) => r.v))).toEqual([[1, 2], [3, 4], [5], [6]]);
  expect(rows.map((row) => row.tMs - T)).toEqual([0, 0, 0, 1000]);
});

test("two rows of the same time stay two rows, in their order, also where a cell is empty", () => {
  // From a file with the rows (1, –), (–, 2): one would be a row that nobody wrote, but no reading is lost or doubled.
  const rows = [...tableOf(schema, [reading("b", "2"), reading("a", "1"), reading("b", "3")])];
  expect(rows.map((row) => [row.values.get("a")?.v, row.values.get("b")?.v])).toEqual([
    [undefined, 2],
    [1, 3],
  ]);
});

test("no readings are a header alone", () => {
  expect(lines([])).toEqual(['time,"Air, outside [Cel]","so-called ""B"""', ""]);
});
