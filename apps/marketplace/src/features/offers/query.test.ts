import { expect, test } from "vitest";
import { boxOfQuery, offersPath, placesPath, readQuery, searchOf, whereOf } from "./query.ts";

const NONE = readQuery({});

test("an address gives the query back that made it", () => {
  const query = readQuery({
    ...{ text: " air ", mode: "1", assurance: "2", mostPrice: "500", where: "-3.9,43.4,-3.7,43.5", before: "7" },
    ...{ from: "2026-05-01", to: "2026-05-31", fresh: "86400", leastScore: "50" },
  });
  expect(readQuery(Object.fromEntries(searchOf(query)))).toEqual(query);
  expect(query.text).toBe("air");
  expect(boxOfQuery(query)).toEqual([-3.9, 43.4, -3.7, 43.5]);
});

test("what makes no sense in an address is left out", () => {
  for (const where of ["", "1,2,3", "NaN,0,1,1", "3,0,1,1", "0,0,1,91", "-181,0,1,1", "0,0,1,1,1", "1e3,0,1,1"])
    expect(readQuery({ where }).where).toBe("");
  expect(readQuery({ fresh: "5", leastScore: "101", from: "2026-13-01", to: "yesterday", mode: "9" })).toEqual(NONE);
});

test("days are asked for whole, and the map for every place whatever the list is narrowed to", () => {
  const query = { ...NONE, from: "2026-05-01", to: "2026-05-01", where: "-3.9,43.4,-3.7,43.5", before: "7" };
  const asked = new URLSearchParams(offersPath(query, 24).split("?")[1]);
  expect(Number(asked.get("to")) - Number(asked.get("from"))).toBe(86_400_000 - 1);
  expect(asked.get("where")).toBe("-3.9,43.4,-3.7,43.5");
  const places = new URLSearchParams(placesPath(query).split("?")[1]);
  expect([...places.keys()].sort()).toEqual(["from", "to"]);
});

test("a box is written to the metre", () => {
  expect(whereOf([-3.123456789, 43.1, 1e-7, 44])).toBe("-3.12346,43.10000,0.00000,44.00000");
  expect(readQuery({ where: whereOf([-1e-9, -1e-9, 0, 0]) }).where).not.toBe("");
});
