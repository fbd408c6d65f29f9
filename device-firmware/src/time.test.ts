import { expect, test } from "vitest";
import { parseTime } from "./time.ts";

test("every format, UTC", () => {
  const at = Date.UTC(2004, 2, 10, 18, 0, 0);
  expect(parseTime("10/03/2004 18:00:00", "dd/mm/yyyy")).toBe(at);
  expect(parseTime("2004-03-10 18:00:00", "yyyy-mm-dd")).toBe(at);
  expect(parseTime("2004-03-10T18:00:00Z", "iso")).toBe(at);
  expect(parseTime("2004-03-10T18:00:00", "iso")).toBe(at);
  expect(parseTime("2004-03-10T20:00:00.250+02:00", "iso")).toBe(at + 250);
  expect(parseTime(String(at / 1000), "unix-s")).toBe(at);
  expect(parseTime("1078941600.25", "unix-s")).toBe(at + 250);
  expect(parseTime(String(at), "unix-ms")).toBe(at);
});

test("what is no such moment is no time", () => {
  expect(parseTime("31/02/2004 18:00:00", "dd/mm/yyyy")).toBeUndefined();
  expect(parseTime("03/13/2004 18:00:00", "dd/mm/yyyy")).toBeUndefined();
  expect(parseTime("2004-03-10 25:00:00", "yyyy-mm-dd")).toBeUndefined();
  expect(parseTime("2004-02-31T10:00:00Z", "iso")).toBeUndefined();
  expect(parseTime("yesterday", "iso")).toBeUndefined();
  expect(parseTime("-5", "unix-s")).toBeUndefined();
});
