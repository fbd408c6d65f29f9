import { MODE, type StreamPreimage } from "@msec/core";
import { published } from "@msec/trade";
import { describe, expect, test } from "vitest";
import { descriptionFrom } from "./place.ts";
import { Problem } from "./problem.ts";

const none = { nowhere: false, precise: false };

describe("the options of a description", () => {
  test("say a place, south and west too", () => {
    expect(
      descriptionFrom({ ...none, at: "-33.4, -70.6", altitude: "570", accuracy: "5", place: "Plaza", model: "Box" }),
    ).toEqual({
      precise: false,
      place: { latitude: -33.4, longitude: -70.6, altitude: 570, accuracy: 5, name: "Plaza" },
      model: "Box",
    });
    expect(descriptionFrom({ ...none, nowhere: true })).toEqual({ precise: false, place: null });
    expect(descriptionFrom({ ...none, calibrated: "2026-05-31", note: "by hand" })).toEqual({
      precise: false,
      calibration: { date: "2026-05-31", note: "by hand" },
    });
  });

  test("show a period to everybody, or do so no longer", () => {
    expect(descriptionFrom({ ...none, sample: "2004-03-10T18:00/2004-03-11" })).toEqual({
      precise: false,
      sample: ["2004-03-10T18:00", "2004-03-11"],
    });
    expect(descriptionFrom({ ...none, sample: false })).toEqual({ precise: false, sample: null });
  });

  test.each([
    [{}, /say something/],
    [{ sample: "2004-03-10" }, /is no period/],
    [{ sample: "2004-03-10/" }, /is no period/],
    [{ sample: "a/b/c" }, /is no period/],
    [{ at: "43.4" }, /is no place/],
    [{ at: "91,0" }, /is no place/],
    [{ at: "NaN,0" }, /is no place/],
    [{ at: ",0" }, /is no place/],
    [{ at: "1,2,3" }, /is no place/],
    [{ at: "1,2", altitude: "high" }, /number of metres/],
    [{ place: "Plaza", model: "x" }, /need --at/],
    [{ nowhere: true, at: "1,2" }, /leave out --at/],
    [{ model: "x", note: "y" }, /--calibrated/],
  ])("that make no sense are refused: %j", (given, sentence) => {
    expect(() => descriptionFrom({ ...none, ...given })).toThrow(Problem);
    expect(() => descriptionFrom({ ...none, ...given })).toThrow(sentence);
  });
});

test("the place of a sealed stream is rounded unless it is told otherwise, that of an open one never", () => {
  const place = { latitude: 43.4572, longitude: -3.8364, name: "Home" };
  const of = (mode: number) => ({ name: "x", mode }) as StreamPreimage;
  expect(published(of(MODE.sealed), { place }).place).toEqual({ latitude: 43.46, longitude: -3.84, accuracy: 1000 });
  expect(published(of(MODE.sealed), { place }, true).place).toEqual(place);
  expect(published(of(MODE.open), { place }).place).toEqual(place);
});
